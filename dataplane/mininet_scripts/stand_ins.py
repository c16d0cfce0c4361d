"""Programs of a script's sandbox that stand in for others, as texts of shell scripts. Pure.

Some programs would change the machine (service, modprobe), some can't work in a user namespace (sudo), some
are not installed on each machine, and for some we have a better answer (controllers).
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from dataplane.hosts.packages import PACKAGES
from dataplane.mininet_scripts.layout import PROGRAMS, SPANNING, TOLD, WIRES

_SAY = f'say() {{ echo "$*" > {TOLD}; }}\n'

_SUDO = """
# Everything in the sandbox is root's already.
while [ $# -gt 0 ]; do
    case $1 in
        -u|-g|-p|-C|-h|-U|-r|-t|-T|-D|-R|--user|--group) shift; [ $# -gt 0 ] && shift ;;
        -i|-s|--login|--shell) shift; [ $# -gt 0 ] || exec "${SHELL:-/bin/sh}" ;;
        -v|-k|-K|--validate) exit 0 ;;
        --) shift; break ;;
        -*) shift ;;
        [A-Za-z_]*=*) export "$1"; shift ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || exit 0
exec "$@"
"""
_SERVICE = """
for word; do case $word in
    *openvswitch*|ovs*) say "Open vSwitch runs in this sandbox already"; exit 0 ;;
    *etwork-manager*|*etwork[Mm]anager*|networking*|--*|-*|start|stop|restart|reload|status|daemon-reload) ;;
    *) say "services of the machine are not started here: start the program itself ($word)"; exit 1 ;;
esac; done
exit 0
"""
_WINDOW = """
say "there are no windows here: ${0##*/} is left out; run the program in the host itself: h1 COMMAND &"
exit 1
"""
_MN = """
for word; do case $word in
    -c|--clean) say "nothing to clean up: each script has a sandbox of its own"; exit 0 ;;
esac; done
say "run it in a sandbox of its own: sdnlab mininet mn $*"
exit 1
"""
_MODULES = """
say "the machine's kernel modules are left alone: ${0##*/} $*"
exit 1
"""
_DPCTL = """
exec ovs-ofctl "$@"
"""
_OVS_VSCTL = """
# Two spanning trees would block different wires: where all bridges have the protocol, it alone decides.
case ${SDNLAB_SPANNING:-}:$* in :*stp_enable*)
    SDNLAB_SPANNING=1 "$0" "$@"; code=$?
    if others=$({ovs_vsctl} --bare --columns=name find bridge stp_enable=false rstp_enable=false) 2>&-; then
        if [ -n "$others" ]; then rm -f {spanning}; else
            echo '[]' > {wires}.all && mv {wires}.all {wires}; : > {spanning}
            for bridge in $({ovs_vsctl} list-br); do for port in $({ovs_vsctl} list-ports "$bridge"); do
                for change in 10:flood 11,12,13,14,15:forward 11,12,13,14,15:receive; do
                    versions=$(echo "OpenFlow${change%:*}" | sed 's/,/,OpenFlow/g')
                    ovs-ofctl -O "$versions" mod-port "$bridge" "$port" "${change#*:}" > /dev/null 2>&1
                done
            done; done
        fi
    fi
    exit $code ;;
esac
# A bridge of which nothing is said has the userspace datapath: there is no other one here.
case "$*" in *datapath_type*) exec {ovs_vsctl} "$@" ;; *add-br*) ;; *) exec {ovs_vsctl} "$@" ;; esac
bridge=; more=; before=
for word; do
    case $before in add-br) bridge=$word ;; esac
    case $bridge:$word in
        :*) ;;
        *:--) more="$more $bridge"; bridge= ;;
        "$bridge:$bridge") ;;
        *) bridge= ;;
    esac
    before=$word
done
for bridge in $more $bridge; do set -- "$@" -- set bridge "$bridge" datapath_type=netdev; done
exec {ovs_vsctl} "$@"
"""
_OVS_DPCTL = """
[ $# -gt 0 ] || exec ovs-appctl dpctl/help
command=$1; shift
exec ovs-appctl "dpctl/$command" "$@"
"""
_VCONFIG = """
case $1 in
    add) ip link add link "$2" name "$2.$3" type vlan id "$3" && exit
        [ -d /sys/module/8021q ] || say "this kernel has no VLAN devices (module 8021q): $2.$3 is not made"
        exit 1 ;;
    rem) exec ip link del "$2" ;;
    *) exit 0 ;;
esac
"""
_BRCTL = """
command=$1; [ $# -gt 0 ] && shift
case $command in
    addbr) exec ip link add "$1" type bridge forward_delay 0 ;;
    delbr) exec ip link del "$1" type bridge ;;
    addif) bridge=$1; shift; for port; do ip link set "$port" master "$bridge" || exit 1; done ;;
    delif) shift; for port; do ip link set "$port" nomaster || exit 1; done ;;
    stp) case $2 in on|yes|1) on=1 ;; *) on=0 ;; esac
        [ $on = 0 ] || ip link set "$1" type bridge forward_delay 400
        exec ip link set "$1" type bridge stp_state $on ;;
    setbridgeprio) exec ip link set "$1" type bridge priority "$2" ;;
    setfd) exec ip link set "$1" type bridge forward_delay "$(awk "BEGIN{print int($2 * 100)}")" ;;
    setageing) exec ip link set "$1" type bridge ageing_time "$(awk "BEGIN{print int($2 * 100)}")" ;;
    setpathcost) exec bridge link set dev "$2" cost "$3" ;;
    show) printf 'bridge name\\tbridge id\\tSTP enabled\\tinterfaces\\n'
        for folder in /sys/class/net/*/bridge; do
            [ -d "$folder" ] || continue
            name=${folder%/bridge}; name=${name##*/}
            case $(cat "$folder/stp_state") in 0) stp=no ;; *) stp=yes ;; esac
            printf '%s\\t%s\\t%s\\t%s\\n' "$name" "$(cat "$folder/bridge_id")" "$stp" \\
                "$(ls "/sys/class/net/$name/brif" | tr '\\n' ' ')"
        done ;;
    showstp) exec bridge -d link show ;;
    showmacs) exec bridge fdb show br "$1" ;;
    *) say "this brctl knows no '$command': sudo apt-get install bridge-utils"; exit 1 ;;
esac
"""
_PYTHON = """
case "$1 $2" in
    '-m SimpleHTTPServer') shift 2; set -- -m http.server "$@" ;;
    '-m CGIHTTPServer') shift 2; set -- -m http.server --cgi "$@" ;;
esac
exec {python} "$@"
"""
_LEARNING_SWITCH = """
exec {python} -I -m controller.learning_switch "$@"
"""
_RYU = """
# Ryu's own applications have no files here: they are modules.
for word; do
    shift
    case $word in
        */ryu/app/*.py) [ -f "$word" ] || { word=ryu.app.${word##*/ryu/app/}; word=${word%.py}; } ;;
    esac
    set -- "$@" "$word"
done
exec {ryu_manager} "$@"
"""

ALWAYS = {
    "sudo": _SUDO,
    "service": _SERVICE,
    "systemctl": _SERVICE,
    "xterm": _WINDOW,
    "gnome-terminal": _WINDOW,
    "x-terminal-emulator": _WINDOW,
    "mn": _MN,
    "modprobe": _MODULES,
    "insmod": _MODULES,
    "rmmod": _MODULES,
    "dpctl": _DPCTL,
    "ovs-dpctl": _OVS_DPCTL,
    "ovs-vsctl": _OVS_VSCTL,
    "controller": _LEARNING_SWITCH,
    "ovs-controller": _LEARNING_SWITCH,
    "test-controller": _LEARNING_SWITCH,
    "ovs-testcontroller": _LEARNING_SWITCH,
    "ryu-manager": _RYU,
    "osken-manager": _RYU,
}
WHERE_MISSING = {
    "vconfig": _VCONFIG,
    "brctl": _BRCTL,
    "python": _PYTHON,
    "python2": _PYTHON,
    "python2.7": _PYTHON,
    "python3": _PYTHON,
}
"""Stand-ins for programs that are used only where the machine has none."""


def programs(
    python: str, ryu_manager: Sequence[str], ovs_vsctl: str, installed: Collection[str]
) -> dict[str, str]:
    """Name -> text of each stand-in.

    ``python``: the interpreter that has sdnlab; ``ryu_manager``: the command that starts Ryu applications;
    ``ovs_vsctl``: the machine's; ``installed``: those of ``WHERE_MISSING`` that the machine has.
    """
    missing = {name: text for name, text in WHERE_MISSING.items() if name not in installed}
    places = {
        "{python}": shlex.quote(python),
        "{ryu_manager}": shlex.join(ryu_manager),
        "{ovs_vsctl}": shlex.quote(ovs_vsctl),
        "{spanning}": str(SPANNING),
        "{wires}": str(WIRES),
    }
    texts = {}
    for name, text in (ALWAYS | missing).items():
        for place, program in places.items():
            text = text.replace(place, program)
        texts[name] = f"#!/bin/sh\n{_SAY}{text}"
    return texts


def service(name: str) -> str:
    """The text of the script that stands in for a service's own one in /etc/init.d."""
    return f'#!/bin/sh\nexec {PROGRAMS}/service {shlex.quote(name)} "$@"\n'


def hint() -> str:
    """The function that bash calls for a command that isn't there, as the value of an environment variable
    (bash(1), "Command execution environment")."""
    packages: dict[str, list[str]] = {}
    for program, package in sorted({**PACKAGES, **_MORE}.items()):
        packages.setdefault(package, []).append(program)
    cases = " ".join(f"{'|'.join(names)}) p={package};;" for package, names in sorted(packages.items()))
    return (
        '() { local p=; case "$1" in ' + cases + ' esac; echo "bash: $1: command not found'
        '${p:+; install it: sudo apt-get install $p}" >&2; return 127; }'
    )


HINT_VARIABLE = "BASH_FUNC_command_not_found_handle%%"
_MORE = {
    "dhclient": "isc-dhcp-client",
    "dhcpd": "isc-dhcp-server",
    "dnsmasq": "dnsmasq",
    "ifstat": "ifstat",
    "iptables": "iptables",
    "killall": "psmisc",
    "nload": "nload",
    "quagga": "frr",
    "sshd": "openssh-server",
    "udhcpd": "udhcpd",
    "zebra": "frr",
    "tc": "iproute2",
    "bwm-ng": "bwm-ng",
    "vlc": "vlc",
    "netperf": "netperf",
    "python2": "python2",
    "lynx": "lynx",
    "apache2": "apache2",
    "conntrack": "conntrack",
    "dsniff": "dsniff",
    "arpspoof": "dsniff",
    "ettercap": "ettercap-text-only",
    "hping": "hping3",
    "iftop": "iftop",
    "pstree": "psmisc",
    "sysctl": "procps",
}
