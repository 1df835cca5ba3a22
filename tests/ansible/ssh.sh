#!/bin/sh
# In ssh's place: runs a command on a machine of machine.sh. The process of a machine is in MACHINES/NAME.
set -eu
while :; do
	case $1 in
	-o | -p | -i | -l | -F) shift 2 ;;
	-*) shift ;;
	*) break ;;
	esac
done
machine=$(cat "$MACHINES/$1")
shift
exec nsenter --target "$machine" --mount --pid --uts --ipc --root \
	env -i -C / HOME=/root USER=root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/bin/sh -c "$*"
