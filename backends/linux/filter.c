#include "backends/linux/filter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/linux/filter-policy.h"
#include "base/cleanup.h"
#include "base/strv.h"

const struct filter *filter_get(bool no_exec)
{
	return &filter_compiled[no_exec];
}

const struct filter *filter_get_full(bool no_exec)
{
	return &filter_compiled[2 + no_exec];
}

const char *filter_name(const struct filter *filter)
{
	return filter->name;
}

const char *filter_digest_hex(const struct filter *filter)
{
	return filter->digest;
}

bool filter_is_keyed(const struct filter *filter)
{
	return filter->keyed;
}

static const char *const verdict_names[] = {
	[FILTER_ALLOW] = "allow",
	[FILTER_REFUSE] = "refuse",
	[FILTER_ABSENT] = "absent",
};

/* True when a row only names a call, so that its having no allowed form is on record. */
static bool only_named(const struct filter *filter, const struct filter_rule *rule)
{
	return !(rule->variants & (int)filter->variant);
}

static int list_rule(const struct filter *filter, const struct filter_rule *rule, char ***rules)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	cleanup_fclose FILE *out = open_memstream(&text, &size);

	if (!out) {
		return -ENOMEM;
	}
	(void)fprintf(out, "%s %s",
		only_named(filter, rule) ? "refuse" : verdict_names[rule->verdict], rule->name);
	for (size_t i = 0; !only_named(filter, rule) && i < FILTER_MAX_CONDITIONS; i++) {
		const struct filter_condition *condition = &rule->conditions[i];

		if (!condition->mask) {
			break;
		}
		(void)fprintf(out, "%s arg%u", i == 0 ? " if" : " and", condition->arg);
		if (condition->value == FILTER_KEY_WORD(0) ||
			condition->value == FILTER_KEY_WORD(1) ||
			condition->value == FILTER_KEY_WORD(2)) {
			(void)fputs(" == key", out);
		} else {
			(void)fprintf(out, " & 0x%" PRIx64 " == 0x%" PRIx64, condition->mask,
				condition->value);
		}
	}
	if (fflush(out) != 0) {
		return -ENOMEM;
	}
	return strv_append(rules, text);
}

int filter_list(const struct filter *filter, char ***ret_rules)
{
	cleanup(strv_freep) char **rules = NULL;

	for (size_t i = 0; i < filter_policy_count; i++) {
		if (filter_policy_numbers[i] < 0) {
			continue;
		}
		int r = list_rule(filter, &filter_policy[i], &rules);
		if (r < 0) {
			return r;
		}
	}
	if (strv_append(&rules, "absent everything else, and every foreign ABI") < 0) {
		return -ENOMEM;
	}
	*ret_rules = take_ptr(&rules);
	return 0;
}

const struct sock_filter *filter_template(const struct filter *filter, size_t *ret_count)
{
	*ret_count = filter->count;
	return filter->program;
}

int filter_program(const struct filter *filter, const uint64_t key[3], struct sock_filter **ret,
	size_t *ret_count)
{
	cleanup_free struct sock_filter *copy = NULL;

	if (filter->keyed && !key) {
		return -EINVAL;
	}
	copy = malloc(filter->count * sizeof(*copy));
	if (!copy) {
		return -ENOMEM;
	}
	memcpy(copy, filter->program, filter->count * sizeof(*copy));
	if (filter->keyed) {
		int r = filter_set_key(copy, filter->count, key);
		if (r < 0) {
			return r;
		}
	}
	*ret = take_ptr(&copy);
	*ret_count = filter->count;
	return 0;
}
