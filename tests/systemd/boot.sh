#!/bin/bash
# Boots a real systemd in a throw-away container and runs checks of a package in it.
#
#   tests/systemd/boot.sh PACKAGE.deb NEWER.deb
#
# The root is an overlay over this machine's own, every mount, process and cgroup is of the
# container alone and gone with it; nothing outside changes. Needs root and namespaces; says so
# and is skipped where it has neither. The last line is "N passed, N failed".
set -euo pipefail
here=$(realpath "$(dirname "$0")")
self=$here/boot.sh

# How long systemd may take to boot (half a second is usual), and all the checks together.
BOOT_SECONDS=60
CHECK_SECONDS=240

# Units that look for hardware, or would change settings that the whole machine shares.
MASKED="systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket
systemd-udevd-kernel.socket systemd-logind.service systemd-timesyncd.service
systemd-journald-audit.socket systemd-sysctl.service systemd-modules-load.service
systemd-pstore.service console-getty.service getty.target sys-kernel-debug.mount
sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
dev-hugepages.mount proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount tmp.mount"

skip() {
	echo "SKIPPED: the service under systemd: $1"
	exit 0
}

begin() {
	[ "$(id -u)" = 0 ] || skip "it needs root"
	for tool in unshare nsenter setpriv pivot_root deb-systemd-helper curl; do
		command -v $tool >/dev/null || skip "there is no $tool"
	done
	[ -x /lib/systemd/systemd ] || skip "there is no systemd"
	[ -x /usr/bin/dbus-daemon ] || skip "there is no dbus"
	unshare --mount --propagation private --pid --net --uts --ipc --cgroup --fork true 2>/dev/null ||
		skip "this machine allows no namespaces"
	PACKAGE=$(realpath "$1") NEWER=$(realpath "$2") STAGE=outside \
		exec unshare --mount --propagation private -- bash "$self"
}

# In a mount namespace of its own: makes the root and the cgroup, starts the container, cleans up.
outside() {
	work=$(mktemp -d)
	cgroup= init=
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	mkdir "$work/cgroups" "$work/layers" "$work/root"
	mount -t cgroup2 none "$work/cgroups" 2>/dev/null || skip "this machine has no cgroup v2"
	cgroup=$work/cgroups/httpserverd-test.$$
	mkdir "$cgroup" "$cgroup/checks" || skip "this machine lets nobody make cgroups"
	# On another file system than the root, as an overlay wants it.
	mount -t tmpfs -o mode=755,size=2g tmpfs "$work/layers"
	mkdir "$work/layers/upper" "$work/layers/work" "$work/layers/in"
	mount -t overlay overlay \
		-o "lowerdir=/,upperdir=$work/layers/upper,workdir=$work/layers/work" "$work/root"
	prepare_root
	cp "$PACKAGE" "$work/layers/in/package.deb"
	cp "$NEWER" "$work/layers/in/newer.deb"
	cp "$here/checks.sh" "$work/layers/in/"
	: >"$work/console"

	(
		echo $BASHPID >"$cgroup/cgroup.procs"
		STAGE=inside WORK=$work exec unshare --mount --pid --net --uts --ipc --cgroup --fork \
			--kill-child=KILL --propagation private -- bash "$self"
	) >"$work/log" 2>&1 </dev/null &
	container=$!
	wait_for_boot
	snapshot >"$work/before"
	status=0
	timeout --kill-after=5 "$CHECK_SECONDS" bash -c "$(declare -f within)
		cgroup=$cgroup init=$init
		within setsid --wait bash /run/test/checks.sh" || status=$?
	left=$(snapshot | comm -13 "$work/before" - || true)
	if [ -n "$left" ]; then
		echo "not ok - a purge leaves nothing:"
		echo "$left" | head
		status=1
	fi
	exit $status
}

# A root that boots to a quiet multi-user.target.
prepare_root() {
	local root=$work/root
	# Images of containers forbid with it that a package starts its service.
	rm -f "$root/usr/sbin/policy-rc.d"
	find "$root/etc/systemd/system" -mindepth 1 -maxdepth 1 \
		\( -name '*.wants' -o -name '*.requires' \) -exec rm -rf {} +
	rm -f "$root"/etc/rc?.d/S* "$root/etc/fstab"
	for unit in $MASKED; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
	echo httpserverd-test >"$root/etc/hostname"
	rm -rf "$root/var/log/journal"
	mkdir -p "$root/var/log/journal"
	dpkg --root="$root" --purge httpserverd >/dev/null 2>&1 || true
}

# Runs a command in the container, in a cgroup of its own.
within() {
	(
		echo $BASHPID >"$cgroup/checks/cgroup.procs"
		exec nsenter --target "$init" --mount --pid --net --uts --ipc --cgroup -- \
			env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 HOME=/root \
			DEBIAN_FRONTEND=noninteractive "$@"
	)
}

wait_for_boot() {
	local state=
	for _ in $(seq $((BOOT_SECONDS * 20))); do
		[ -d "/proc/$container" ] || break
		[ -n "$init" ] || init=$(awk '{ print $1 }' \
			"/proc/$container/task/$container/children" 2>/dev/null) || true
		if [ -n "$init" ] && [ "$(cat "/proc/$init/comm" 2>/dev/null)" = systemd ]; then
			state=$(within systemctl is-system-running 2>/dev/null || true)
			case $state in running | degraded) break ;; esac
		fi
		sleep 0.05
	done
	case $state in
	running | degraded) ;;
	*)
		cat "$work/log" "$work/console" | tail -n 30
		skip "it does not boot here"
		;;
	esac
}

# What the container has written, but for the folders of dpkg, apt and the logs, and the users,
# whom Debian's packages leave.
snapshot() {
	(cd "$work/layers/upper" && find . -mindepth 1 -path '*httpserver*' | sort) |
		grep -v -E '^\./(var/lib/dpkg|var/lib/systemd|var/log/journal|tmp|run)/' || true
}

clean_up() {
	trap - EXIT INT TERM
	if [ -n "$init" ] && [ -d "/proc/$init" ]; then
		# Poweroff, in systemd's words.
		kill -s RTMIN+4 "$init" 2>/dev/null || true
		for _ in $(seq 60); do
			[ -d "/proc/$init" ] || break
			sleep 0.1
		done
	fi
	if [ -n "$cgroup" ] && [ -d "$cgroup" ]; then
		echo 1 >"$cgroup/cgroup.kill" 2>/dev/null || true
		for _ in $(seq 50); do
			find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
			[ -d "$cgroup" ] || break
			sleep 0.1
		done
	fi
	cd /
	for mount in "$work/root" "$work/layers" "$work/cgroups"; do
		umount -l "$mount" 2>/dev/null || true
	done
	rm -rf --one-file-system "$work"
}

# In namespaces of its own: becomes systemd.
inside() {
	local root=$WORK/root device
	mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
	# Settings of the kernel are the machine's; those of the network the container's own.
	mount --bind "$root/proc/sys" "$root/proc/sys"
	mount -o remount,bind,ro "$root/proc/sys"
	mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
	mount -o remount,bind,rw "$root/proc/sys/net"
	mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$root/dev"
	for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
		IFS=: read -r name major minor <<<"$device"
		mknod -m 666 "$root/dev/$name" c "$major" "$minor"
	done
	mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
	ln -s /proc/self/fd "$root/dev/fd"
	touch "$root/dev/console"
	mount --bind "$WORK/console" "$root/dev/console"
	mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
	mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
	mkdir "$root/run/test"
	mount --bind "$WORK/layers/in" "$root/run/test"
	hostname httpserverd-test
	ip link set lo up 2>/dev/null || true
	cd "$root"
	pivot_root . mnt
	umount -l /mnt
	# As on a booted machine.
	mount --make-rshared /
	exec env -i container=httpserverd-test TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		setpriv --bounding-set=-sys_rawio,-sys_module,-sys_time,-syslog,-mac_admin,-mac_override -- \
		/lib/systemd/systemd --system --unit=multi-user.target --show-status=0 \
		--log-target=journal-or-kmsg
}

case ${STAGE:-} in
'') begin "$@" ;;
*) $STAGE ;;
esac
