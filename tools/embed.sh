#!/bin/sh
# Writes a C file that holds a binary: embed.sh BINARY OUTPUT. For cloche-init inside the launcher.
set -eu
{
	printf '/* Made by tools/embed.sh. */\n#include "backends/linux/launcher.h"\n'
	printf 'const unsigned char launcher_init_program[] = {\n'
	od -An -v -tx1 "$1" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
	printf '};\nconst size_t launcher_init_size = sizeof(launcher_init_program);\n'
} >"$2"
