#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds AWS's Lambda Runtime Interface Emulator, for the end-to-end tests, into FILE. Its releases
# are no versions that Go would take, hence the commit.
#
#   tools/build-rie.sh FILE
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: tools/build-rie.sh FILE" >&2; exit 2; }
package=github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie
exec "$(dirname "$0")/build-go.sh" "$1" \
    $package@v0.0.0-20261030222936-bef5c4ba774d 1.26.6 1.26.6
