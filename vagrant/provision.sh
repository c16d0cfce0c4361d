#!/bin/sh
# Prepares a Debian 12 or 13, or an Ubuntu 22.04 or 24.04, for sdnlab. The same script is called by Vagrant,
# the Dockerfile, the devcontainer, Lima, Multipass, in WSL 2, and by the test bed's virtual machine.
#
#   vagrant/provision.sh [--offline] [--no-python] [--no-kernel] [--user NAME]
#
#   --offline     calls no package manager: names the packages that are missing, and ends with exit code 3
#   --no-python   makes no Python environment (the one of the checkout, .venv, is made by the first ./sdnlab)
#   --no-kernel   loads no modules and changes no kernel settings (what a container shares with its machine)
#   --user NAME   whose environment it is; default: the owner of the checkout
#
# It needs root. Run it as often as you like: it does only what is missing. Order: packages (these need a
# network, if one is missing), modules, kernel settings, devices, Python (needs a network or PIP_FIND_LINKS
# the first time). What can't be done in this machine, but is no package, is told, and doesn't stop it.
set -u

say() { printf 'provision: %s\n' "$*"; }
warn() { printf 'provision: warning: %s\n' "$*" >&2; }
die() { printf 'provision: %s\n' "$*" >&2; exit "${code:-1}"; }

offline='' python=yes kernel=yes user=''
while [ $# -gt 0 ]; do
    case $1 in
        --offline) offline=yes ;;
        --no-python) python='' ;;
        --no-kernel) kernel='' ;;
        --user) user=${2:?--user needs a name}; shift ;;
        *) code=2 die "unknown argument $1; allowed: --offline, --no-python, --no-kernel, --user NAME" ;;
    esac
    shift
done

[ "$(uname -s)" = Linux ] || die "this needs Linux, and this is $(uname -s): see vagrant/README.md"
[ "$(id -u)" -eq 0 ] || die "this needs root. Run: sudo $0"
command -v dpkg-query >/dev/null || die "this system has no dpkg: Debian 12 or 13, or Ubuntu 22.04 or 24.04 is needed"
checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
[ -x "$checkout/sdnlab" ] || die "$checkout has no sdnlab: this script belongs into the folder vagrant of a checkout"
[ -n "$user" ] || user=$(stat -c %U "$checkout")
[ "$user" != UNKNOWN ] || user=root # a copy with a number of another machine
id "$user" >/dev/null 2>&1 || die "there is no user '$user' here; name one with --user"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8

installed() { # $1: package
    case $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) in installed) return 0 ;; *) return 1 ;; esac
}

# ---------------------------------------------------------------- packages

wanted="$("$checkout/sdnlab" --packages) python3 python3-venv ca-certificates git rsync kmod procps e2fsprogs"
missing=
for package in $wanted; do installed "$package" || missing="$missing${missing:+ }$package"; done

apt() {
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"
}

if [ -z "$missing" ]; then
    say "all packages are installed"
elif [ -n "$offline" ]; then
    code=3 die "these packages are missing (--offline installs none): $missing"
else
    say "installing $missing"
    # A dpkg that was interrupted refuses everything until it is told to continue.
    if [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ]; then dpkg --configure -a; fi
    apt update >/dev/null || warn "could not refresh every list of packages"
    # The service of frr would keep this machine's routes. It is not started, now or when the machine starts again.
    rule=/usr/sbin/policy-rc.d ours=
    case " $missing " in *' frr '*) [ -e $rule ] || {
        ours=yes
        trap 'rm -f $rule' EXIT
        # shellcheck disable=SC2016 # a script
        printf '#!/bin/sh\n[ "$1" != frr ] || exit 101\n' >$rule
        chmod 755 $rule
    } ;; esac
    # shellcheck disable=SC2086 # a list of words
    apt install --no-install-recommends $missing >/var/log/sdnlab-provision.log 2>&1 || {
        tail -n 15 /var/log/sdnlab-provision.log >&2
        die "the packages could not be installed; see /var/log/sdnlab-provision.log. On Ubuntu, 'universe' must be enabled"
    }
    [ -z "$ours" ] || { rm -f $rule; trap - EXIT; }
    case " $missing " in *' frr '*) update-rc.d frr disable >/dev/null 2>&1 || : ;; esac
fi

# ---------------------------------------------------------------- modules

in_container() {
    [ -e /.dockerenv ] || [ -e /run/.containerenv ] || grep -qsz '^container=' /proc/1/environ
}
if [ -n "$kernel" ] && in_container; then
    say "this is a container: modules and kernel settings belong to its machine, and stay as they are"
    kernel=
fi

# A module may be built in, or loaded, which modprobe both takes for success.
modules='openvswitch vxlan vport-vxlan geneve sch_netem sch_htb sch_tbf 8021q tun veth bridge vhost_net overlay'
if [ -n "$kernel" ]; then
    # Ubuntu's small kernels have netem and others in a package of their own.
    extra=linux-modules-extra-$(uname -r)
    if [ -z "$offline" ] && ! modprobe -qn sch_netem && ! installed "$extra" &&
        apt-cache show "$extra" >/dev/null 2>&1; then
        say "installing $extra"
        apt install --no-install-recommends "$extra" >>/var/log/sdnlab-provision.log 2>&1 ||
            warn "could not install $extra"
    fi
    lacking='' loadable=''
    for module in $modules; do
        if modprobe -q "$module"; then loadable="$loadable$module
"; else lacking="$lacking $module"; fi
    done
    if [ -d /etc/modules-load.d ]; then
        printf '# sdnlab: ordinary users of labs cannot load modules\n%s' "$loadable" >/etc/modules-load.d/sdnlab.conf
    fi
    if [ -z "$lacking" ]; then say "all modules are there"
    else warn "this kernel ($(uname -r)) has no module$lacking; './sdnlab doctor' says what that costs"; fi
fi

# ---------------------------------------------------------------- kernel settings

setting() { # $1: name, $2: the value that labs of ordinary users need
    file=/proc/sys/$(printf '%s' "$1" | tr . /)
    if [ ! -e "$file" ]; then return; fi
    settings="$settings$1 = $2
"
    if [ "$(cat "$file")" != "$2" ]; then
        if printf '%s\n' "$2" 2>/dev/null >"$file"; then say "set $1 = $2"; else warn "can't set $1 = $2"; fi
    fi
}
if [ -n "$kernel" ]; then
    settings=
    # Ubuntu 24.04 lets no ordinary user have namespaces. A machine for labs may allow it; your own: decide.
    setting kernel.apparmor_restrict_unprivileged_userns 0
    setting kernel.unprivileged_userns_clone 1
    if [ -n "$settings" ] && [ -d /etc/sysctl.d ]; then printf '%s' "$settings" >/etc/sysctl.d/60-sdnlab.conf; fi
fi

# ---------------------------------------------------------------- devices

if [ -n "$kernel" ]; then
    if [ -d /etc/udev/rules.d ]; then
        # shellcheck disable=SC2016
        printf 'KERNEL=="tun", MODE="0666", OPTIONS+="static_node=net/tun"\n' >/etc/udev/rules.d/60-sdnlab.rules
    fi
    if [ -c /dev/net/tun ]; then chmod 0666 /dev/net/tun || warn "can't change the mode of /dev/net/tun"
    else warn "/dev/net/tun isn't there: no lab can start"; fi
    # Without the group, virtual machines of an ordinary user are interpreted, which takes ten times as long.
    if [ -c /dev/kvm ] && [ "$user" != root ] && getent group kvm >/dev/null; then
        case " $(id -nG "$user") " in
            *' kvm '*) ;;
            *) usermod -aG kvm "$user" && say "$user is in group kvm now (from the next log-in on)" ;;
        esac
    fi
fi

# ---------------------------------------------------------------- Python

if [ -n "$python" ]; then
    say "the Python environment of $checkout, for $user"
    home=$(getent passwd "$user" | cut -d : -f 6)
    # 'topologies' starts nothing. The environment of the caller stays: PIP_* and *_proxy.
    if [ "$user" = root ]; then (cd "$checkout" && ./sdnlab topologies) >/dev/null
    else (cd "$checkout" && HOME=$home runuser -u "$user" -- ./sdnlab topologies) >/dev/null; fi ||
        die "the Python environment could not be made (no network?); later: cd $checkout && ./sdnlab topologies"
fi
say "ready. Try: cd $checkout && ./sdnlab demo"
