#!/bin/bash
# Installs a package, starts what it installed with the configuration that it ships, asks it,
# stops it, purges the package and looks for what is left.
#
#   packaging/check_deb.sh PACKAGE.deb
#
# All of it in an overlay over this machine's own root, which is gone afterwards: nothing
# outside changes, no user, no unit, no port below 1024. Needs root. What the maintainer scripts
# say to a booted systemd is not seen here.
set -euo pipefail

if [ -z "${STAGE:-}" ]; then
	package=$(realpath "$1")
	for tool in unshare chroot systemd-sysusers deb-systemd-helper; do
		if ! command -v $tool >/dev/null; then
			echo "SKIPPED: installing the package: no $tool here"
			exit 0
		fi
	done
	stage=$(mktemp -d)
	trap 'rmdir "$stage"' EXIT
	if ! unshare --mount --propagation private mount -t tmpfs tmpfs "$stage" 2>/dev/null; then
		echo "SKIPPED: installing the package: this machine allows no mounts"
		exit 0
	fi
	# The mounts live in a namespace of their own, the processes in another: both end with it.
	STAGE=$stage unshare --mount --propagation private --pid --fork --kill-child=KILL \
		"$BASH" "$(realpath "$0")" "$package"
	exit
fi

package=$1
mount -t tmpfs tmpfs "$STAGE"
mkdir "$STAGE/upper" "$STAGE/work" "$STAGE/root"
root=$STAGE/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$STAGE/upper,workdir=$STAGE/work" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
cp "$package" "$root/tmp/package.deb"
rm -f "$root/etc/httpserver.toml"

fail() {
	echo "$1" >&2
	if [ -e "$root/tmp/log" ]; then cat "$root/tmp/log" >&2; fi
	exit 1
}

chroot "$root" dpkg --install /tmp/package.deb >"$root/tmp/dpkg" 2>&1 ||
	fail "it does not install: $(cat "$root/tmp/dpkg")"
chroot "$root" id httpserverd >/dev/null || fail "the package made no user"
chroot "$root" httpserverd --version

# The shipped configuration, moved off port 80.
sed -e 's|^bind = "0.0.0.0:80"$|bind = "127.0.0.1:0"|' "$root/etc/httpserver.toml" \
	>"$root/tmp/check.toml"
chroot "$root" httpserverd check /tmp/check.toml || fail "the shipped configuration is wrong"
chroot --userspec=httpserverd:httpserverd "$root" httpserverd --config /tmp/check.toml \
	>"$root/tmp/log" 2>&1 &
daemon=$!

# The port is in the log, once it listens. Ten seconds are a hundred times what it needs.
address=
for _ in $(seq 100); do
	address=$(grep -o '127\.0\.0\.1:[1-9][0-9]*' "$root/tmp/log" | head -n 1) || true
	[ -z "$address" ] || break
	kill -0 $daemon 2>/dev/null || fail "it ended at once"
	sleep 0.1
done
[ -n "$address" ] || fail "it names no address"
ask() {
	exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
	printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
	timeout 5 cat <&3
	exec 3>&-
}
ask / | grep -q 'httpserverd is running' || fail "no page"
ask /health/ready | grep -q '"ready"' || fail "not ready"

kill -TERM $daemon
status=0
wait $daemon || status=$?
[ $status = 0 ] || fail "it ended with $status"

chroot "$root" dpkg --purge httpserverd >"$root/tmp/dpkg" 2>&1 ||
	fail "it does not purge: $(cat "$root/tmp/dpkg")"
# Our own names only: others have an `httpserver` too.
left=$(cd "$root" && find etc lib usr var/lib var/log -xdev \
	\( -path '*httpserverd*' -o -path 'etc/httpserver.toml*' \) \
	! -path 'var/lib/dpkg/*' ! -path 'var/log/dpkg.log' 2>/dev/null | head)
[ -z "$left" ] || fail "a purge leaves: $left"
echo "the package installs, starts, answers, stops, purges"
