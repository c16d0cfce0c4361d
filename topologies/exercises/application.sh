#!/bin/sh
# Makes the root directory of a container with one application: a web server and its pages, nothing else.
# usage: application.sh DIRECTORY
set -eu
: "${1:?usage: application.sh DIRECTORY}"
busybox=$(command -v busybox) || {
  echo "busybox is not installed: sudo apt-get install busybox-static" >&2
  exit 1
}
# A program that needs no library of the machine (BusyBox is many programs: what it is called decides which).
if ldd "$busybox" >/dev/null 2>&1; then
  echo "$busybox needs libraries: sudo apt-get install busybox-static" >&2
  exit 1
fi
mkdir -p "$1/www"
cp "$busybox" "$1/httpd"
chmod 755 "$1" "$1/www" "$1/httpd"
printf 'a page of an application that is alone\n' >"$1/www/index.html"
echo "$1: $(find "$1" -type f | wc -l) files, $(du -sk "$1" | cut -f1) kB"
