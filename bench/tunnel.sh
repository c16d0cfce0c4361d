#!/bin/bash
# Host to host across VXLAN between two domains, in private namespaces; run by bench/overlay.py.
# $1: linux | tunnel | afxdp | device | tso     $2: how many more domains of the kind run idle beside
set -e
kind=$1 more=$2
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up

domain() { # number: a namespace d<n> with a host h<n>, joined by a veth pair
    ip netns add d$1; ip netns add h$1
    ip netns exec d$1 ip link set lo up
    ip link add h$1-eth0 netns h$1 type veth peer name p$1 netns d$1
    ip -n h$1 addr add 10.0.0.$1/24 dev h$1-eth0
    ip -n h$1 link set h$1-eth0 up; ip -n d$1 link set p$1 up
}

start() { # number, other_config: Open vSwitch in the namespace d<n>
    export OVS_RUNDIR=/run/ovs$1 OVS_DBDIR=/run/ovs$1 OVS_LOGDIR=/run/ovs$1
    mkdir -p /run/ovs$1
    ovsdb-tool create /run/ovs$1/conf.db /usr/share/openvswitch/vswitch.ovsschema
    ip netns exec d$1 ovsdb-server /run/ovs$1/conf.db --remote=punix:/run/ovs$1/db.sock --detach --pidfile \
        --log-file 2>/dev/null
    ovs-vsctl --no-wait init -- set open . other_config:$2
    ip netns exec d$1 ovs-vswitchd --detach --pidfile --log-file 2>/dev/null
}

no_offload() { ip netns exec $1 ethtool -K $2 tx off tso off gso off >/dev/null 2>&1 || true; }

device() { # number, peer's: a kernel vxlan device that learns nothing
    ip -n d$1 link add vx type vxlan id 100 local 198.19.0.$1 dstport 4789 nolearning
    ip -n d$1 link set vx mtu 1500 up
    ip netns exec d$1 bridge fdb append 00:00:00:00:00:00 dev vx dst 198.19.0.$2
}

ip link add name u1 type veth peer name u2
for n in 1 2; do
    domain $n
    ip link set u$n netns d$n
    ip -n d$n link set u$n mtu 1600 up
    other=$((3 - n))
    case $kind in
    linux)
        ip -n d$n addr add 198.19.0.$n/24 dev u$n
        device $n $other
        ip -n d$n link add br0 type bridge; ip -n d$n link set br0 up
        ip -n d$n link set vx master br0; ip -n d$n link set p$n master br0 ;;
    device | tso)
        ip -n d$n addr add 198.19.0.$n/24 dev u$n
        device $n $other
        if [ $kind = tso ]; then start $n userspace-tso-enable=true; else start $n vlan-limit=1; fi
        if [ $kind = device ]; then no_offload h$n h$n-eth0; no_offload d$n p$n; fi
        ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev \
            -- add-port br0 p$n -- add-port br0 vx ;;
    tunnel | afxdp)
        start $n vlan-limit=1
        no_offload h$n h$n-eth0; no_offload d$n p$n; no_offload d$n u$n
        type=system; if [ $kind = afxdp ]; then type=afxdp; fi
        ovs-vsctl add-br phy -- set bridge phy datapath_type=netdev -- add-port phy u$n \
            -- set interface u$n type=$type
        ip -n d$n addr add 198.19.0.$n/24 dev phy; ip -n d$n link set phy mtu 1600 up
        ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 p$n \
            -- set interface p$n type=$type \
            -- add-port br0 vx -- set interface vx type=vxlan options:remote_ip=198.19.0.$other options:key=100 ;;
    esac
done
for n in $(seq 3 $((2 + more))); do
    domain $n
    start $n vlan-limit=1
    type=system; if [ $kind = afxdp ]; then type=afxdp; fi
    ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 p$n \
        -- set interface p$n type=$type
done

at() { ip netns exec h$1 "${@:2}"; }
for try in 1 2 3 4 5 6 7 8 9 10; do at 1 ping -c1 -W1 10.0.0.2 >/dev/null && break; done
ticks() { cat /proc/[0-9]*/stat 2>/dev/null | awk '/\(ovs-vswitchd\)/ {s += $14 + $15} END {print s + 0}'; }
before=$(ticks); sleep 2; echo "@@idle $(($(ticks) - before))"
echo "@@rtt $(at 1 ping -q -c 300 -i 0.002 10.0.0.2 | awk -F/ '/^rtt/ {print $5}')"
at 2 iperf3 -s -D >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do at 2 ss -ltn | grep -q 5201 && break; done
echo "@@tcp $(at 1 iperf3 -J -c 10.0.0.2 -t 3 | awk '/"sum_received"/ {f=1} f && /bits_per_second/ {print $2; exit}')"
echo "@@udp $(at 1 iperf3 -J -u -b 0 -l 64 -c 10.0.0.2 -t 2 \
    | awk '/"sum":/ {f=1} f && /"packets"/ {p=$2} f && /"lost_packets"/ {l=$2} END {print p - l}')"
echo @@end
