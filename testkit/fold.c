#include "testkit/fold.h"

#include <stdbool.h>
#include <string.h>

#define COLUMNS 80

void fold(const char *text, int indent, FILE *out)
{
	int column = 0;
	bool empty = true; /* this line, so far */

	while (*text) {
		int length = (int)strcspn(text, " ");
		if (!empty && column + 1 + length > COLUMNS) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
			empty = true;
		}
		/* A word longer than a line is cut where the line ends. */
		int gap = empty ? 0 : 1;
		int room = COLUMNS - column - gap;
		int size = length < room ? length : room;
		(void)fprintf(out, "%*s%.*s", gap, "", size, text);
		column += gap + size;
		text += size;
		empty = false;
		if (*text == ' ') {
			text++;
		} else if (*text) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
			empty = true;
		}
	}
	(void)fputc('\n', out);
}
