#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian (or Ubuntu) packages that a set of make targets needs, and nothing else.
#
#   tools/install-deps.sh SET...            installs what is missing
#   tools/install-deps.sh --check SET...    installs nothing; status 1 when something is missing
#
# Sets: build, demo, check, check-all, bench; lambda-x86_64, lambda-arm64: what the one-file Lambda
# program of that architecture is built with, on a machine of whichever.
set -euo pipefail

build='
gcc                     the C compiler
libc6-dev               headers of the C library
make                    runs the Makefile
pkg-config              finds the libraries
libcurl4-openssl-dev    all outgoing HTTP
libjansson-dev          JSON
libexpat1-dev           XML answers of S3
libssl-dev              SHA-256 and HMAC
libisal-dev             CRC32C
libmicrohttpd-dev       HTTP server: webhooks, and the Platform simulator
libsqlite3-dev          journal of egress serve
ca-certificates         certificate authorities, for https
'
check='
libcmocka-dev           unit tests
clang                   second compiler, and the fuzzer
libclang-rt-dev         sanitizers and fuzzer of clang
llvm                    names in reports of the sanitizers
clang-tidy              linter
clang-format            make format
cppcheck                linter
shellcheck              linter of the scripts
mandoc                  linter of the man page
git                     clean clone in the packaging test
python3                 end-to-end tests
python3-pytest          runs them
python3-pytest-timeout  ends a test that hangs
python3-pytest-xdist    runs several at a time
python3-boto3           the independent S3 client that looks at what was stored
python3-venv            room for the client that the vendor made
python3-requests        talks to the simulator
python3-prometheus-client  reads /metrics as Prometheus does
openssl                 certificate of the S3 server
ceph-mon                a real S3 server on loopback
ceph-osd                a real S3 server on loopback
radosgw                 a real S3 server on loopback
ceph-common             a real S3 server on loopback
'
check_all='
golang-go               builds versitygw, another S3 server, and the Lambda emulator of AWS
qemu-user-static        runs programs of the other architecture
chromium                shows the page to its tests
iproute2                a network of its own for a program
nginx                   a reverse proxy before egress serve
caddy                   another one
systemd                 looks over the units
'
lambda='
gcc                     the C compiler
libc6-dev               the C library, the static one too
make                    runs the Makefile
dpkg-dev                unpacks source packages
nasm                    assembles ISA-L for x86_64
autoconf                for sources that have no configure script
automake                for sources that have no configure script
libtool                 for sources that have no configure script
ca-certificates         certificate authorities, for https
'
# The C compiler and library for an architecture that is not the machine's.
cross_x86_64='
gcc-x86-64-linux-gnu    the C compiler for x86_64
libc6-dev-amd64-cross   the C library for x86_64
'
cross_arm64='
gcc-aarch64-linux-gnu   the C compiler for arm64
libc6-dev-arm64-cross   the C library for arm64
'
bench='
curl                    what we measure ourselves against
rclone                  what we measure ourselves against
awscli                  what we measure ourselves against
golang-go               builds s5cmd, what we measure ourselves against
python3                 runs the measurement
python3-venv            room for the AWS CRT, what we measure ourselves against
python3-boto3           what we measure ourselves against
openssl                 certificates of the servers that the measurement plays
wrk                     sends webhooks
gunicorn                what one would take webhooks with instead
python3-flask           what one would take webhooks with instead
webhook                 what one would take webhooks with instead
'

say() { printf '%s\n' "$*" >&2; }

only_check=
[ "${1-}" = --check ] && { only_check=1; shift; }
sets="build demo check check-all bench lambda-x86_64 lambda-arm64"
[ $# -gt 0 ] || { say "usage: tools/install-deps.sh [--check] SET...; sets: $sets"; exit 2; }
for_arch() { # x86_64|arm64
    wanted+=$lambda
    case $1-$(uname -m) in
    x86_64-x86_64 | arm64-aarch64) ;;
    x86_64-*) wanted+=$cross_x86_64 ;;
    arm64-*) wanted+=$cross_arm64 ;;
    esac
}
wanted=
for set in "$@"; do
    case $set in
    build | demo) wanted+=$build ;;
    check) wanted+=$build$check ;;
    check-all)
        wanted+=$build$check$check_all
        for_arch x86_64
        for_arch arm64
        ;;
    lambda-x86_64 | lambda-arm64) for_arch "${set#lambda-}" ;;
    bench) wanted+=$build$bench ;;
    *) say "install-deps: no set '$set'; there are: $sets"; exit 2 ;;
    esac
done
wanted=$(sort -u <<<"$wanted" | sed '/^$/d')
# Any Go will do, from wherever it is.
! command -v go >/dev/null || wanted=$(sed '/^golang-go /d' <<<"$wanted")
mapfile -t names < <(cut -d' ' -f1 <<<"$wanted" | uniq)

if ! command -v dpkg-query >/dev/null; then
    [ -z "$only_check" ] || exit 0 # cannot tell; the compiler will
    say "install-deps: no dpkg, so no Debian or Ubuntu; install the equivalents of:" "${names[@]}"
    exit 1
fi

# shellcheck disable=SC2016  # dpkg-query's own variables
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${names[@]}" 2>/dev/null || true)
missing=()
for name in "${names[@]}"; do
    grep -qx "installed $name" <<<"$installed" || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ -n "$only_check" ]; then
    say "Packages missing: ${missing[*]}"
    say "To install them: make deps"
    exit 1
fi

command -v apt-get >/dev/null ||
    { say "install-deps: no apt-get here; please install:" "${missing[@]}"; exit 1; }
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        { say "install-deps: no root, no sudo; as root: apt-get install ${missing[*]}"; exit 1; }
    as_root=(sudo)
fi
say "Installing, with what they depend on:"
for name in "${missing[@]}"; do
    grep -m1 "^$name " <<<"$wanted" | sed 's/^/  /' >&2
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 \
    -o Acquire::Retries=3 "$@" </dev/null >>"$log" 2>&1; }
if ! { apt -q update && apt -q -y install --no-install-recommends "${missing[@]}"; }; then
    tail -30 "$log" >&2
    say "install-deps: apt-get failed (see above); wanted: ${missing[*]}"
    exit 1
fi
say "Installed."
