#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which room may include which: the table of ARCHITECTURE.md, and the check that the code keeps it.
#
#   tools/check-layers.sh [ROOT]        fails on an include that the table does not allow
#   tools/check-layers.sh --self-test   proves on a tree of its own that it finds each kind
set -euo pipefail

# What a room may include besides itself: rooms, or single headers (a glob of ROOM/FILE).
declare -A may=(
    [core]=""
    [net]="core"
    [event]="core"
    [aws]="net core"
    [transfer]="net core"
    [platform]="transfer/source.h net core"
    [sink]="transfer/sink.h aws net core"
    [queue]="aws/sqs*.h event net/loop.h core"
    [schedule]="queue transfer net/loop.h core"
    [ingress]="event queue net core"
    [report]="queue core"
    [assemble]="core net event aws transfer platform sink queue schedule"
    [doctor]="assemble core net aws platform sink transfer"
    [lambda]="assemble aws/secrets.h platform/token.h core net event transfer queue schedule ingress report"
    [serve]="assemble platform/token.h core net event transfer queue schedule ingress report"
    [cli]="assemble doctor serve lambda/job_answer.h core net event transfer queue schedule ingress report"
    [main.c]="cli"
    [bootstrap.c]="lambda"
    [static_libc.c]=""
    [static_tls.c]=""
    [sim]="core net"
)

# Library headers that only some rooms may include.
declare -A home=(
    ["curl/*"]="net"
    ["sqlite3.h"]="queue"
    ["microhttpd.h"]="ingress sim"
    ["isa-l/*"]="core"
)

# Library headers whose types may not stand in a header of ours.
source_only="jansson.h expat.h"

matches() { # NAME PATTERN...: whether one of the patterns matches
    local name=$1 pattern
    shift
    for pattern; do
        # shellcheck disable=SC2053  # a pattern on purpose
        [[ $name == $pattern ]] && return 0
    done
    return 1
}

# Why FILE of ROOM may not include HEADER; nothing when it may.
objection() {
    local room=$1 file=$2 kind=$3 header=$4 library allowed
    if [ "$kind" = '<' ]; then
        for library in "${!home[@]}"; do
            # shellcheck disable=SC2086  # lists of words
            matches "$header" "$library" && ! matches "$room" ${home[$library]} &&
                echo "<$header> belongs to ${home[$library]}"
        done
        # shellcheck disable=SC2086
        [[ $file == *.h ]] && matches "$header" $source_only &&
            echo "<$header> belongs in .c files only"
        return 0
    fi
    if [[ $header != */* ]]; then
        [ -f "$(dirname "$file")/$header" ] || echo "\"$header\" is not in room '$room'"
        return 0
    fi
    [ "${header%%/*}" = "$room" ] && return 0
    allowed=()
    for library in ${may[$room]}; do
        [[ $library == */* ]] && allowed+=("$library") || allowed+=("$library/*")
    done
    matches "$header" "${allowed[@]}" || echo "room '$room' may not include \"$header\""
}

check_tree() {
    local bad=0 file room line number kind header why
    while IFS= read -r file; do
        room=${file#src/}
        room=${room%%/*}
        if [ ! "${may[$room]+known}" ]; then
            echo "$file: room '$room' is not in the table"
            bad=1
            continue
        fi
        while IFS=: read -r number line; do
            [[ $line =~ \#[[:space:]]*include[[:space:]]*([\"<])([^\">]+) ]] || continue
            kind=${BASH_REMATCH[1]} header=${BASH_REMATCH[2]}
            why=$(objection "$room" "$file" "$kind" "$header")
            [ -z "$why" ] || { echo "$file:$number: $why"; bad=1; }
        done < <(grep -nE '^[[:space:]]*#[[:space:]]*include' "$file")
    done < <(find src sim -name '*.[ch]' | sort)
    return "$bad"
}

self_test() {
    local tree failures=0
    tree=$(mktemp -d)
    # shellcheck disable=SC2064  # the value of now
    trap "rm -rf '$tree'" EXIT
    try() { # EXPECTED-STATUS FILE LINE
        local got=0
        rm -rf "${tree:?}"/*
        mkdir -p "$tree/src/core" "$tree/sim" "$tree/$(dirname "$2")"
        echo "$3" >"$tree/$2"
        (cd "$tree" && check_tree) >/dev/null || got=$?
        [ "$got" -eq "$1" ] || { echo "self-test: $2 with '$3' gave $got, not $1"; failures=1; }
    }
    try 0 src/net/http.c '#include "core/buf.h"'
    try 0 src/net/http.c '#include <curl/curl.h>'
    try 0 src/platform/voxel51.c '#include "transfer/source.h"'
    try 0 src/queue/sqs.c '#include "aws/sqs_api.h"'
    try 0 src/main.c '#include "cli/cli.h"'
    try 0 src/core/json.c '#include <jansson.h>'
    try 0 src/core/core.h '#include <stdint.h>'
    try 1 src/core/buf.c '#include "net/http.h"'
    try 1 src/platform/voxel51.c '#include "transfer/sink.h"'
    try 1 src/transfer/transfer.c '  #  include   "sink/sink_s3.h"'
    try 0 src/doctor/doctor_s3.c '#include "aws/s3.h"'
    try 1 src/assemble/assemble.c '#include "report/page.h"'
    try 1 src/queue/sqs.c '#include "aws/s3.h"'
    try 0 src/queue/sqs.c '#include "net/loop.h"'
    try 1 src/main.c '#include "net/loop.h"'
    try 1 src/aws/s3.c '#include <curl/curl.h>'
    try 1 src/core/json.h '#include <jansson.h>'
    try 1 src/net/server.c '#include <microhttpd.h>'
    try 1 sim/sim.c '#include "transfer/plan.h"'
    try 1 src/attic/old.c '#include "core/buf.h"'
    try 1 src/net/http.c '#include "url.h"'
    [ "$failures" -eq 0 ] && echo "check-layers: self-test ok"
    return "$failures"
}

if [ "${1-}" = --self-test ]; then
    self_test
    exit
fi
cd "${1:-"$(dirname "$0")/.."}"
if check_tree; then
    echo "layers: ok"
else
    echo "layers: FAILED; the table is in tools/check-layers.sh, its reasons in ARCHITECTURE.md"
    exit 1
fi
