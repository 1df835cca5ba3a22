#!/bin/sh
# Lays OpenRC and sshd, as Debian has them, into an empty folder: nothing of them is installed.
set -eu
cd "$1"
set -- openrc libeinfo1 librc1 openssh-server libwrap0
apt-get download "$@" >log 2>&1 ||
	{ apt-get update -qq && apt-get download "$@"; } >log 2>&1 ||
	{ cat log >&2; exit 1; }
for package in ./*.deb; do
	dpkg -x "$package" .
	rm "$package"
done
rm -r log usr/share/doc usr/share/man
# Debian's roots have one folder for both.
for folder in bin sbin lib; do
	mkdir -p "usr/$folder"
	[ ! -d "$folder" ] || cp -a "$folder/." "usr/$folder/"
	rm -rf "$folder"
done
