#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/run-unit.sh PROGRAM...: runs cmocka programs, a few at a time, as they mostly wait. Of one
# that passes only cmocka's closing lines are shown, of one that fails everything.
set -euo pipefail

at_a_time=4
logs=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT
passed=0 failed=0 programs_failed=()
count() { sed -n "s/^\[  $1  \] \([0-9]*\) test(s).*/\1/p" "$2" | tail -1; }

run() { # PROGRAM LOG
    local status=0
    "$1" >"$2" 2>&1 </dev/null || status=$?
    echo "$status" >"$2.status"
}

running=0 n=0
for program in "$@"; do
    [ "$running" -lt "$at_a_time" ] || { wait -n; running=$((running - 1)); }
    n=$((n + 1))
    run "$program" "$logs/$n" &
    running=$((running + 1))
done
wait

n=0
for program in "$@"; do
    n=$((n + 1))
    log=$logs/$n
    status=$(cat "$log.status")
    ok=$(count PASSED "$log")
    bad=$(count FAILED "$log")
    passed=$((passed + ${ok:-0}))
    failed=$((failed + ${bad:-0}))
    printf '%s\n' "${program#build/}"
    if [ "$status" -eq 0 ] && [ "${ok:-0}" -gt 0 ] && [ "${bad:-0}" -eq 0 ]; then
        grep '^\[  PASSED  \]' "$log"
        continue
    fi
    cat "$log"
    programs_failed+=("$program (status $status)")
    # One that ended without naming a failed test (a sanitizer, a crash, no test at all) is one.
    [ "${bad:-0}" -gt 0 ] || failed=$((failed + 1))
done

[ ${#programs_failed[@]} -eq 0 ] || printf 'failed: %s\n' "${programs_failed[@]}"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
