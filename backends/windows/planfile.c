#include "planfile.h"

#include <stdlib.h>
#include <string.h>
#include <windows.h>

/* What is left; NULL once something did not fit. */
struct input {
	const char *at, *end;
};

static bool take(struct input *in, const char *text)
{
	size_t length = strlen(text);

	if (!in->at || (size_t)(in->end - in->at) < length || memcmp(in->at, text, length) != 0) {
		return false;
	}
	in->at += length;
	return true;
}

static bool take_hex(struct input *in, unsigned *ret)
{
	*ret = 0;
	for (int i = 0; i < 4; i++) {
		char c = in->at < in->end ? *in->at++ : 0;
		if (c >= '0' && c <= '9') {
			*ret = *ret * 16 + (unsigned)(c - '0');
		} else if (c >= 'a' && c <= 'f') {
			*ret = *ret * 16 + (unsigned)(c - 'a') + 10;
		} else if (c >= 'A' && c <= 'F') {
			*ret = *ret * 16 + (unsigned)(c - 'A') + 10;
		} else {
			return false;
		}
	}
	return true;
}

/* What stands behind a backslash; control bytes are the only ones written by number. */
static bool take_escape(struct input *in, char *ret)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	char c = in->at < in->end ? *in->at++ : 0;
	const char *found = c ? strchr(letters, c) : NULL;
	unsigned number = 0;

	if (found) {
		*ret = values[found - letters];
		return true;
	}
	if (c != 'u' || !take_hex(in, &number) || number == 0 || number >= 0x80) {
		return false;
	}
	*ret = (char)number;
	return true;
}

static bool take_string(struct input *in, wchar_t **ret)
{
	char *bytes = in->at ? malloc((size_t)(in->end - in->at) + 1) : NULL;
	int used = 0;

	if (!bytes || !take(in, "\"")) {
		return false;
	}
	while (in->at < in->end && *in->at != '"') {
		char c = *in->at++;
		if ((unsigned char)c < 0x20 || (c == '\\' && !take_escape(in, &c))) {
			return false;
		}
		bytes[used++] = c;
	}
	bytes[used] = '\0';
	int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, bytes, used + 1, NULL, 0);
	*ret = length > 0 ? calloc((size_t)length, sizeof(wchar_t)) : NULL;
	if (*ret) {
		(void)MultiByteToWideChar(
			CP_UTF8, MB_ERR_INVALID_CHARS, bytes, used + 1, *ret, length);
	}
	free(bytes);
	return *ret && take(in, "\"");
}

static bool take_text(struct input *in, const char *key, wchar_t **ret)
{
	return take(in, key) && take_string(in, ret);
}

static bool take_text_or_null(struct input *in, const char *key, wchar_t **ret)
{
	return take(in, key) && (take(in, "null") || take_string(in, ret));
}

static bool take_bool(struct input *in, const char *key, bool *ret)
{
	if (!take(in, key)) {
		return false;
	}
	*ret = take(in, "true");
	return *ret || take(in, "false");
}

static bool take_number(struct input *in, const char *key, uint64_t *ret)
{
	const char *start = NULL;

	*ret = 0;
	if (!take(in, key)) {
		return false;
	}
	start = in->at;
	while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
		uint64_t digit = (uint64_t)(*in->at++ - '0');
		if (*ret > (UINT64_MAX - digit) / 10) {
			return false;
		}
		*ret = *ret * 10 + digit;
	}
	return in->at > start && (*start != '0' || in->at == start + 1);
}

static bool take_list(struct input *in, const char *key, struct planfile_list *ret)
{
	if (!take(in, key) || !take(in, "[")) {
		return false;
	}
	while (!take(in, "]")) {
		if ((ret->count > 0 && !take(in, ",")) || ret->count == PLANFILE_MAX_LIST ||
			!take_string(in, &ret->items[ret->count])) {
			return false;
		}
		ret->count++;
	}
	return true;
}

static bool take_access(struct input *in, enum planfile_access *ret)
{
	static const char *const names[] = {"\"deny\"", "\"read\"", "\"traverse\"", "\"write\""};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (take(in, names[i])) {
			*ret = (enum planfile_access)i;
			return true;
		}
	}
	return false;
}

static bool take_aces(struct input *in, struct planfile *ret)
{
	if (!take(in, "[")) {
		return false;
	}
	while (!take(in, "]")) {
		struct planfile_ace *ace = &ret->aces[ret->ace_count];
		if ((ret->ace_count > 0 && !take(in, ",")) || ret->ace_count == PLANFILE_MAX_LIST ||
			!take(in, "{\"access\":") || !take_access(in, &ace->access) ||
			!take_bool(in, ",\"optional\":", &ace->optional) ||
			!take_text(in, ",\"path\":", &ace->path) || !take(in, "}")) {
			return false;
		}
		ret->ace_count++;
	}
	return true;
}

/* The plan says how it is undone: by the same paths from the last to the first. */
static bool take_undo(struct input *in, const struct planfile *plan)
{
	static struct planfile_list undo;

	if (!take_list(in, ",\"undo\":", &undo) || undo.count != plan->ace_count) {
		return false;
	}
	for (unsigned i = 0; i < undo.count; i++) {
		if (wcscmp(undo.items[i], plan->aces[undo.count - 1 - i].path) != 0) {
			return false;
		}
	}
	return true;
}

bool planfile_read(const char *text, size_t size, struct planfile *ret, size_t *ret_where)
{
	struct input in = {text, text + size};
	bool good = take(&in, "{\"aces\":") && take_aces(&in, ret) &&
		take_list(&in, ",\"argv\":", &ret->argv) &&
		take_list(&in, ",\"capabilities\":", &ret->capabilities) &&
		take_bool(&in, ",\"child_processes\":", &ret->child_processes) &&
		take_text_or_null(&in, ",\"copy\":", &ret->copy) &&
		take_number(&in, ",\"cpu_milli\":", &ret->cpu_milli) &&
		take_text(&in, ",\"dir\":", &ret->dir) && take_list(&in, ",\"env\":", &ret->env) &&
		take(&in, ",\"handles\":\"stdio\",\"loopback\":false,\"lpac\":true") &&
		take_number(&in, ",\"memory\":", &ret->memory) &&
		take_list(&in, ",\"mitigations\":", &ret->mitigations) &&
		take_number(&in, ",\"pids\":", &ret->pids) &&
		take_text(&in, ",\"profile\":", &ret->profile) &&
		take(&in, ",\"schema\":\"" PLANFILE_SCHEMA "\"") &&
		take_bool(&in, ",\"temp\":", &ret->temp) &&
		take_number(&in, ",\"timeout\":", &ret->timeout) && take(&in, ",\"ui\":\"none\"") &&
		take_undo(&in, ret) && take(&in, "}") && in.at == in.end && ret->argv.count > 0;

	*ret_where = (size_t)(in.at - text);
	return good;
}
