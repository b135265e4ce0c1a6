#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes page_files.c: the files of the page as a table (src/report/page_files.h), without the
# indentation of their lines. With nothing but what POSIX has, since every build needs it.
#
#   tools/embed.sh FILE... >page_files.c
set -eu

table=
echo "/* Made by tools/embed.sh of: $* */"
echo '#include "report/page_files.h"'
for file; do
    name=$(basename "$file")
    bytes=$(echo "$name" | tr . _)
    path=/$name
    case $name in
    *.html) path=/ type=text/html ;;
    *.css) type=text/css ;;
    *.js) type=text/javascript ;;
    *) echo "embed.sh: $file: neither .html, .css nor .js" >&2; exit 1 ;;
    esac
    echo
    echo "static const unsigned char ${bytes}[] = {"
    sed 's/^ *//' "$file" | od -An -v -tu1 | sed 's/[0-9][0-9]*/&,/g'
    echo '};'
    table="$table    {\"$path\", \"$type; charset=utf-8\", ${bytes}, sizeof(${bytes})},
"
done
echo
echo 'const struct page_file page_files[] = {'
printf '%s' "$table"
echo '    {0},'
echo '};'
