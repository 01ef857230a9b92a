#include "session/methods.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const names[] = {
	[METHOD_PUBLICKEY] = "publickey",
	[METHOD_PASSWORD] = "password",
	[METHOD_INTERACTIVE] = "keyboard-interactive",
};

const char *method_name(enum method method)
{
	return names[method];
}

static int find_method(const char *text, size_t length)
{
	for (int i = 0; i < METHOD_COUNT; i++) {
		if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
			return i;
		}
	}
	return -EINVAL;
}

static bool has(const struct methods *methods, enum method method)
{
	for (size_t i = 0; i < methods->count; i++) {
		if (methods->list[i] == method) {
			return true;
		}
	}
	return false;
}

int methods_parse(const char *text, struct methods *ret, struct err *err)
{
	struct methods methods = {.count = 0};

	for (;;) {
		size_t length = strcspn(text, ",");
		int method = find_method(text, length);
		if (method < 0) {
			return err_refuse(err, EINVAL,
				"'%.*s' is no method; publickey, password and "
				"keyboard-interactive are",
				(int)(length < 64 ? length : 64), text);
		}
		/* The same password twice proves nothing; two keys must be two keys. */
		if (methods.count == METHODS_MAX ||
			(method != METHOD_PUBLICKEY && has(&methods, (enum method)method))) {
			return err_refuse(err, EINVAL,
				"a chain has at most %d methods, and only publickey more than "
				"once",
				METHODS_MAX);
		}
		methods.list[methods.count++] = (enum method)method;
		if (text[length] == '\0') {
			*ret = methods;
			return 0;
		}
		text += length + 1;
	}
}

static bool begins_with(const struct methods *chain, const struct methods *passed)
{
	return passed->count <= chain->count &&
		memcmp(chain->list, passed->list, passed->count * sizeof(passed->list[0])) == 0;
}

unsigned methods_next(char *const *chains, const struct methods *passed, bool *ret_done)
{
	unsigned next = 0;
	bool done = false;

	if (!chains || !*chains) {
		*ret_done = passed->count > 0;
		return passed->count > 0 ? 0 : (1u << METHOD_COUNT) - 1;
	}
	for (; *chains; chains++) {
		struct methods chain;
		if (methods_parse(*chains, &chain, NULL) < 0 || !begins_with(&chain, passed)) {
			continue;
		}
		if (chain.count == passed->count) {
			done = true;
		} else {
			next |= 1u << chain.list[passed->count];
		}
	}
	*ret_done = done;
	return done ? 0 : next;
}

char *methods_format(const struct methods *methods, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < methods->count && used < size; i++) {
		int n = snprintf(
			text + used, size - used, "%s%s", i ? "," : "", names[methods->list[i]]);
		used += n > 0 ? (size_t)n : 0;
	}
	return text;
}
