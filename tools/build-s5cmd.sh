#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds s5cmd, an S3 client that make bench measures egress against, out of the Go module proxy into
# FILE.
#
#   tools/build-s5cmd.sh FILE
#
# By a module that requires it, as `go install` wants the proxy's list of versions, which not every
# one has.
set -euo pipefail

version=v2.3.0

say() { printf '%s\n' "$*" >&2; }

[ $# -eq 1 ] || { say "usage: tools/build-s5cmd.sh FILE"; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
command -v go >/dev/null || { say "build-s5cmd: no go here"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOFLAGS=-mod=mod CGO_ENABLED=0
module=github.com/peak/s5cmd/v2
printf 'module bench\n\ngo 1.19\n\nrequire %s %s\n' "$module" "$version" >go.mod
printf '//go:build tools\n\npackage bench\n\nimport _ "%s"\n' "$module" >tools.go
go build -trimpath -ldflags="-s -w -X $module/version.Version=$version" -o "$work/s5cmd" "$module" \
    2>"$work/log" || { tail -5 "$work/log" >&2; say "build-s5cmd: failed, see above"; exit 1; }
mv -f "$work/s5cmd" "$out"
