#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds versitygw, an S3 server for the end-to-end tests, out of the Go module proxy into FILE.
#
#   tools/build-versitygw.sh FILE
#
# Any Go from 1.19 (Debian 12's) on will do: one that is too old for versitygw fetches a newer one,
# which is a Go module too, checksums included. What is downloaded and compiled stays in Go's own
# caches, so that doing it again takes seconds.
set -euo pipefail

version=v1.8.0    # of versitygw
go_needed=1.25.0  # by its go.mod
go_fetched=1.25.1 # when there is only an older one

say() { printf '%s\n' "$*" >&2; }

[ $# -eq 1 ] || { say "usage: tools/build-versitygw.sh FILE"; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
command -v go >/dev/null || { say "build-versitygw: no go here; run: make deps"; exit 1; }

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

"$go" install -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$version" \
    2>"$work/log" || { cat "$work/log" >&2; say "build-versitygw: failed, see above"; exit 1; }
mv -f "$work/versitygw" "$out"
