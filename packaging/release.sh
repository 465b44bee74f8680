#!/usr/bin/env bash
# release.sh [-o directory] [-v version] [system/architecture...]
#
# Builds the archives of a release: for each system a static binary with what
# belongs to it, for Linux a Debian package (where dpkg-deb is), for each binary
# the list of what is in it (CycloneDX), and the checksums of all.
#
# The same commit gives the same bytes, wherever it is built: the toolchain is
# pinned, and no path, user, locale or time of day goes into the files. Needed:
# Go, GNU tar, gzip; without git, -v and SOURCE_DATE_EPOCH.
set -euo pipefail
cd "$(dirname "$0")/.."

out=dist
version=
while getopts 'o:v:' option; do
	case $option in
	o) out=$OPTARG ;;
	v) version=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	targets=(linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64)
fi

version=${version:-$(git describe --tags --always --dirty)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
# What else decides about the bytes of a binary. The Dockerfile has the same Go.
export GOTOOLCHAIN=go1.26.8 GOWORK=off GOFLAGS='' GOEXPERIMENT='' CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
umask 022

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)

# build <os> <arch> <file>, without the databases that only a certificate
# authority would use, as Caddy's own releases and xcaddy do.
build() {
	GOOS=$1 GOARCH=$2 go build -trimpath -buildvcs=false -tags nobadger,nomysql,nopgx \
		-ldflags "-s -w -X 'github.com/caddyserver/caddy/v2.CustomVersion=caddy-webhooks $version'" \
		-o "$3" ./cmd/caddy
}

# pack <directory> <archive>: everything in the directory, in one order, with
# one time and one owner.
pack() {
	tar --create --directory "$1" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" \
		--owner=0 --group=0 --numeric-owner . | gzip -n >"$2"
}

# archive <os> <arch> <binary>
archive() {
	local name="caddy-webhooks_${version}_$1_$2"
	local dir="$stage/archive/$name"
	install -d "$dir"
	install -m 0755 "$3" "$dir/$(basename "$3")"
	install -m 0644 LICENSE README.md CHANGELOG.md docs/install.md "$dir"
	if [ "$1" = linux ]; then
		install -m 0644 packaging/Caddyfile "$dir"
		install -m 0600 packaging/environment "$dir"
		install -d "$dir/systemd"
		install -m 0644 packaging/systemd/* "$dir/systemd"
	fi
	pack "$stage/archive" "$out/$name.tar.gz"
	rm -r "$stage/archive"
}

# sbom <os> <arch> <binary>: what the binary itself says is in it.
sbom() {
	go run "$cyclonedx" bin -json -noserial -notimestamp -std -version "$version" \
		-output "$out/caddy-webhooks_${version}_$1_$2.cdx.json" "$3" 2>/dev/null
}

# debian_version: 1.0.0-rc.1 comes before 1.0.0, what was made after 1.0.0 comes
# after it (1.0.0-5-gabc, 1.0.0-dirty), and a version begins with a digit.
debian_version() {
	local v=${version#v} after=
	if [[ $v == *-dirty ]]; then
		v=${v%-dirty} after=.dirty
	fi
	if [[ $v =~ ^(.*)-([0-9]+)-(g[0-9a-f]+)$ ]]; then
		v=${BASH_REMATCH[1]} after=".${BASH_REMATCH[2]}.${BASH_REMATCH[3]}$after"
	fi
	case $v in
	[0-9]*.*) ;;
	*) v="0~$v" ;;
	esac
	printf '%s' "${v//-/\~}${after:++${after#.}}"
}

# deb <arch> <binary>
deb() {
	local root="$stage/deb"
	install -D -m 0755 "$2" "$root/usr/bin/caddy-webhooks"
	install -D -m 0644 packaging/systemd/caddy-webhooks.service "$root/usr/lib/systemd/system/caddy-webhooks.service"
	install -D -m 0644 packaging/systemd/sysusers.conf "$root/usr/lib/sysusers.d/caddy-webhooks.conf"
	install -D -m 0644 packaging/systemd/tmpfiles.conf "$root/usr/lib/tmpfiles.d/caddy-webhooks.conf"
	install -D -m 0644 packaging/Caddyfile "$root/etc/caddy-webhooks/Caddyfile"
	install -D -m 0600 packaging/environment "$root/etc/caddy-webhooks/environment"
	install -D -m 0644 LICENSE "$root/usr/share/doc/caddy-webhooks/copyright"
	install -D -m 0644 -t "$root/usr/share/doc/caddy-webhooks" README.md CHANGELOG.md docs/install.md
	install -d "$root/DEBIAN"
	install -m 0755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN"
	install -m 0644 packaging/debian/conffiles "$root/DEBIAN"
	(cd "$root" && find usr etc -type f | sort | xargs md5sum >DEBIAN/md5sums)
	local bytes
	bytes=$(cd "$root" && find usr etc -type f -printf '%s\n' | awk '{n += $1} END {print n}')
	sed -e "s/@VERSION@/$(debian_version)/" -e "s/@ARCH@/$1/" -e "s/@SIZE@/$((bytes / 1024))/" \
		packaging/debian/control.in >"$root/DEBIAN/control"
	# One thread, as their number would decide about the bytes; at level 1 it
	# takes a seventh of the time, and a seventh more space.
	dpkg-deb --root-owner-group --threads-max=1 -Zxz -z1 --build "$root" \
		"$out/caddy-webhooks_$(debian_version)_$1.deb" >/dev/null
	rm -r "$root"
}

for target in "${targets[@]}"; do
	os=${target%/*} arch=${target#*/}
	binary="$stage/caddy-webhooks"
	if [ "$os" = windows ]; then
		binary="$binary.exe"
	fi
	build "$os" "$arch" "$binary"
	archive "$os" "$arch" "$binary"
	sbom "$os" "$arch" "$binary"
	if [ "$os" = linux ] && command -v dpkg-deb >/dev/null; then
		deb "$arch" "$binary"
	fi
	rm "$binary"
	printf 'built %s %s (%ss)\n' "$version" "$target" "$SECONDS"
done
(cd "$out" && sha256sum caddy-webhooks_* >"$stage/sums" && mv "$stage/sums" SHA256SUMS)
