#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a program that tests need out of the Go module proxy into FILE.
#
#   tools/build-go.sh FILE PACKAGE@VERSION GO_NEEDED GO_FETCHED
#
# GO_NEEDED is what its go.mod asks for. Any Go from 1.19 (Debian 12's) on will do: one that is older
# than that fetches GO_FETCHED, which is a Go module too, checksums included. What is downloaded and
# compiled stays in Go's own caches, so that doing it again takes seconds.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

[ $# -eq 4 ] || { say "usage: tools/build-go.sh FILE PACKAGE@VERSION GO_NEEDED GO_FETCHED"; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
package=$2 go_needed=$3 go_fetched=$4
name=$(basename "${package%@*}")
command -v go >/dev/null || { say "build-go: no go here; run: tools/install-deps.sh check-all"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # no go.mod above it
export GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0
export GOBIN=$work

go=$(command -v go)
have=$("$go" env GOVERSION)
have=${have#go}
if [ "$(printf '%s\n' "$go_needed" "${have%% *}" | sort -V | head -1)" != "$go_needed" ]; then
    platform=$("$go" env GOHOSTOS)-$("$go" env GOHOSTARCH)
    # Outside a module a version must be asked for by name; modules carry no permissions.
    "$go" mod download "golang.org/toolchain@v0.0.1-go$go_fetched.$platform"
    root=$("$go" env GOMODCACHE)/golang.org/toolchain@v0.0.1-go$go_fetched.$platform
    chmod u+x "$root"/bin/* "$root"/pkg/tool/*/*
    go=$root/bin/go
    export GOROOT=$root
fi

"$go" install -trimpath -ldflags='-s -w' "$package" 2>"$work/log" ||
    { cat "$work/log" >&2; say "build-go: $package failed, see above"; exit 1; }
mv -f "$work/$name" "$out"
