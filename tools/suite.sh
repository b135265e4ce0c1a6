#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/suite.sh NAME BUDGET_SECONDS COMMAND...: runs one suite of checks within a time limit, at
# which its whole process group is ended, and says how it went.
set -euo pipefail

name=$1 budget=$2
shift 2
printf '\n== %s\n' "$name"
set -m # a group of its own, and SIGINT not ignored in it
timeout --kill-after=10 "$budget" "$@" </dev/null &
pid=$!
trap 'kill "$pid" 2>/dev/null || true' INT TERM
status=0
wait "$pid" || status=$?
took="$SECONDS s (budget $budget s)"
case $status in
0) printf '%s: ok in %s\n' "$name" "$took" ;;
124 | 137) printf '%s: FAILED, over its time: %s\n' "$name" "$took" ;;
*) printf '%s: FAILED (status %s) after %s\n' "$name" "$status" "$took" ;;
esac
exit "$status"
