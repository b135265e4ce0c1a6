#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The suites of `make check`, each within its own time; all are run, then one line says how it went.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/suites.sh
. tools/suites.sh

make=${MAKE:-make}
suite build          240 "$make" WERROR=1 all
suite layers          20 "$make" layers
suite lint           300 "$make" WERROR=1 lint-programs
suite unit           120 "$make" WERROR=1 unit
# Much of it is waiting: three at a time on two processors take three quarters of the time.
suite e2e            540 "$make" WERROR=1 E2E_JOBS=3 e2e
suite unit-sanitized 240 "$make" WERROR=1 SAN=address,undefined unit
suites_end "make check"
