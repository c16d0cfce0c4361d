#!/bin/bash
# Host to host through $1 no-op functions joined by plain veth pairs and Linux bridges, in private namespaces;
# run by bench/steering.py.  $2: bridge (a Linux bridge each) or nftables (one rule set each, the same as ours);
# ovs: Linux bridges as functions, joined by one Open vSwitch, set up as labs' are, with a flow for each port.
set -e
count=$1 kind=$2
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up

space() { ip netns add $1; ip -n $1 link set lo up; }
wire() { # namespace, device, namespace, device
    ip link add $2 netns $1 type veth peer name $4 netns $3
    ip -n $1 link set $2 up; ip -n $3 link set $4 up
}
bridge() { # namespace, devices: joined by a Linux bridge
    ip -n $1 link add br0 type bridge stp_state 0 mcast_snooping 0
    ip -n $1 link set br0 up
    for device in "${@:2}"; do ip -n $1 link set $device master br0; done
}

ovs() { # the functions' wires end on one bridge; what comes by a port goes out of its partner
    export OVS_RUNDIR=/run/ovs OVS_DBDIR=/run/ovs OVS_LOGDIR=/run/ovs
    mkdir -p /run/ovs
    ovsdb-tool create /run/ovs/conf.db /usr/share/openvswitch/vswitch.ovsschema
    ovsdb-server /run/ovs/conf.db --remote=punix:/run/ovs/db.sock --detach --pidfile --log-file 2>/dev/null
    ovs-vsctl --no-wait init -- set open . other_config:userspace-tso-enable=true
    ovs-vswitchd --detach --pidfile --log-file 2>/dev/null
    ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev
    ovs-ofctl del-flows br0
    ports=(pa)
    for n in $(seq 1 $count); do ports+=(i$n o$n); done
    ports+=(pb)
    for ((k = 0; k < ${#ports[@]}; k++)); do
        ip link set ${ports[k]} up
        ovs-vsctl add-port br0 ${ports[k]} -- set interface ${ports[k]} ofport_request=$((k + 1))
        partner=$((k % 2 ? k : k + 2))
        ovs-ofctl add-flow br0 in_port=$((k + 1)),actions=output:$partner
    done
}

space a; space b
if [ $kind = ovs ]; then
    ip link add pa type veth peer name eth0 netns a; ip -n a link set eth0 up
    ip link add pb type veth peer name eth0 netns b; ip -n b link set eth0 up
    for n in $(seq 1 $count); do
        space f$n
        for end in in out; do
            ip link add ${end:0:1}$n type veth peer name $end netns f$n; ip -n f$n link set $end up
        done
        bridge f$n in out
    done
    ovs
else
space s0
wire a eth0 s0 in
for n in $(seq 1 $count); do
    space f$n; space s$n
    wire s$((n - 1)) out f$n in; wire f$n out s$n in
    bridge s$((n - 1)) in out; bridge f$n in out
    if [ $kind = nftables ]; then
        ip netns exec f$n sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
        ip netns exec f$n nft -f - <<RULES
table inet firewall {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        ct state invalid drop
        accept
    }
}
RULES
    fi
done
wire s$count out b eth0
bridge s$count in out
fi
ip -n a addr add 10.0.0.1/24 dev eth0
ip -n b addr add 10.0.0.2/24 dev eth0

at() { ip netns exec "$@"; }
for try in 1 2 3 4 5 6 7 8 9 10; do at a ping -c1 -W1 10.0.0.2 >/dev/null && break; done
echo "@@rtt $(at a ping -q -c 300 -i 0.002 10.0.0.2 | awk -F/ '/^rtt/ {print $5}')"
at b iperf3 -s -D >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do at b ss -ltn | grep -q 5201 && break; done
echo "@@tcp $(at a iperf3 -J -c 10.0.0.2 -t 3 | awk '/"sum_received"/ {f=1} f && /bits_per_second/ {print $2; exit}')"
echo "@@udp $(at a iperf3 -J -u -b 0 -l 64 -c 10.0.0.2 -t 2 \
    | awk '/"sum":/ {f=1} f && /"packets"/ {p=$2} f && /"lost_packets"/ {l=$2} END {print p - l}')"
echo @@end
