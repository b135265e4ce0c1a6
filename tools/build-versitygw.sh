#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds versitygw, an S3 server for the end-to-end tests, into FILE.
#
#   tools/build-versitygw.sh FILE
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: tools/build-versitygw.sh FILE" >&2; exit 2; }
exec "$(dirname "$0")/build-go.sh" "$1" \
    github.com/versity/versitygw/cmd/versitygw@v1.8.0 1.25.0 1.25.1
