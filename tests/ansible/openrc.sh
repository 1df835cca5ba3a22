#!/bin/sh
# Lays OpenRC, as Debian has it, into an empty folder: nothing of it is installed.
set -eu
cd "$1"
apt-get download openrc libeinfo1 librc1 >log 2>&1 ||
	{ apt-get update -qq && apt-get download openrc libeinfo1 librc1; } >log 2>&1 ||
	{ cat log >&2; exit 1; }
for package in ./*.deb; do
	dpkg -x "$package" .
	rm "$package"
done
rm -r log usr/share/doc usr/share/man
# Debian's roots have one folder for both.
for folder in bin sbin lib; do
	mkdir -p "usr/$folder"
	cp -a "$folder/." "usr/$folder/"
	rm -r "$folder"
done
