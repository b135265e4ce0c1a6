#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/run-unit.sh PROGRAM...: runs cmocka programs. Of one that passes only cmocka's closing
# lines are shown, of one that fails everything.
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 programs_failed=()
count() { sed -n "s/^\[  $1  \] \([0-9]*\) test(s).*/\1/p" "$log" | tail -1; }

for program in "$@"; do
    status=0
    "$program" >"$log" 2>&1 </dev/null || status=$?
    ok=$(count PASSED)
    bad=$(count FAILED)
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
