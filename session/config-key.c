/*
 * The value behind one key of the configuration: set, copied, moved, cleared. What it may be is in the tables
 * of config-schema.c, and how it is written in config-print.c.
 */
#include "session/config-schema.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/strv.h"
#include "session/config-values.h"

static void *field_of(const struct config_key *key, void *base)
{
	return (char *)base + key->offset;
}

static const void *const_field_of(const struct config_key *key, const void *base)
{
	return (const char *)base + key->offset;
}

static int read_item(const struct config_key *key, const char *text, char **ret, struct err *err)
{
	int r = key->read ? key->read(text, ret, err) : config_keep(text, ret, err);

	return r < 0 ? err_wrap(err, "%s", key->name) : 0;
}

static int set_text(const struct config_key *key, char **field, const char *text, struct err *err)
{
	char *copy = NULL;
	int r = 0;

	if (!key->unset || strcmp(text, key->unset) != 0) {
		r = read_item(key, text, &copy, err);
	}
	if (r == 0) {
		free(*field);
		*field = copy;
	}
	return r;
}

static int append_item(
	const struct config_key *key, char ***field, const char *text, struct err *err)
{
	char *copy = NULL;
	int r = read_item(key, text, &copy, err);

	if (r == 0 && strv_consume(field, copy) < 0) {
		r = err_set(err, ENOMEM, "%s", key->name);
	}
	return r;
}

static int set_number(
	const struct config_key *key, uint64_t *field, const char *text, struct err *err)
{
	static const struct {
		int (*read)(const char *text, uint64_t *ret);
		const char *like, *unit;
	} numbers[] = {
		[CONFIG_COUNT] = {parse_u64, "a whole number", ""},
		[CONFIG_DURATION] = {parse_duration, "a time such as 90, 90s or 1h30m", " seconds"},
		[CONFIG_SIZE] = {parse_size, "a size such as 512M or 10G", " bytes"},
	};
	uint64_t value = 0;
	int r = numbers[key->type].read(text, &value);

	if (r == -EINVAL) {
		return err_refuse(err, EINVAL, "%s: '%s' is not %s", key->name, text,
			numbers[key->type].like);
	}
	if (r < 0 || value < key->min || value > key->max) {
		return err_refuse(err, EINVAL, "%s: '%s' is not from %llu to %llu%s", key->name,
			text, (unsigned long long)key->min, (unsigned long long)key->max,
			numbers[key->type].unit);
	}
	*field = value;
	return 0;
}

/* begin:rate:full, as sshd's MaxStartups. */
static int set_startups(
	const struct config_key *key, uint64_t field[3], const char *text, struct err *err)
{
	cleanup_free char *copy = strdup(text);
	char *left = copy;
	uint64_t value[3] = {0};
	bool good = true;

	if (!copy) {
		return err_set(err, ENOMEM, "%s", key->name);
	}
	for (size_t i = 0; i < 3; i++) {
		const char *part = strsep(&left, ":");
		good = good && part &&
			parse_range(part, key->min, i == 1 ? 100 : key->max, &value[i]) == 0;
	}
	if (!good || left || value[0] > value[2]) {
		return err_refuse(err, EINVAL,
			"%s: '%s' is not begin:rate:full such as 10:30:100 (rate in percent, begin "
			"at "
			"most full)",
			key->name, text);
	}
	memcpy(field, value, sizeof(value));
	return 0;
}

/* bits4:bits6, as sshd's PerSourceNetBlockSize. */
static int set_block(
	const struct config_key *key, uint64_t field[2], const char *text, struct err *err)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *first = strndup(text, colon ? (size_t)(colon - text) : 0);
	uint64_t bits[2];

	if (!first) {
		return err_set(err, ENOMEM, "%s", key->name);
	}
	if (!colon || parse_range(first, 1, 32, &bits[0]) < 0 ||
		parse_range(colon + 1, 1, 128, &bits[1]) < 0) {
		return err_refuse(err, EINVAL,
			"%s: '%s' is not two numbers of bits such as 32:128 or 24:56", key->name,
			text);
	}
	memcpy(field, bits, sizeof(bits));
	return 0;
}

int config_key_set(const struct config_key *key, void *base, const char *text, struct err *err)
{
	void *field = field_of(key, base);

	switch (key->type) {
	case CONFIG_BOOL:
		return parse_bool(text, field) < 0
			? err_refuse(err, EINVAL, "%s: '%s' is not yes or no", key->name, text)
			: 0;
	case CONFIG_COUNT:
	case CONFIG_DURATION:
	case CONFIG_SIZE:
		return set_number(key, field, text, err);
	case CONFIG_TEXT:
		return set_text(key, field, text, err);
	case CONFIG_LIST:
		return append_item(key, field, text, err);
	case CONFIG_BLOCK:
		return set_block(key, field, text, err);
	case CONFIG_STARTUPS:
		return set_startups(key, field, text, err);
	case CONFIG_INHERIT:
	case CONFIG_SECTION:
		break;
	}
	return err_refuse(err, EINVAL, "%s: cannot be set", key->name);
}

int config_key_set_items(
	const struct config_key *key, void *base, const char *text, struct err *err)
{
	if (key->type != CONFIG_LIST) {
		return config_key_set(key, base, text, err);
	}
	while (*text) {
		size_t length = strcspn(text, ",");
		cleanup_free char *item = strndup(text, length);
		int r = item ? config_key_set(key, base, item, err)
			     : err_set(err, ENOMEM, "%s", key->name);
		if (r < 0) {
			return r;
		}
		text += length;
		text += *text == ',';
	}
	return 0;
}

int config_keys_preset(const struct config_key *keys, void *base)
{
	struct err err = {0};

	for (const struct config_key *key = keys; key->name; key++) {
		int r = 0;
		if (key->type != CONFIG_INHERIT && key->preset) {
			r = config_key_set_items(key, base, key->preset, &err);
		}
		if (r < 0) {
			config_keys_clear(keys, base);
			return r;
		}
	}
	return 0;
}

static size_t size_of(const struct config_key *key)
{
	switch (key->type) {
	case CONFIG_BOOL:
		return sizeof(bool);
	case CONFIG_COUNT:
	case CONFIG_DURATION:
	case CONFIG_SIZE:
		return sizeof(uint64_t);
	case CONFIG_TEXT:
		return sizeof(char *);
	case CONFIG_LIST:
		return sizeof(char **);
	case CONFIG_BLOCK:
		return 2 * sizeof(uint64_t);
	case CONFIG_STARTUPS:
		return 3 * sizeof(uint64_t);
	case CONFIG_INHERIT:
	case CONFIG_SECTION:
		break;
	}
	return 0;
}

void config_key_clear(const struct config_key *key, void *base)
{
	void *field = field_of(key, base);

	if (key->type == CONFIG_TEXT) {
		free(*(char **)field);
	} else if (key->type == CONFIG_LIST) {
		(void)strv_free(*(char ***)field);
	}
	memset(field, 0, size_of(key));
}

void config_keys_clear(const struct config_key *keys, void *base)
{
	for (; keys->name; keys++) {
		config_key_clear(keys, base);
	}
}

void config_key_move(const struct config_key *key, void *from, void *to)
{
	config_key_clear(key, to);
	memcpy(field_of(key, to), field_of(key, from), size_of(key));
	memset(field_of(key, from), 0, size_of(key));
}

int config_key_copy(const struct config_key *key, const void *from, void *to)
{
	const void *source = const_field_of(key, from);
	void *target = field_of(key, to);

	config_key_clear(key, to);
	if (key->type == CONFIG_TEXT) {
		const char *text = *(char *const *)source;
		char *copy = text ? strdup(text) : NULL;
		*(char **)target = copy;
		return text && !copy ? -ENOMEM : 0;
	}
	if (key->type == CONFIG_LIST) {
		return strv_copy(*(char **const *)source, target);
	}
	memcpy(target, source, size_of(key));
	return 0;
}

int config_keys_copy(const struct config_key *keys, const void *from, void *to)
{
	for (; keys->name; keys++) {
		int r = config_key_copy(keys, from, to);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}
