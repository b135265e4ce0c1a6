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
usr/share/doc/egress/LICENSE
usr/share/man/man1/egress.1'
installed=$(cd "$work/root" && find . -type f | sed 's|^\./||' | sort)
[ "$installed" = "$expected" ] || fail "installed: $installed"

cd "$work"
egress=$work/root/usr/bin/egress
"$egress" --version | head -1
"$egress" help >/dev/null
mandoc -T lint -W warning "$work/root/usr/share/man/man1/egress.1"

make -C "$work/clone" uninstall DESTDIR="$work/root" PREFIX=/usr >/dev/null
left=$(find "$work/root" -type f)
[ -z "$left" ] || fail "uninstall leaves $left"
echo "packaging: clone, build, install, run and uninstall ok"
