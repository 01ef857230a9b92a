#include "sshd/authorize.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define DAY UINT64_C(86400)
#define FIELD(name) offsetof(struct authorize_answer, name)

enum kind { VERSION, FLAG, NOT_FLAG, TEXT, LIMITS };

/* One row a member; those of "limits" have a table of their own. */
static const struct member {
	const char *name;
	enum kind kind;
	bool must;
	size_t offset, size;
} members[] = {
	{"v", VERSION, .must = true},
	{"allow", FLAG, .must = true, FIELD(allow)},
	{"reason", TEXT, .offset = FIELD(reason),
		.size = sizeof((struct authorize_answer){0}.reason)},
	{"profile", TEXT, .offset = FIELD(profile),
		.size = sizeof((struct authorize_answer){0}.profile)},
	{"identity", TEXT, .offset = FIELD(identity),
		.size = sizeof((struct authorize_answer){0}.identity)},
	{"forward", NOT_FLAG, .offset = FIELD(no_forward)},
	{"limits", LIMITS},
};

static const struct limit {
	const char *name;
	size_t offset;
	uint64_t min, max;
} limits[] = {
	{"timeout", FIELD(limits.timeout), 1, 366 * DAY},
	{"idle_timeout", FIELD(limits.idle_timeout), 1, 31 * DAY},
	{"memory", FIELD(limits.memory), UINT64_C(4) << 20, UINT64_C(1) << 50},
	{"pids", FIELD(limits.pids), 1, UINT64_C(1) << 22},
	{"max_sessions", FIELD(limits.max_sessions), 1, 65536},
};

static int take_text(const struct member *member, const json_t *value, struct authorize_answer *ret,
	struct err *err)
{
	const char *text = json_string_value(value);

	if (!text) {
		return err_refuse(err, EINVAL, "\"%s\" is not a text", member->name);
	}
	/* Room for it ends with its NUL. */
	if (strlen(text) >= member->size) {
		return err_refuse(err, EINVAL, "\"%s\" is longer than %zu bytes", member->name,
			member->size - 1);
	}
	for (const char *at = text; *at; at++) {
		if (iscntrl((unsigned char)*at)) {
			return err_refuse(err, EINVAL, "\"%s\" has control bytes", member->name);
		}
	}
	memcpy((char *)ret + member->offset, text, strlen(text) + 1);
	return 0;
}

static int take_limit(
	const char *name, const json_t *value, struct authorize_answer *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct limit *limit = &limits[i];
		if (strcmp(limit->name, name) != 0) {
			continue;
		}
		json_int_t number = json_integer_value(value);
		if (!json_is_integer(value) || number < (json_int_t)limit->min ||
			number > (json_int_t)limit->max) {
			return err_refuse(err, EINVAL,
				"limit \"%s\" is not a whole number from %llu to %llu", name,
				(unsigned long long)limit->min, (unsigned long long)limit->max);
		}
		*(uint64_t *)(void *)((char *)ret + limit->offset) = (uint64_t)number;
		return 0;
	}
	return err_refuse(err, EINVAL, "\"limits\" has a member that is not known");
}

static int take_limits(const json_t *value, struct authorize_answer *ret, struct err *err)
{
	const char *name = NULL;
	json_t *item = NULL;
	int r = json_is_object(value) ? 0 : err_refuse(err, EINVAL, "\"limits\" is not an object");

	json_object_foreach((json_t *)(uintptr_t)value, name, item)
	{
		r = r ? r : take_limit(name, item, ret, err);
	}
	return r;
}

static int take(const struct member *member, const json_t *value, struct authorize_answer *ret,
	struct err *err)
{
	bool *flag = (bool *)((char *)ret + member->offset);

	switch (member->kind) {
	case VERSION:
		return json_is_integer(value) && json_integer_value(value) == 1
			? 0
			: err_refuse(err, EINVAL, "\"v\" is not 1");
	case FLAG:
	case NOT_FLAG:
		if (!json_is_boolean(value)) {
			return err_refuse(
				err, EINVAL, "\"%s\" is neither true nor false", member->name);
		}
		*flag = json_is_true(value) == (member->kind == FLAG);
		return 0;
	case TEXT:
		return take_text(member, value, ret, err);
	case LIMITS:
		return take_limits(value, ret, err);
	}
	return -EINVAL;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		if (strcmp(members[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static int read_object(const json_t *object, struct authorize_answer *ret, struct err *err)
{
	const char *name = NULL;
	json_t *value = NULL;

	if (!json_is_object(object)) {
		return err_refuse(err, EINVAL, "a JSON object is expected");
	}
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (!is_known(name)) {
			return err_refuse(err, EINVAL, "there is a member that is not known");
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const json_t *member = json_object_get(object, members[i].name);
		int r = 0;
		if (member) {
			r = take(&members[i], member, ret, err);
		} else if (members[i].must) {
			r = err_refuse(err, EINVAL, "\"%s\" is missing", members[i].name);
		}
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

int authorize_answer_parse(
	const char *text, size_t size, struct authorize_answer *ret, struct err *err)
{
	struct authorize_answer answer = {0};
	json_error_t where;

	if (size > AUTHORIZE_MAX_ANSWER) {
		return err_refuse(err, EINVAL, "longer than %d bytes", AUTHORIZE_MAX_ANSWER);
	}
	if (size == 0) {
		return err_refuse(err, EINVAL, "there is no answer");
	}
	/* Duplicate members are refused: readers differ in which of them counts. */
	json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	if (!object) {
		/* Where, but not what: jansson's words quote the text. */
		return err_refuse(
			err, EINVAL, "not JSON, in line %d, column %d", where.line, where.column);
	}
	int r = read_object(object, &answer, err);
	json_decref(object);
	if (r == 0) {
		*ret = answer;
	}
	return r;
}
