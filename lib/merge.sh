#!/bin/sh
# merge.sh OBJECT ARCHIVE PUBLIC-ARCHIVE OTHER...: one object, and an archive of it, in which only
# cloche_* can be seen. What of the others nobody needs is left out.
set -eu
object=$1
archive=$2
public=$3
shift 3
ld -r -o "$object" --whole-archive "$public" --no-whole-archive --start-group "$@" --end-group
objcopy --wildcard --keep-global-symbol='cloche_*' "$object"
rm -f "$archive"
ar rcsD "$archive" "$object"
