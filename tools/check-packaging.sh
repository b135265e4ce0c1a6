#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a user does with a release: clones it, builds it, installs it, runs it, takes it out again.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "packaging: $*"; exit 1; }

git clone --quiet --no-local . "$work/clone"
cd "$work/clone"
make install DESTDIR="$work/root" PREFIX=/usr >"$work/log" 2>&1 ||
    { tail -40 "$work/log"; fail "make install"; }
left=$(git status --porcelain)
[ -z "$left" ] || fail "the build leaves $left"

expected='usr/bin/egress
usr/lib/systemd/system/egress.service
usr/lib/systemd/system/egress.socket
usr/lib/sysusers.d/egress.conf
usr/share/doc/egress/LICENSE
usr/share/doc/egress/egress.env
usr/share/man/man1/egress.1'
installed=$(cd "$work/root" && find . -type f | sed 's|^\./||' | sort)
[ "$installed" = "$expected" ] || fail "installed: $installed"

cd "$work"
egress=$work/root/usr/bin/egress
"$egress" --version | head -1
"$egress" help >/dev/null
mandoc -T lint -W warning "$work/root/usr/share/man/man1/egress.1"

grep -q '^ExecStart=/usr/bin/egress serve$' "$work/root/usr/lib/systemd/system/egress.service" ||
    fail "the unit starts another egress"

# systemd looks for what a unit starts where the unit says it is, so this time it is put there.
make -C "$work/clone" install PREFIX="$work/prefix" >"$work/log" 2>&1 || fail "make install PREFIX="
units=$work/prefix/lib/systemd/system
systemd-analyze verify --man=no "$units/egress.service" "$units/egress.socket"
systemd-analyze security --offline=true --threshold=20 --no-pager "$units/egress.service" |
    tail -1
systemd-sysusers --root="$work/root" --dry-run "$work/prefix/lib/sysusers.d/egress.conf" \
    >"$work/log" 2>&1 || { cat "$work/log"; fail "systemd-sysusers"; }

make -C "$work/clone" uninstall DESTDIR="$work/root" PREFIX=/usr >/dev/null
left=$(find "$work/root" -type f)
[ -z "$left" ] || fail "uninstall leaves $left"
echo "packaging: clone, build, install, run and uninstall ok"
