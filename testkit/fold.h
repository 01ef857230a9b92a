/*
 * Lines for a page of 80 columns.
 */
#pragma once

#include <stdio.h>

/*
 * Prints text with its words folded to 80 columns; what follows the first line stands behind indent
 * blanks. Words longer than a line are cut where it ends. text must be free of control characters.
 */
void fold(const char *text, int indent, FILE *out);
