#!/bin/bash
# Two hosts and plain nftables on a Linux bridge between them, in private namespaces; run by bench/firewalls.py.
# $1: the rule set's file   $2: Python   $3: connections.py
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
for name in a f b; do ip netns add $name; ip -n $name link set lo up; done
ip link add eth0 netns a type veth peer name in netns f
ip link add eth0 netns b type veth peer name out netns f
for device in in out; do ip -n f link set $device up; done
ip -n f link add br0 type bridge stp_state 0 mcast_snooping 0
ip -n f link set br0 up
ip -n f link set in master br0; ip -n f link set out master br0
ip -n a addr add 10.0.0.1/24 dev eth0; ip -n a link set eth0 up
ip -n b addr add 10.0.0.2/24 dev eth0; ip -n b link set eth0 up
ip netns exec f sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
ip netns exec f nft -f "$1"

ip netns exec b "$2" "$3" serve 8080 >/dev/null &
ip netns exec b iperf3 -s -D >/dev/null
for try in $(seq 50); do ip netns exec b ss -ltn | grep -q 8080 && break; done
for try in $(seq 50); do ip netns exec b ss -ltn | grep -q 5201 && break; done
echo "@@opened $(ip netns exec a "$2" "$3" open 10.0.0.2 8080 3)"
echo "@@tcp $(ip netns exec a iperf3 -J -c 10.0.0.2 -t 3 \
    | awk '/"sum_received"/ {f=1} f && /bits_per_second/ {print $2; exit}')"
echo @@end
