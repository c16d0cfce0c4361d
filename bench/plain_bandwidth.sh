#!/bin/bash
# Two hosts, two Linux bridges and a wire with tc's token bucket between them, in private namespaces; run by
# bench/bandwidth.py.  $1: bit/s   $2: burst in bytes   $3: limit in bytes   $4: seconds   $5…: congestion controls
set -e -o pipefail
rate=$1 burst=$2 limit=$3 seconds=$4
shift 4
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
for name in a f b; do ip netns add $name; ip -n $name link set lo up; done
for side in 1 2; do ip -n f link add br$side type bridge stp_state 0 mcast_snooping 0; ip -n f link set br$side up; done
ip link add eth0 netns a type veth peer name in netns f
ip link add eth0 netns b type veth peer name out netns f
ip -n f link add one type veth peer name two
ip -n f link set in master br1; ip -n f link set one master br1
ip -n f link set out master br2; ip -n f link set two master br2
for device in in out one two; do ip -n f link set $device up; done
ip -n a addr add 10.0.0.1/24 dev eth0; ip -n a link set eth0 up
ip -n b addr add 10.0.0.2/24 dev eth0; ip -n b link set eth0 up
for device in one two; do
    ip netns exec f tc qdisc add dev $device root tbf rate "${rate}bit" burst "$burst" limit "$limit"
done

port=5201
for control in "$@"; do
    options="-C $control"
    [ "$control" = udp ] && options="-u -l 1400 -b $((rate + rate / 10))"
    for try in 1 2 3 4; do # each server answers once, so none is busy with an earlier test
        port=$((port + try))
        ip netns exec b iperf3 -s -1 -D -p $port >/dev/null
        sleep 0.3
        # shellcheck disable=SC2086
        report=$(ip netns exec a iperf3 -J -c 10.0.0.2 -p $port -t "$seconds" -O 1 $options | tr -d '\n\t') && break
    done
    echo "@@$control $report"
done
echo @@end
