#include "sshd/control-request.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"

enum member { NO = 0, MAY, MUST };

static const struct verb {
	const char *name;
	bool changes;
	enum member id, reason, who;
} verbs[] = {
	[CONTROL_SESSIONS] = {"sessions", false, NO, NO, NO},
	[CONTROL_SHOW] = {"show", false, MUST, NO, NO},
	[CONTROL_KILL] = {"kill", true, MUST, MAY, NO},
	[CONTROL_DRAIN] = {"drain", true, NO, NO, NO},
	[CONTROL_PENALTIES] = {"penalties", false, NO, NO, NO},
	[CONTROL_JOIN] = {"join", false, MUST, NO, NO},
	[CONTROL_CLEAR] = {"clear", true, NO, NO, MUST},
};
_Static_assert(ARRAY_SIZE(verbs) == CONTROL_VERBS, "one row a verb");

bool control_verb_changes(enum control_verb verb)
{
	return verbs[verb].changes;
}

static bool is_plain(const char *text)
{
	for (; *text; text++) {
		if (iscntrl((unsigned char)*text)) {
			return false;
		}
	}
	return true;
}

/* One member into its field of size bytes. */
static int take(const json_t *object, const char *name, enum member wanted, char *field,
	size_t size, struct err *err)
{
	const json_t *value = json_object_get(object, name);
	const char *text = json_string_value(value);

	if (!value && wanted != MUST) {
		return 0;
	}
	if (wanted == NO) {
		return err_refuse(err, EINVAL, "\"%s\" does not belong here", name);
	}
	if (!text || !*text) {
		return err_refuse(err, EINVAL, "\"%s\" must be a text", name);
	}
	if (strlen(text) >= size || !is_plain(text)) {
		return err_refuse(err, EINVAL,
			"\"%s\" is longer than %zu bytes, or has control bytes", name, size - 1);
	}
	memcpy(field, text, strlen(text) + 1);
	return 0;
}

static int check_members(const json_t *object, struct err *err)
{
	const char *name = NULL;
	json_t *value = NULL;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (strcmp(name, "do") != 0 && strcmp(name, "id") != 0 &&
			strcmp(name, "reason") != 0 && strcmp(name, "who") != 0) {
			return err_refuse(err, EINVAL, "there is a member that is not known");
		}
	}
	return 0;
}

static int find_verb(const json_t *object, enum control_verb *ret, struct err *err)
{
	const char *name = json_string_value(json_object_get(object, "do"));

	for (size_t i = 0; name && i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, name) == 0) {
			*ret = (enum control_verb)i;
			return 0;
		}
	}
	return err_refuse(err, EINVAL,
		"\"do\" must be one of sessions, show, join, kill, drain, penalties, clear");
}

static int read_object(const json_t *object, struct control_request *ret, struct err *err)
{
	struct control_request request = {0};
	int r = json_is_object(object) ? check_members(object, err)
				       : err_refuse(err, EINVAL, "a JSON object is expected");

	r = r ? r : find_verb(object, &request.verb, err);
	if (r < 0) {
		return r;
	}
	const struct verb *verb = &verbs[request.verb];
	r = take(object, "id", verb->id, request.id, sizeof(request.id), err);
	r = r ? r
	      : take(object, "reason", verb->reason, request.reason, sizeof(request.reason), err);
	r = r ? r : take(object, "who", verb->who, request.who, sizeof(request.who), err);
	if (r == 0) {
		*ret = request;
	}
	return r;
}

int control_request_parse(
	const char *text, size_t size, struct control_request *ret, struct err *err)
{
	json_error_t where;

	if (size > CONTROL_MAX_REQUEST) {
		return err_refuse(err, EINVAL, "longer than %d bytes", CONTROL_MAX_REQUEST);
	}
	json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	if (!object) {
		return err_refuse(err, EINVAL, "not JSON: %s", where.text);
	}
	int r = read_object(object, ret, err);
	json_decref(object);
	return r;
}
