#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The libraries that the one-file program is linked from: into PREFIX, include/ and lib/*.a.
#
#   tools/build-static-libs.sh x86_64|arm64 PREFIX
#
# OpenSSL, expat, jansson, c-ares and SQLite are Debian's own static ones. libcurl is built from
# Debian's source package, so with its security patches, for HTTP and TLS only, and with c-ares:
# nothing then needs the C library's name service at run time. So are libmicrohttpd, whose own static
# one wants GnuTLS, and ISA-L, which has none. Nothing is installed and no root is needed: apt works
# in folders of its own below PREFIX, on the machine's own list of archives.
set -euo pipefail

arch=${1-} prefix=${2-}
case $arch in
x86_64) debian=amd64 triplet=x86_64-linux-gnu assembler=nasm ;;
arm64) debian=arm64 triplet=aarch64-linux-gnu assembler= ;;
*) echo "usage: tools/build-static-libs.sh x86_64|arm64 PREFIX" >&2; exit 2 ;;
esac
[ -n "$prefix" ] || { echo "build-static-libs: no PREFIX given" >&2; exit 2; }

for tool in apt-get dpkg-source dpkg-deb "$triplet-gcc" $assembler; do
    command -v "$tool" >/dev/null || {
        echo "build-static-libs: no $tool here; make lambda ARCH=$arch installs it" \
            "on Debian and Ubuntu" >&2
        exit 1
    }
done

work=$prefix.work
rm -rf "$work" "$prefix"
mkdir -p "$work"/{lists/partial,cache/archives/partial,parts,debs,src} "$prefix"
work=$(cd "$work" && pwd) prefix=$(cd "$prefix" && pwd)
log=$work/log

# The Debian (or Ubuntu) archives that the machine itself uses, for sources and for this
# architecture too.
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$file" ] || continue
    case $file in
    *.sources) sed -E 's/^Types:.*/Types: deb deb-src/; /^Architectures:/d' "$file" \
        >"$work/parts/${file##*/}" ;;
    *.list) sed -nE '/^deb /{s/arch=[^] ]* *//; s/\[ *\] *//; p; s/^deb /deb-src /p}' "$file" \
        >"$work/parts/${file##*/}" ;;
    esac
done
# Archives of other vendors have no such packages, and may not have this architecture.
grep -LiE '(debian|ubuntu)' "$work"/parts/* 2>/dev/null | xargs -r rm -f

apt() {
    apt-get -q -o APT::Architecture="$debian" -o APT::Architectures::="$debian" \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o Dir::State::status=/dev/null -o APT::Sandbox::User= -o Acquire::Retries=3 \
        -o Acquire::Languages=none "$@" >>"$log" 2>&1
}
failed() { tail -20 "$log" >&2; echo "build-static-libs: $1 failed (see above)" >&2; exit 1; }

echo "  libs  $arch: Debian's packages, the sources of curl, libmicrohttpd and ISA-L"
apt update || failed "apt-get update"
(cd "$work/debs" &&
    apt download libssl-dev libexpat1-dev libjansson-dev libc-ares-dev libsqlite3-dev \
        libisal-dev) ||
    failed "apt-get download"
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done
mkdir -p "$prefix/lib" "$prefix/include"
cp -rL "$work/root/usr/include/." "$prefix/include/"
if [ -d "$prefix/include/$triplet" ]; then # what differs between architectures
    cp -r "$prefix/include/$triplet/." "$prefix/include/"
    rm -r "${prefix:?}/include/$triplet"
fi
cp "$work/root/usr/lib/$triplet"/lib{ssl,crypto,expat,jansson,cares,sqlite3}.a "$prefix/lib/"
(cd "$work/src" && apt --only-source --download-only source curl libmicrohttpd libisal) ||
    failed "apt-get source"

# Of NAME's source, in $work/NAME: unpacks it, then ./configure with OPTION...
# PKG_CONFIG=false: nothing of the machine's own libraries is looked at.
configure() { # NAME OPTION...
    local name=$1
    shift
    dpkg-source --no-check -x "$work"/src/"$name"_*.dsc "$work/$name"
    cd "$work/$name"
    [ -x configure ] || autoreconf -fi
    ./configure --host="$triplet" --prefix="$prefix" --disable-shared --enable-static "$@" \
        PKG_CONFIG=false CFLAGS="-O2 -fPIE -fstack-protector-strong" \
        CPPFLAGS="-D_FORTIFY_SOURCE=2"
}
build_curl() {
    configure curl --with-openssl="$prefix" --enable-ares="$prefix" --without-ca-bundle \
        --without-ca-path --without-zlib --without-brotli --without-zstd --without-libpsl \
        --without-libidn2 --without-nghttp2 --without-librtmp --without-libssh2 \
        --without-libgsasl --disable-ldap --disable-ldaps --disable-rtsp --disable-dict \
        --disable-telnet --disable-tftp --disable-pop3 --disable-imap --disable-smb \
        --disable-smtp --disable-gopher --disable-mqtt --disable-ftp --disable-file \
        --disable-manual --disable-libcurl-option --disable-ntlm --disable-tls-srp \
        --enable-unix-sockets --disable-cookies --disable-alt-svc --disable-hsts \
        --disable-netrc --disable-aws --disable-doh --disable-mime --disable-form-api \
        --disable-dateparse --disable-versioned-symbols LIBS="-lpthread -ldl"
    make -j"$(nproc)" -C lib
    make -C lib install
    make -C include install
}
# With poll alone: its epoll mode stalls at 128 ready connections.
build_libmicrohttpd() {
    configure libmicrohttpd --disable-https --disable-epoll --disable-bauth --disable-dauth \
        --disable-postprocessor --disable-httpupgrade --disable-curl --disable-doc \
        --disable-examples
    make -j"$(nproc)" -C src/microhttpd
    make -C src/microhttpd install
    make -C src/include install
}
build_libisal() {
    configure libisal
    make -j"$(nproc)" libisal.la
    make install-libLTLIBRARIES
}
# Side by side: most of their time is configure, which uses one processor.
building=()
for name in curl libmicrohttpd libisal; do
    version=$(basename "$work"/src/"$name"_*.dsc .dsc)
    echo "  libs  $arch: ${version/_/ }"
    "build_$name" >"$work/$name.log" 2>&1 &
    building[$!]=$name
done
broken=
for pid in "${!building[@]}"; do
    wait "$pid" || broken=${building[$pid]}
done
[ -z "$broken" ] || { log=$work/$broken.log; failed "the build of $broken"; }
rm -rf "$work"
touch "$prefix/done"
