#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/run-fuzz.sh SECONDS PROGRAM...: runs each libFuzzer target for a bounded time, as many at
# once as there are processors. What it finds stays in build/fuzz/corpus; a crashing input in
# build/fuzz/crash-TARGET-*.
set -euo pipefail

run_one() {
    local seconds=$1 program=$2 name log runs
    name=$(basename "$program")
    log=build/fuzz/$name.log
    mkdir -p "build/fuzz/corpus/$name"
    local seeds=tests/fuzz/corpus/${name#fuzz_}
    [ -d "$seeds" ] || { echo "$name: no seeds in $seeds"; return 1; }
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crash-$name-" "build/fuzz/corpus/$name" "$seeds" \
        >"$log" 2>&1 </dev/null; then
        runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
        echo "$name: ok, $runs inputs in $seconds s"
    else
        tail -60 "$log"
        echo "$name: FAILED; its input, if there is one: build/fuzz/crash-$name-*"
        return 1
    fi
}

if [ "${1-}" = --one ]; then
    run_one "$2" "$3"
    exit
fi
seconds=$1
shift
[ $# -gt 0 ] || { echo "run-fuzz: no targets"; exit 1; }
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" --one "$seconds"
echo "$# targets ok"
