#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job end to end (`make demo`): simulated jobs complete, each one's webhook is handed to
# `egress invoke`, and what was stored is compared with the digest of what the simulator sent.
#
#   DEMO_TO=s3://BUCKET/PREFIX make demo    stores there instead of in build/demo/out; the proof is
#                                           then `egress verify`, which reads everything back
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=6 sizes=(--size 3K..40M --seed 191)
work=build/demo
to=${DEMO_TO:-$work/out}
rm -rf "$work"
mkdir -p "$work/webhooks"
say() { printf '%s\n' "$*"; }
fail() { say "demo: FAILED: $*"; exit 1; }

say "Starting the Platform's simulator with $jobs jobs (log: build/demo/sim.log) ..."
build/egress-sim --listen 127.0.0.1:0 --generate "$jobs" "${sizes[@]}" --state READY \
    --set running_ms=500 --webhook-dir "$work/webhooks" </dev/null \
    >"$work/ready" 2>"$work/sim.log" &
simulator=$!
trap 'kill "$simulator" 2>/dev/null || true' EXIT

wait_for() { # WHAT COMMAND...: until the command succeeds
    local what=$1 deadline=$((SECONDS + 30))
    shift
    until "$@"; do
        kill -0 "$simulator" 2>/dev/null || { cat "$work/sim.log"; fail "the simulator ended"; }
        [ "$SECONDS" -lt "$deadline" ] || fail "no $what after 30 s"
        sleep 0.05
    done
}
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$work/ready"; }

wait_for "simulator" grep -q listening "$work/ready"
VOXEL51_API_BASE_URL=$(field listening)
VOXEL51_API_PRIVATE_KEY=$(field token)
export VOXEL51_API_BASE_URL VOXEL51_API_PRIVATE_KEY

say "Waiting for the jobs to complete and handing each webhook to: egress invoke --to $to ..."
declare -A answered=()
handle_webhooks() { # true when all jobs have been handled
    local webhook id
    for webhook in "$work"/webhooks/*.json; do
        id=$(basename "$webhook" .json)
        { [ -e "$webhook" ] && [ ! "${answered[$id]+yes}" ]; } || continue
        answered[$id]=1
        if ! build/egress invoke --to "$to" "$webhook" >"$work/answer" 2>"$work/log" </dev/null ||
            ! grep -q '"statusCode": *200' "$work/answer"; then
            cat "$work/log" "$work/answer"
            fail "job $id was not stored"
        fi
    done
    [ "${#answered[@]}" -ge "$jobs" ]
}
wait_for "webhook of every job" handle_webhooks

bad=0
if [[ $to == s3://* ]]; then
    build/egress verify --to "$to" || bad=1
else
    printf '\n%-38s %10s  %-14s %s\n' job bytes sha256 result
    for id in "${!answered[@]}"; do
        file=$(find "${to#file://}/$id" -type f)
        expected=$(build/egress-sim --digest "$id" "${sizes[@]}" | cut -d' ' -f1)
        actual=$(sha256sum <"$file" | cut -d' ' -f1)
        result=identical
        [ "$actual" = "$expected" ] || { result=DIFFERENT; bad=1; }
        printf '%-38s %10d  %-14s %s\n' "$id" "$(stat -c %s "$file")" "${actual:0:12}.." "$result"
    done
fi
say ""
[ "$bad" -eq 0 ] || fail "what is stored is not what was sent"
say "All $jobs outputs are stored, byte for byte, in $to"
