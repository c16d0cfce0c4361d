#!/usr/bin/env bash
# Proves the two commands of the README on a machine that has nothing yet: a Debian made by debootstrap
# in a temporary folder, with this project's HEAD in it.
#
#   tests/fresh/debian.sh [--release bookworm|trixie] [--test] [--tiers 'unit switch'] [--oldest]
#                         [--provision] [--shell] [--keep FOLDER]
#
#   --release NAME  bookworm is Debian 12, the default; trixie is Debian 13
#   --test          also run ./sdnlab test in it (some minutes more)
#   --tiers LIST    instead, only these folders of tests/
#   --oldest        before the tests, install the oldest version of each dependency that pyproject.toml
#                   allows (uv's --resolution lowest-direct); without it, pip has taken the newest
#   --provision     first prepare it by vagrant/provision.sh, twice: the second time nothing is missing
#   --shell         a shell in it at the end, to look around
#   --keep FOLDER   bootstrap into FOLDER and keep it; when it is there already, use it as it is
#
# Needs root, debootstrap, git, about 1.5 GB in $TMPDIR, a Debian mirror and a Python package index.
# The mirror is the one this machine's apt uses for Debian's main archive, else debootstrap's own default; MIRROR=URL
# names another. PIP_*, SSL_CERT_FILE and *_proxy of the caller hold inside, too.
#
# Everything happens in private mount, PID, IPC and UTS namespaces, with a /dev, /proc and /sys of its
# own, and ends with them. The root folder is changed by pivot_root and not chroot, because the kernel
# forbids user namespaces, which labs of ordinary users need, below a chroot.
set -euo pipefail

die() { printf 'debian.sh: %s\n' "$*" >&2; exit 2; }
step() { printf '\n=== %s\n' "$*"; }

arguments=("$@")
release=bookworm tests='' tiers='' oldest='' provision='' shell='' keep=''
while [ $# -gt 0 ]; do
    case $1 in
        --release) release=${2:?--release wants bookworm or trixie}; shift ;;
        --test) tests=yes ;;
        --tiers) tiers=${2:?--tiers wants names of folders in tests/}; shift ;;
        --oldest) oldest=yes ;;
        --provision) provision=yes ;;
        --shell) shell=yes ;;
        --keep) keep=${2:?--keep wants a folder}; shift ;;
        *) die "unknown argument $1" ;;
    esac
    shift
done
case $release in bookworm | trixie) ;; *) die "unknown release $release; allowed: bookworm, trixie" ;; esac

if [ -z "${FRESH_INSIDE-}" ]; then # not yet in namespaces of our own
    [ "$(id -u)" -eq 0 ] || die "needs root (debootstrap and mounts)"
    for program in debootstrap git unshare pivot_root; do
        command -v "$program" >/dev/null || die "needs $program"
    done
    if [ -n "$keep" ]; then
        mkdir -p "$keep"
        FRESH_ROOT=$(cd "$keep" && pwd -P)
    else
        FRESH_ROOT=$(mktemp -d "${TMPDIR:-/tmp}/sdnlab-fresh.XXXXXX")
        trap 'rm -rf --one-file-system "$FRESH_ROOT"' EXIT
        chmod 755 "$FRESH_ROOT"  # mktemp lets only us in, and a machine's / everybody
    fi
    export FRESH_ROOT FRESH_INSIDE=yes
    unshare --mount --propagation private --pid --ipc --uts --fork --kill-child \
        -- "${BASH_SOURCE[0]}" "${arguments[@]}"
    exit
fi

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
root=$FRESH_ROOT

if [ ! -e "$root/etc/debian_version" ]; then
    # shellcheck disable=SC2016 # apt fills these in
    mirror=${MIRROR-$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' \
        2>/dev/null | sed -nE 's/^(bookworm|trixie) main //p' | head -n 1)}
    step "debootstrap (minimal Debian $release)"
    # The packages that a network installation of Debian has, too: names and certificates.
    debootstrap --variant=minbase --include=ca-certificates "$release" "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 ||
        { tail -n 20 "$root.log"; rm -f "$root.log"; die "debootstrap failed"; }
    rm -f "$root.log"
fi

# The caller's network: names, and certificates where a proxy has its own.
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
for variable in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE; do
    file=${!variable-}
    if [ -n "$file" ] && [ -f "$file" ]; then install -D -m 644 "$file" "$root$file"; fi
done

rm -rf "$root/root/sdnlab"
mkdir -p "$root/root/sdnlab"
git -C "$source" archive HEAD | tar -x -C "$root/root/sdnlab"

mount --rbind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 dev dev
mkdir dev/net dev/pts dev/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
    IFS=: read -r name major minor <<<"$node"
    mknod -m 666 "dev/$name" c "$major" "$minor"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p old
pivot_root . old
umount -l /old
rmdir /old
hostname fresh
cd /root/sdnlab

passed=()
while IFS= read -r variable; do passed+=("$variable=${!variable}"); done \
    < <(compgen -e | grep -E '^(PIP_.*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CI|.*_proxy|.*_PROXY)$')
run() {
    step "$*"
    local began=$SECONDS
    env -i HOME=/root TERM="${TERM-dumb}" LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        "${passed[@]}" "$@"
    echo "(exit 0 after $((SECONDS - began)) s)"
}

if [ -n "$provision" ]; then
    run vagrant/provision.sh --no-kernel
    run vagrant/provision.sh --no-kernel --offline
fi
run ./sdnlab demo
run ./sdnlab demo
if [ -n "$tiers$oldest" ]; then
    run .venv/bin/python -m pip -q --disable-pip-version-check install -e '.[test]' uv
    if [ -n "$oldest" ]; then run .venv/bin/uv pip install --resolution lowest-direct -e '.[test]'; fi
    run .venv/bin/python -m pip --disable-pip-version-check list
    run .venv/bin/python --version
    run ovs-vswitchd --version
fi
if [ -n "$oldest" ]; then run ./sdnlab demo; fi
for tier in $tiers; do run .venv/bin/pytest -q -n 2 "tests/$tier"; done
if [ -n "$tests" ]; then run ./sdnlab test; fi

step "what is left running"
left=$(for process in /proc/[0-9]*; do
    # Everything in this PID namespace but the script itself and this loop was started by a lab.
    case ${process#/proc/} in "$$" | "$BASHPID") continue ;; esac
    words=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || true
    case $words in # services that packages start when they are installed
        */usr/sbin/uuidd*|/usr/sbin/cron*|/usr/sbin/haproxy\ -f\ /etc/haproxy/haproxy.cfg*) continue ;;
        ovsdb-server:*|ovs-vswitchd:*|*/etc/openvswitch/conf.db*|*unix:/var/run/openvswitch/db.sock*) continue ;;
    esac
    printf '%s' "$words"
done)
[ -z "$left" ] || die "processes are left: $left"
echo "nothing"
if [ -n "$shell" ]; then env -i HOME=/root TERM="${TERM-dumb}" PATH="$PATH" "${passed[@]}" bash -i; fi
