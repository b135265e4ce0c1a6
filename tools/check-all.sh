#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The suites of `make check-all`: what is too long for `make check`.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/suites.sh
. tools/suites.sh

make=${MAKE:-make}
suite s3-server      600 "$make" build/tools/versitygw
suite lint-tests     300 "$make" WERROR=1 lint
suite e2e-long      1200 "$make" WERROR=1 e2e-long
suite e2e-aws        900 "$make" WERROR=1 e2e-aws
suite e2e-sanitized  900 "$make" WERROR=1 SAN=address,undefined e2e
suite e2e-page       400 "$make" WERROR=1 e2e-page
suite torture        400 "$make" WERROR=1 torture
suite unit-threads   900 "$make" WERROR=1 SAN=thread unit
suite e2e-threads    300 "$make" WERROR=1 e2e-threads
suite fuzz           600 "$make" WERROR=1 fuzz
suite packaging      400 tools/check-packaging.sh
suites_end "make check-all"
