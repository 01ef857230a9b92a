/*
 * The states are those of ECMA-48 as terminals of today read it, with two bounds of our own: a
 * title (OSC) ends with its line and any other string after TERMINAL_STRING bytes, so that one
 * that is never ended hides no more than that.
 *
 * The 8-bit forms of the same controls (0x80 to 0x9f) are no characters of UTF-8, and some
 * terminals obey them even where they come as U+0080 to U+009F: neither passes.
 */
#include "base/terminal.h"

#include <string.h>

#define ESCAPE 0x1b
#define CANCEL 0x18
#define SUBSTITUTE 0x1a
#define LARGEST 9999 /* of a parameter: nothing has so many rows, and none is repeated so often */

/* After ESC and nothing else: save and restore the cursor, down, next line, up. */
static const char plain[] = "78DEM";

/* "ESC [", a prefix, parameters, an intermediate byte: those that may come before one of finals. */
static const struct {
	char prefix, between;
	const char *finals;
	unsigned parameters; /* at most */
} controls[] = {
	/* insert, move, erase, scroll, repeat, margins */
	{0, 0, "@ABCDEFGHIJKLMPXZ`abdefr", 2}, {0, 0, "ST", 1}, /* with more, T tracks the mouse */
	{0, 0, "su", 0}, /* save and restore the cursor */
	{0, 0, "m", 32}, /* colours */
	{'?', 0, "JK", 1}, /* erase what is not protected */
	{0, '!', "p", 0}, /* soft reset */
	{0, ' ', "q", 1}, /* the cursor's shape */
};

/* Modes that "h" and "l" may set and reset. */
static const struct {
	char prefix;
	unsigned number;
	bool screen;
} modes[] = {
	{0, 4, false}, /* insert */
	{'?', 6, false}, /* origin */
	{'?', 7, false}, /* wrap */
	{'?', 25, false}, /* show the cursor */
	{'?', 47, true},
	{'?', 1047, true},
	{'?', 1048, false}, /* save the cursor */
	{'?', 1049, true},
};

struct control {
	char prefix, between;
	unsigned count;
	unsigned parameters[TERMINAL_SEQUENCE];
	bool colons;
};

static void drop(struct terminal_filter *filter)
{
	filter->dropped++;
	filter->state = TERMINAL_GROUND;
}

/* One number and what separates it from the next. Advances *at. */
static bool read_parameter(const uint8_t *text, size_t length, size_t *at, struct control *ret)
{
	unsigned value = 0;

	for (; *at < length && text[*at] >= '0' && text[*at] <= '9'; (*at)++) {
		value = value * 10 + (text[*at] - '0');
		if (value > LARGEST) {
			return false;
		}
	}
	ret->parameters[ret->count++] = value;
	if (*at < length && (text[*at] == ';' || text[*at] == ':')) {
		ret->colons = ret->colons || text[*at] == ':';
		(*at)++;
	}
	return true;
}

/* What stands between "ESC [" and the final byte, taken apart. */
static bool read_control(const struct terminal_filter *filter, struct control *ret)
{
	const uint8_t *text = filter->kept;
	size_t length = filter->length;
	size_t at = 0;

	*ret = (struct control){0};
	if (length > sizeof(filter->kept)) {
		return false;
	}
	if (at < length && text[at] >= '<' && text[at] <= '?') {
		ret->prefix = (char)text[at++];
	}
	while (at < length && text[at] >= '0' && text[at] <= ';') {
		if (!read_parameter(text, length, &at, ret)) {
			return false;
		}
	}
	if (at < length && text[at] < '0') {
		ret->between = (char)text[at++];
	}
	return at == length;
}

static void pass(const struct terminal_filter *filter, uint8_t final, struct buf *out)
{
	buf_put(out, "\033[", 2);
	buf_put(out, filter->kept, filter->length);
	buf_put_u8(out, final);
}

/* One sequence may set many: each that may be set is set by itself. */
static bool pass_modes(
	struct terminal_filter *filter, const struct control *control, bool set, struct buf *out)
{
	bool all = control->count > 0 && !control->between && !control->colons;

	for (unsigned i = 0; !control->between && !control->colons && i < control->count; i++) {
		bool known = false;
		for (size_t j = 0; j < ARRAY_SIZE(modes); j++) {
			if (modes[j].prefix == control->prefix &&
				modes[j].number == control->parameters[i]) {
				known = true;
				filter->alternate = modes[j].screen ? set : filter->alternate;
				buf_printf(out, "\033[%s%u%c", control->prefix ? "?" : "",
					modes[j].number, set ? 'h' : 'l');
			}
		}
		all = all && known;
	}
	return all;
}

static bool may_pass(const struct control *control, uint8_t final)
{
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		if (controls[i].prefix == control->prefix &&
			controls[i].between == control->between &&
			strchr(controls[i].finals, final)) {
			/* What was scrolled away is the watcher's own. */
			bool scrolled = final == 'J' && control->count > 0 &&
				(control->count > 1 || control->parameters[0] == 3);
			return control->count <= controls[i].parameters && !scrolled &&
				(!control->colons || final == 'm');
		}
	}
	return false;
}

static void end_control(struct terminal_filter *filter, uint8_t final, struct buf *out)
{
	struct control control;
	bool passed = read_control(filter, &control);

	if (passed && (final == 'h' || final == 'l')) {
		passed = pass_modes(filter, &control, final == 'h', out);
	} else if (passed && may_pass(&control, final)) {
		pass(filter, final, out);
	} else {
		passed = false;
	}
	filter->dropped += !passed;
	filter->state = TERMINAL_GROUND;
}

static void take_control(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	if (byte >= 0x40) {
		end_control(filter, byte, out);
	} else if (byte >= 0x20 && filter->length++ < sizeof(filter->kept)) {
		filter->kept[filter->length - 1] = byte;
	}
	/* A terminal obeys a control byte in between; nobody needs it to. */
}

static void take_designate(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	if (byte < 0x30) {
		filter->length++; /* with two in between there is none we know */
		return;
	}
	/* ASCII and line drawing. Others could make a terminal read 8-bit controls. */
	if (filter->length == 1 && (filter->kept[0] == '(' || filter->kept[0] == ')') &&
		(byte == 'B' || byte == '0')) {
		buf_put_u8(out, ESCAPE);
		buf_put_u8(out, filter->kept[0]);
		buf_put_u8(out, byte);
		filter->state = TERMINAL_GROUND;
		return;
	}
	drop(filter);
}

static void take_escape(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	static const char full_reset[] =
		"\033[!p\033[H\033[2J"; /* as far as it concerns the screen */

	filter->length = 0;
	if (byte == '[') {
		filter->state = TERMINAL_CONTROL;
	} else if (byte == ']') {
		filter->dropped++;
		filter->state = TERMINAL_TEXT;
	} else if (strchr("PX^_k", byte)) {
		filter->dropped++;
		filter->state = TERMINAL_STRINGS;
	} else if (byte < 0x30) {
		filter->kept[filter->length++] = byte;
		filter->state = TERMINAL_DESIGNATE;
	} else if (byte == '\\') {
		filter->state = TERMINAL_GROUND; /* the end of a string */
	} else if (strchr(plain, byte)) {
		buf_put_u8(out, ESCAPE);
		buf_put_u8(out, byte);
		filter->state = TERMINAL_GROUND;
	} else {
		buf_put(out, full_reset, byte == 'c' ? sizeof(full_reset) - 1 : 0);
		filter->dropped += byte != 'c';
		filter->state = TERMINAL_GROUND;
	}
}

static void take_string(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	if (filter->state == TERMINAL_TEXT && byte == '\n') {
		buf_put_u8(out, '\n');
		filter->state = TERMINAL_GROUND;
	} else if ((filter->state == TERMINAL_TEXT && byte == '\a') ||
		++filter->length >= TERMINAL_STRING) {
		filter->state = TERMINAL_GROUND;
	}
}

static void put_unknown(const struct terminal_filter *filter, struct buf *out)
{
	buf_put(out, filter->ascii ? "?" : "\357\277\275", filter->ascii ? 1 : 3);
}

/* The first byte of a character of more than one. */
static void begin_character(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	filter->wanted = byte >= 0xc2 && byte <= 0xdf ? 2
		: byte >= 0xe0 && byte <= 0xef        ? 3
		: byte >= 0xf0 && byte <= 0xf4        ? 4
						      : 0;
	if (filter->wanted == 0) {
		put_unknown(filter, out);
		return;
	}
	filter->kept[0] = byte;
	filter->length = 1;
	filter->state = TERMINAL_CHARACTER;
}

/* Not too long a form, no half of a pair, not above U+10FFFF. */
static bool goes_on(const struct terminal_filter *filter, uint8_t byte)
{
	uint8_t first = filter->kept[0];
	uint8_t low = 0x80;
	uint8_t high = 0xbf;

	if (filter->length == 1) {
		low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : low;
		high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : high;
	}
	return byte >= low && byte <= high;
}

/* False: byte is not its, and begins something of its own. */
static bool take_character(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	if (!goes_on(filter, byte)) {
		put_unknown(filter, out);
		filter->state = TERMINAL_GROUND;
		return false;
	}
	filter->kept[filter->length++] = byte;
	if (filter->length < filter->wanted) {
		return true;
	}
	filter->state = TERMINAL_GROUND;
	if (filter->kept[0] == 0xc2 && byte < 0xa0) {
		filter->dropped++; /* an 8-bit control in disguise */
	} else if (filter->ascii) {
		put_unknown(filter, out);
	} else {
		buf_put(out, filter->kept, filter->length);
	}
	return true;
}

/* Bell, and what moves the cursor or chooses between two sets; ENQ makes a terminal answer. */
static bool is_harmless(uint8_t byte)
{
	return byte >= '\a' && byte <= 0x0f;
}

static void take_ground(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	if (byte >= 0x80) {
		begin_character(filter, byte, out);
	} else if ((byte >= ' ' && byte < 0x7f) || is_harmless(byte)) {
		buf_put_u8(out, byte);
	}
}

/* Escape and cancel mean the same wherever they come; a byte of no sequence ends one. */
static bool interrupts(struct terminal_filter *filter, uint8_t byte)
{
	bool string = filter->state == TERMINAL_TEXT || filter->state == TERMINAL_STRINGS;
	bool sequence = filter->state >= TERMINAL_ESCAPE && !string;

	if (byte == ESCAPE || byte == CANCEL || byte == SUBSTITUTE) {
		filter->dropped += sequence;
		filter->state = byte == ESCAPE ? TERMINAL_ESCAPE : TERMINAL_GROUND;
		filter->length = 0;
		return true;
	}
	if (sequence && (byte >= 0x7f || (byte < 0x20 && filter->state != TERMINAL_CONTROL))) {
		drop(filter);
	}
	return false;
}

static void take(struct terminal_filter *filter, uint8_t byte, struct buf *out)
{
	if (filter->state == TERMINAL_CHARACTER && take_character(filter, byte, out)) {
		return;
	}
	if (interrupts(filter, byte)) {
		return;
	}
	switch (filter->state) {
	case TERMINAL_ESCAPE:
		take_escape(filter, byte, out);
		break;
	case TERMINAL_DESIGNATE:
		take_designate(filter, byte, out);
		break;
	case TERMINAL_CONTROL:
		take_control(filter, byte, out);
		break;
	case TERMINAL_TEXT:
	case TERMINAL_STRINGS:
		take_string(filter, byte, out);
		break;
	case TERMINAL_GROUND:
	case TERMINAL_CHARACTER:
		take_ground(filter, byte, out);
		break;
	}
}

void terminal_filter(struct terminal_filter *filter, const void *data, size_t size, struct buf *out)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++) {
		take(filter, bytes[i], out);
	}
}
