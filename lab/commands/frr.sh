#!/bin/sh
# Runs in a router. $0: the path of a daemon of FRR. Standard input: the configuration of all of them.
umask 022
name=${0##*/}
mkdir -p /run/frr
given=/run/frr/given.$name
cat >"$given"
# What a user has written since (write memory) stays, until the file of the lab changes.
if ! cmp -s "$given" /run/frr/given; then
    cp "$given" "/etc/frr/frr.conf.$name" && mv "/etc/frr/frr.conf.$name" /etc/frr/frr.conf
    echo 'service integrated-vtysh-config' >"/etc/frr/vtysh.conf.$name" && mv "/etc/frr/vtysh.conf.$name" /etc/frr/vtysh.conf
    cp "$given" "$given.new" && mv "$given.new" /run/frr/given
fi
rm -f "/run/frr/$name.vty"
answers() { vtysh -d "$1" -c 'show version' >/dev/null 2>&1; }
case $name in
    mgmtd) ;;
    # A daemon that does not reach zebra at once tries again after ten seconds only.
    zebra) [ ! -e "${0%/*}/mgmtd" ] || until answers mgmtd; do sleep 0.1; done ;;
    *) until answers zebra; do sleep 0.1; done ;;
esac
# The daemon gets no child by this: it would not wait for one.
( (
    until answers "$name"; do sleep 0.05; done
    vtysh -b -d "$name" | grep -v '^\[[0-9|]*\] '
) & )
# -u, -g: it is root already, and stays it; root of a host is in no group frrvty, unless it is its own.
exec "$0" -u root -g frrvty -P 0 --log stdout --log-level informational </dev/null
