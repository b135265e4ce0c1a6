# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by check.sh and check-all.sh: runs suites and remembers which failed.

suites_run=0
suites_failed=()

suite() { # NAME BUDGET_SECONDS COMMAND...
    suites_run=$((suites_run + 1))
    tools/suite.sh "$@" || suites_failed+=("$1")
}

suites_end() { # TITLE
    echo
    if [ ${#suites_failed[@]} -gt 0 ]; then
        echo "$1: FAILED: ${suites_failed[*]} (of $suites_run suites, in $SECONDS s)"
        exit 1
    fi
    echo "$1: all $suites_run suites ok in $SECONDS s"
}
