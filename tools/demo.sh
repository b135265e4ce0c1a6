#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole system on one machine (`make demo`): simulated jobs complete, the simulator's webhooks
# go to a running `egress serve`, which stores their outputs; what was stored is then compared with
# the digest of what the simulator sent.
#
#   DEMO_KEEP=1 make demo                   goes on until Ctrl-C, to look at the page
#   DEMO_TO=s3://BUCKET/PREFIX make demo    stores there instead of in build/demo/out; the proof is
#                                           then `egress verify`, which reads everything back
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=6 sizes=(--size 3K..40M --seed 191)
work=build/demo
to=${DEMO_TO:-$work/out}
journal=$work/egress.journal
rm -rf "$work"
mkdir -p "$work"
say() { printf '%s\n' "$*"; }
fail() { say "demo: FAILED: $*"; exit 1; }

simulator='' daemon=''
finish() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    [ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true
    wait
}
trap finish EXIT

# The simulator has to know where webhooks go before anything listens there.
free_port() {
    local port
    for port in $(seq 18080 2 18980); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    fail "no free port from 18080 to 18980"
}
wait_for() { # WHAT COMMAND...: until the command succeeds
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        kill -0 "$simulator" 2>/dev/null || { cat "$work/sim.log"; fail "the simulator ended"; }
        [ -z "$daemon" ] || kill -0 "$daemon" 2>/dev/null ||
            { cat "$work/serve.log"; fail "egress serve ended"; }
        [ "$SECONDS" -lt "$deadline" ] || { tail "$work"/*.log; fail "no $what after 60 s"; }
        sleep 0.05
    done
}
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$work/ready"; }

port=$(free_port)
say "Starting the Platform's simulator with $jobs jobs (log: $work/sim.log) ..."
build/egress-sim --listen 127.0.0.1:0 --generate "$jobs" "${sizes[@]}" --state READY \
    --set running_ms=500 --set webhook_retries=20 --set webhook_retry_ms=250 \
    --webhook "http://127.0.0.1:$port/job-complete" </dev/null >"$work/ready" 2>"$work/sim.log" &
simulator=$!
wait_for "simulator" grep -q listening "$work/ready"
VOXEL51_API_BASE_URL=$(field listening)
VOXEL51_API_PRIVATE_KEY=$(field token)
export VOXEL51_API_BASE_URL VOXEL51_API_PRIVATE_KEY

say "Starting egress serve (log: $work/serve.log), storing into $to ..."
build/egress serve --listen "127.0.0.1:$port" --admin 127.0.0.1:0 --journal "$journal" --to "$to" \
    </dev/null 2>"$work/serve.log" &
daemon=$!
wait_for "admin page" grep -q 'admin page: ' "$work/serve.log"
page=$(sed -n 's|.*admin page: \(http://[^" ]*\).*|\1|p' "$work/serve.log")

say "Jobs complete, webhooks arrive, outputs are stored ..."
all_stored() {
    build/egress status --json --journal "$journal" 2>/dev/null >"$work/status" &&
        grep -q "\"stored\":$jobs,\"failed\":0,\"dead\":0" "$work/status"
}
wait_for "end of all jobs" all_stored
say ""
build/egress status --journal "$journal"

bad=0
if [[ $to == s3://* ]]; then
    build/egress verify --to "$to" || bad=1
else
    printf '\n%-38s %10s  %-14s %s\n' job bytes sha256 result
    for folder in "${to#file://}"/*/; do
        id=$(basename "$folder")
        file=$(find "$folder" -type f)
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
if [ -n "${DEMO_KEEP-}" ]; then
    say "The page: $page (Ctrl-C ends the demo)"
    trap 'exit 0' INT TERM
    wait "$daemon" || true
else
    say "The page was at $page; DEMO_KEEP=1 make demo keeps it running, to look at it."
fi
