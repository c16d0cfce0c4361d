#!/bin/sh
# Called by udhcpc with what has happened; the lease is in the environment (busybox, examples/udhcp/simple.script).
case $1 in
    deconfig)
        ip -4 address flush dev "$interface"
        ;;
    bound | renew)
        ip -4 address replace "$ip/$mask" broadcast + dev "$interface"
        if [ -n "$router" ]; then
            ip -4 route replace default via "${router%% *}" dev "$interface"
        fi
        ;;
esac
