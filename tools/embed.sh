#!/bin/sh
# Writes a C file that holds a binary: embed.sh BINARY OUTPUT HEADER NAME. For the programs of ours
# that others of ours run: NAME_program and NAME_size, which HEADER declares.
set -eu
{
	printf '/* Made by tools/embed.sh. */\n#include "%s"\n' "$3"
	printf 'const unsigned char %s_program[] = {\n' "$4"
	od -An -v -tx1 "$1" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
	printf '};\nconst size_t %s_size = sizeof(%s_program);\n' "$4" "$4"
} >"$2"
