#!/bin/bash
# What the virtual machine does when it is up: it is prepared as Vagrant's is, shows the demo, and runs the
# tests of the kernel's datapath. Each step tells the outside (machine.py) its exit code and its seconds.
set -u
checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P) || exit 1
cd "$checkout" || exit 1
user=$(stat -c %U "$checkout")
failed=0
# The environment was made of these dependencies (disk.py), with another pyproject.toml perhaps: its stamp.
for stamp in .sdnlab .sdnlab-tests; do
    printf '1 %s %s\n' "$(cksum <pyproject.toml)" "$checkout" >".venv/$stamp"
    chown "$user:" ".venv/$stamp"
done

step() { # $1: name; then: a command
    local name=$1 began=$SECONDS code
    shift
    printf '@begin %s\n' "$name"
    "$@" </dev/null 2>&1
    code=$?
    [ "$code" -eq 0 ] || failed=1
    printf '@end %s %s %s\n' "$code" "$((SECONDS - began))" "$name"
}

as_user() { runuser -u "$user" -- env HOME="/home/$user" "$@"; }

# For whoever looks for a fault: a shell of root, on the second console.
if [ -c /dev/hvc1 ]; then setsid -c bash -i </dev/hvc1 >/dev/hvc1 2>&1 & fi

printf '@up %s\n' "$(cut -d . -f 1 /proc/uptime)"
step 'prepared by vagrant/provision.sh' vagrant/provision.sh --offline --user "$user"
step 'what the machine is' ./sdnlab doctor
case ${SDNLAB_IN_VM-tests} in
bench)
    modprobe -q openvswitch
    step 'chains and VXLAN, by datapath' bench/run --datapath kernel --runs 2 datapaths
    step 'starting' bench/run --datapath kernel --runs 2 starting
    step 'changes under a stream' bench/run --datapath kernel --runs 2 outage chain_changes moving
    ;;
short)
    step 'demo, as root' ./sdnlab demo --datapath kernel
    step 'ten tests of tests/kernel' .venv/bin/pytest -q -rsfE -p no:cacheprovider tests/kernel/test_kernel_labs.py \
        -k 'not ordinary_user'
    ;;
*)
    step 'demo, as an ordinary user' as_user ./sdnlab demo --datapath kernel
    step 'demo, as root' ./sdnlab demo --datapath kernel
    step 'tests/kernel' .venv/bin/pytest -q -rsfE -p no:cacheprovider --durations=0 tests/kernel
    ;;
esac
printf '@exit %s\n' "$failed"
# The outside ends the machine when it has read this. A shell on the second console may go on.
sleep infinity
