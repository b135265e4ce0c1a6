#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `sam build` packs into a function: the Lambda program of an architecture. The one that lies
# there is taken unless something that it is made of has changed since; then it is built, where that
# is possible.
#
#   tools/build-function.sh x86_64|arm64 FOLDER
set -euo pipefail

arch=$1 folder=$2
program=build/lambda/$arch/bootstrap
fail() { echo "build-function: $*" >&2; exit 1; }

case $arch in
x86_64 | arm64) ;;
*) fail "EGRESS_ARCH is '$arch'; expected x86_64 or arm64, as the parameter Architecture has it" ;;
esac
[ -n "$folder" ] || fail "ARTIFACTS_DIR is not set; this target is for \`sam build\` to call"

changed=
[ ! -f "$program" ] ||
    changed=$(find src Makefile tools/build-static-libs.sh -type f -newer "$program" -print -quit)
if [ ! -f "$program" ] || [ -n "$changed" ]; then
    if command -v apt-get >/dev/null && [ -w . ]; then
        mkdir -p build
        (
            flock 9 # `sam build --parallel` wants it for both functions at once
            "${MAKE:-make}" lambda ARCH="$arch" >&2
        ) 9>build/lambda.lock
    elif [ -f "$program" ]; then
        echo "build-function: taking $program, which is older than $changed" >&2
    elif command -v apt-get >/dev/null; then
        fail "no $program, and this folder cannot be written to: run \`make lambda ARCH=$arch\`" \
            "before, or \`sam build\` with --no-build-in-source"
    else
        fail "no $program, and it is built on Debian and Ubuntu only: run" \
            "\`make lambda ARCH=$arch\` there and bring the file here, or build in a container" \
            "(docs/aws.md)"
    fi
fi
mkdir -p "$folder"
install -m 755 "$program" "$folder/bootstrap"
