#include "base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits at *text and moves it behind them. */
static int take_number(const char **text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!is_digit(**text)) {
		return -EINVAL;
	}
	for (; is_digit(**text); (*text)++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(**text - '0'), &value)) {
			return -ERANGE;
		}
	}
	*ret = value;
	return 0;
}

int parse_u64(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	int r = take_number(&text, &value);

	if (r < 0) {
		return r;
	}
	if (*text) {
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

int parse_range(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	int r = parse_u64(text, &value);

	if (r < 0) {
		return r;
	}
	if (value < min || value > max) {
		return -ERANGE;
	}
	*ret = value;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMGT";
	uint64_t value = 0;
	int r = take_number(&text, &value);

	if (r < 0) {
		return r;
	}
	if (*text) {
		const char *suffix = strchr(suffixes, *text);
		if (!suffix || text[1]) {
			return -EINVAL;
		}
		if (__builtin_mul_overflow(
			    value, UINT64_C(1) << (10 * (suffix - suffixes + 1)), &value)) {
			return -ERANGE;
		}
	}
	*ret_bytes = value;
	return 0;
}

static uint64_t seconds_of_unit(char unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	default:
		return 0;
	}
}

int parse_duration(const char *text, uint64_t *ret_seconds)
{
	uint64_t total = 0;
	uint64_t value = 0;

	do {
		int r = take_number(&text, &value);
		if (r < 0) {
			return r;
		}
		uint64_t unit = *text ? seconds_of_unit(*text) : 1;
		if (unit == 0) {
			return -EINVAL;
		}
		if (__builtin_mul_overflow(value, unit, &value) ||
			__builtin_add_overflow(total, value, &total)) {
			return -ERANGE;
		}
		if (*text) {
			text++;
		}
	} while (*text);
	*ret_seconds = total;
	return 0;
}

int parse_bool(const char *text, bool *ret)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"yes", true}, {"true", true}, {"on", true}, {"no", false}, {"false", false},
		{"off", false}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i].word) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

int parse_milli(const char *text, uint64_t *ret_milli)
{
	uint64_t whole = 0;
	uint64_t milli = 0;
	int r = take_number(&text, &whole);

	if (r < 0) {
		return r;
	}
	if (*text == '.') {
		uint64_t weight = 100;
		text++;
		if (!is_digit(*text)) {
			return -EINVAL;
		}
		for (; is_digit(*text); text++, weight /= 10) {
			if (weight == 0) {
				return -EINVAL;
			}
			milli += (uint64_t)(*text - '0') * weight;
		}
	}
	if (*text) {
		return -EINVAL;
	}
	if (whole > UINT64_MAX / 1000 - 1) {
		return -ERANGE;
	}
	*ret_milli = whole * 1000 + milli;
	return 0;
}

bool parse_is_name(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 64 || *text == '-' || *text == '.') {
		return false;
	}
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		length;
}

size_t parse_utf8_length(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t length = 0;
	uint32_t value = 0;

	if (s[0] < 0x80) {
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		length = 2;
		value = s[0] & 0x1f;
	} else if ((s[0] & 0xf0) == 0xe0) {
		length = 3;
		value = s[0] & 0x0f;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		length = 4;
		value = s[0] & 0x07;
	} else {
		return 0;
	}
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
		value = value << 6 | (s[i] & 0x3f);
	}
	if ((length == 3 && value < 0x800) || (value >= 0xd800 && value <= 0xdfff) ||
		(length == 4 && (value < 0x10000 || value > 0x10ffff))) {
		return 0;
	}
	return length;
}

bool parse_is_utf8(const char *text)
{
	for (;;) {
		/* Nearly all of nearly every text. */
		while ((unsigned char)(*text - 1) < 0x7f) {
			text++;
		}
		size_t length = *text ? parse_utf8_length(text) : 0;
		if (length == 0) {
			return !*text;
		}
		text += length;
	}
}

int parse_absolute_path(const char *path, char **ret)
{
	char *clean = NULL;
	size_t used = 0;

	if (path[0] != '/') {
		return -EINVAL;
	}
	clean = malloc(strlen(path) + 2);
	if (!clean) {
		return -ENOMEM;
	}
	while (*path) {
		size_t length = strcspn(path, "/");
		if ((length == 2 && path[0] == '.' && path[1] == '.')) {
			free(clean);
			return -EINVAL;
		}
		for (size_t i = 0; i < length; i++) {
			if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f) {
				free(clean);
				return -EINVAL;
			}
		}
		if (length > 0 && !(length == 1 && path[0] == '.')) {
			clean[used++] = '/';
			memcpy(clean + used, path, length);
			used += length;
		}
		path += length;
		path += *path == '/';
	}
	if (used == 0) {
		clean[used++] = '/';
	}
	clean[used] = '\0';
	*ret = clean;
	return 0;
}

bool parse_is_windows_path(const char *text)
{
	return ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z')) &&
		text[1] == ':' && text[2] == '\\';
}

/* The names that are devices in every directory, with or without an extension. */
static bool is_windows_device(const char *name, size_t length)
{
	static const char *const devices[] = {
		"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"};
	size_t stem = 0;

	while (stem < length && name[stem] != '.') {
		stem++;
	}
	while (stem > 0 && name[stem - 1] == ' ') {
		stem--;
	}
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		if (strlen(devices[i]) == stem && strncasecmp(name, devices[i], stem) == 0) {
			return true;
		}
	}
	/* COM0 to COM9 and LPT0 to LPT9; the digit may be a raised one (two bytes). */
	return (stem == 4 || stem == 5) &&
		(strncasecmp(name, "COM", 3) == 0 || strncasecmp(name, "LPT", 3) == 0) &&
		(stem == 4 ? name[3] >= '0' && name[3] <= '9'
			   : memcmp(name + 3, "\xc2\xb9", 2) == 0 ||
					memcmp(name + 3, "\xc2\xb2", 2) == 0 ||
					memcmp(name + 3, "\xc2\xb3", 2) == 0);
}

static bool is_windows_name(const char *name, size_t length)
{
	for (size_t i = 0; i < length;) {
		size_t size = parse_utf8_length(name + i);
		if (size == 0 || (unsigned char)name[i] < 0x20 || name[i] == 0x7f ||
			strchr("<>:\"/|?*", name[i])) {
			return false;
		}
		i += size;
	}
	return name[length - 1] != '.' && name[length - 1] != ' ' &&
		!is_windows_device(name, length);
}

int parse_windows_path(const char *path, char **ret)
{
	char *clean = NULL;
	size_t used = 2;

	if (!parse_is_windows_path(path)) {
		return -EINVAL;
	}
	clean = malloc(strlen(path) + 2);
	if (!clean) {
		return -ENOMEM;
	}
	clean[0] = path[0] >= 'a' ? (char)(path[0] - 'a' + 'A') : path[0];
	clean[1] = ':';
	for (path += 2; *path;) {
		size_t length = strcspn(path, "\\");
		if (length > 0 && !is_windows_name(path, length)) {
			free(clean);
			return -EINVAL;
		}
		if (length > 0) {
			clean[used++] = '\\';
			memcpy(clean + used, path, length);
			used += length;
		}
		path += length;
		path += *path == '\\';
	}
	if (used == 2) {
		clean[used++] = '\\';
	}
	clean[used] = '\0';
	*ret = clean;
	return 0;
}

size_t parse_edit_distance(const char *a, const char *b, size_t limit)
{
	size_t row[65];
	size_t length_b = strlen(b);

	if (length_b >= sizeof(row) / sizeof(row[0]) || strlen(a) > 64) {
		return limit + 1;
	}
	for (size_t j = 0; j <= length_b; j++) {
		row[j] = j;
	}
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = change < shorter ? change : shorter;
		}
	}
	return row[length_b] > limit ? limit + 1 : row[length_b];
}
