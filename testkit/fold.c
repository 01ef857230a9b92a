#include "testkit/fold.h"

#include <string.h>

#define COLUMNS 80

void fold(const char *text, int indent, FILE *out)
{
	int column = COLUMNS; /* the first word decides that a line begins */
	const char *gap = "";

	while (*text) {
		size_t length = strcspn(text, " ");
		if (column < COLUMNS && column + 1 + (int)length > COLUMNS) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
			gap = "";
		}
		if (column == COLUMNS) {
			column = 0;
		}
		/* A word longer than a line is cut where the line ends. */
		int room = COLUMNS - column - (int)strlen(gap);
		int size = (int)length < room ? (int)length : room;
		(void)fprintf(out, "%s%.*s", gap, size, text);
		column += (int)strlen(gap) + size;
		text += size;
		if (*text == ' ') {
			gap = " ";
			text++;
		} else if (*text) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
			gap = "";
		}
	}
	(void)fputc('\n', out);
}
