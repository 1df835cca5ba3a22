#!/bin/sh
# Becomes a machine: a copy-on-write copy of this system with an init of its own, in namespaces of its own. What it
# changes is in memory, and gone when it is killed. Its init is systemd, or OpenRC from the folder
# that programs.sh has filled.
#
#   machine.sh NAME FOLDER systemd|PROGRAMS VISIBLE...
#
# FOLDER is an empty folder that the machine may use. The folders VISIBLE are to be seen in it as they are here, and
# cannot be written to.
# /run/differs in the machine has what differs from this system.
set -eu

if [ "${1-}" != --inside ]; then
	# systemd wants a control group of its own. It is removed by whoever started the machine.
	hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	if [ -n "$hierarchy" ]; then
		group=$hierarchy/$(sed -n 's/^0:://p' /proc/self/cgroup)/racefetch-machine-$$
		mkdir "$group"
		echo $$ >"$group/cgroup.procs"
		echo "$group" >"$2/cgroup"
	fi
	# Nothing of it outlives the test.
	exec setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --cgroup --fork --kill-child "$0" --inside "$@"
fi

shift
name=$1 folder=$2 init=$3
shift 3
cd /
hostname "$name"
mount --make-rprivate /
mount -t tmpfs -o mode=755 machine "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
cd "$folder/root"

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
	: >"dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
for visible; do
	mkdir -p "./$visible"
	mount --bind "$visible" "./$visible"
	mount -o remount,bind,ro "./$visible"
done

# Nothing is left of earlier days on this system, and the Internet is far away.
rm -rf etc/portage etc/racefetch usr/share/racefetch usr/local/bin/racefetch usr/bin/racefetch var/lib/racefetch* \
	var/cache/racefetch* var/cache/distfiles var/log/racefetch* var/db/repos
rm -f etc/resolv.conf
echo "$name" >etc/hostname
echo 'nameserver 127.0.0.1' >etc/resolv.conf

# No chroot: systemd's units want user namespaces, which a process in a chroot may not make.
mkdir run/differs run/outside
mount --bind "$folder/upper" run/differs
pivot_root . run/outside
cd /

if [ "$init" = systemd ]; then
	umount -l run/outside
	mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	# All that comes before services, and none of the services of this system.
	printf '[Unit]\nDescription=A machine\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >etc/systemd/system/machine.target
	# Not for a guest: to empty /tmp, to mount what this system mounts, to load modules, and its timers.
	: >etc/tmpfiles.d/tmp.conf
	: >etc/fstab
	ln -sf /dev/null etc/systemd/system/systemd-modules-load.service
	rm -rf etc/systemd/system/timers.target.wants
	exec env -i container=machine PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --system --unit=machine.target --log-target=null --show-status=no
fi

# OpenRC as Debian has it, beside the packages of this system. Its init is not needed for services to be started.
cp -a "run/outside/$init/." .
umount -l run/outside
for state in starting started stopping inactive wasinactive failed hotplugged daemons options exclusive scheduled tmp; do
	mkdir -p "run/openrc/$state"
done
echo default >run/openrc/softlevel
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c 'echo >/run/ready; while :; do sleep 3600 & wait; done'
