#!/bin/sh
# Builds target/debian/httpserverd_VERSION_ARCH.deb from a release build, with nothing but what
# a Debian that can build Rust programs has: dpkg-deb, binutils, gzip.
#
#   packaging/deb.sh [BINARY]
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
if [ $# -gt 0 ]; then
	binary=$1
else
	cargo build --release --locked
	binary=$target/release/httpserverd
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# A package of the same program with another number, to try an upgrade with.
revision=${DEB_REVISION:-1}
arch=$(dpkg --print-architecture)
# The date of what is packaged, so that building twice gives the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

root=$target/debian/root
rm -rf "$root"
doc=$root/usr/share/doc/httpserverd
umask 022
mkdir -p "$root/DEBIAN" "$doc"

install -D -m 755 "$binary" "$root/usr/bin/httpserverd"
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/httpserverd"
install -D -m 644 systemd/httpserverd.service "$root/lib/systemd/system/httpserverd.service"
install -D -m 644 systemd/httpserverd.socket "$root/lib/systemd/system/httpserverd.socket"
install -D -m 644 systemd/httpserverd.tmpfiles.conf "$root/usr/lib/tmpfiles.d/httpserverd.conf"
install -D -m 644 systemd/httpserverd.sysusers.conf "$root/usr/lib/sysusers.d/httpserverd.conf"
install -D -m 644 packaging/httpserver.toml "$root/etc/httpserver.toml"
install -D -m 644 packaging/site/index.html "$root/usr/share/httpserverd/site/index.html"
install -D -m 644 packaging/httpserverd.8 "$root/usr/share/man/man8/httpserverd.8"
install -D -m 644 packaging/httpserver.toml.5 "$root/usr/share/man/man5/httpserver.toml.5"
install -D -m 644 packaging/logrotate "$root/etc/logrotate.d/httpserverd"
install -m 644 packaging/debian/copyright README.md config/REFERENCE.md "$doc"
install -D -m 644 systemd/notify-reload.conf "$doc/examples/notify-reload.conf"
install -m 644 config/examples/*.toml "$doc/examples"

completions() {
	mkdir -p "$root/$2"
	"$binary" completions "$1" >"$root/$2/$3"
}
completions bash usr/share/bash-completion/completions httpserverd
completions zsh usr/share/zsh/vendor-completions _httpserverd
completions fish usr/share/fish/vendor_completions.d httpserverd.fish

install -m 644 CHANGELOG.md "$doc/changelog"
cat >"$doc/changelog.Debian" <<END
httpserverd ($version-$revision) unstable; urgency=medium

  * Version $version; what changed stands in changelog.gz.

 -- httpserverd contributors <contributors@httpserverd.example>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
install -D -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/httpserverd"
gzip -9n "$root/usr/share/man/man8/httpserverd.8" "$root/usr/share/man/man5/httpserver.toml.5" "$doc/changelog" "$doc/changelog.Debian"

# The C library it was linked with is the oldest that it runs on for sure; the newest symbol
# it asks for says how old it may be.
libc=$(objdump -T "$root/usr/bin/httpserverd" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' |
	sort -V | tail -n 1)
depends="libc6 (>= $libc)"
if objdump -p "$root/usr/bin/httpserverd" | grep -q 'NEEDED.*libgcc_s'; then
	depends="$depends, libgcc-s1"
fi

printf '%s\n' /etc/httpserver.toml /etc/logrotate.d/httpserverd >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<END
Package: httpserverd
Version: $version-$revision
Section: httpd
Priority: optional
Architecture: $arch
Maintainer: httpserverd contributors <contributors@httpserverd.example>
Installed-Size: $(du -k -s --apparent-size "$root" | cut -f 1)
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: $depends, systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: ca-certificates
Suggests: logrotate
Provides: httpd
Description: HTTP server and reverse proxy run by one TOML file
 httpserverd serves files, answers health probes and proxies to upstreams. It is
 configured by one TOML file, whose every mistake is reported with its place
 before anything starts, and which is reloaded without closing a connection.
END
for script in postinst prerm postrm; do
	install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)

package=$target/debian/httpserverd_$version-${revision}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -r "$root"
echo "$package"
