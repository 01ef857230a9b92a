/*
 * Our table is read top down, the format's rules are a set: all that match must agree. So each call
 * becomes rules that do not overlap. A value that is refused is cut out of what is allowed by bits:
 * the numbers that share 31, 30, ... leading bits with it but not the next one. Masks compare 32 bits
 * and not 64, as the table does (CVE-2019-7303).
 */
#include "backends/oci.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "backends/emit.h"
#include "backends/linux/filter-policy.h"
#include "base/cleanup.h"

#define MAX_VALUES 16

/* What the rows of a call come to, in front of its first row; NAMED and its verdict when that is one. */
enum kind { KIND_NO_FIRST_ROW, KIND_CONDITIONAL, KIND_NAMED };

struct writer {
	struct emitter out;
	int variant;
	uint32_t flags;
	uint8_t *kinds; /* of each row of the table */
};

/* The rows of one call in this variant, by what they say. */
struct call {
	const char *name;
	const struct filter_rule *grants[MAX_VALUES], *refusals[MAX_VALUES];
	size_t grant_count, refusal_count;
	bool absent;
};

static bool is_unconditional(const struct filter_rule *rule)
{
	return rule->conditions[0].mask == 0;
}

static bool is_keyed(const struct filter_rule *rule)
{
	return rule->conditions[0].value == FILTER_KEY_WORD(0);
}

/* By number, as this is asked for every pair of rows. */
static bool is_same_call(size_t row, size_t other)
{
	return filter_policy_numbers[row] == filter_policy_numbers[other];
}

/* Gathers every row about the call of row first; rows about one call stand anywhere. */
static void gather(const struct writer *writer, size_t first, struct call *ret)
{
	*ret = (struct call){.name = filter_policy[first].name};
	for (size_t i = first; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];

		if (!is_same_call(i, first) || !(rule->variants & writer->variant) ||
			is_keyed(rule)) {
			continue;
		}
		if (rule->verdict == FILTER_ALLOW) {
			assert(ret->grant_count < MAX_VALUES);
			ret->grants[ret->grant_count++] = rule;
		} else if (rule->verdict == FILTER_REFUSE) {
			assert(ret->refusal_count < MAX_VALUES);
			ret->refusals[ret->refusal_count++] = rule;
		} else {
			ret->absent = true;
		}
	}
}

static bool is_first_row(size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (is_same_call(i, index)) {
			return false;
		}
	}
	return filter_policy_numbers[index] >= 0;
}

static const struct {
	const char *action;
	int errnum;
} answers[] = {
	[FILTER_ALLOW] = {"SCMP_ACT_ALLOW", 0},
	[FILTER_REFUSE] = {"SCMP_ACT_ERRNO", EPERM},
	[FILTER_ABSENT] = {"SCMP_ACT_ERRNO", ENOSYS},
};

static void emit_condition(struct emitter *out, const struct filter_condition *condition)
{
	emit_open(out, '{');
	emit_key(out, "index");
	emit_number(out, condition->arg);
	emit_key(out, "op");
	emit_text(out, "SCMP_CMP_MASKED_EQ");
	emit_key(out, "value");
	emit_number(out, condition->mask);
	emit_key(out, "valueTwo");
	emit_number(out, condition->value);
	emit_close(out, '}');
}

static void emit_errno(struct emitter *out, int errnum)
{
	if (errnum) {
		emit_key(out, "errnoRet");
		emit_number(out, (uint64_t)errnum);
	}
}

/* A rule about one call. errnum: 0 for actions that have none. */
static void emit_rule(struct writer *writer, const char *name, const char *action, int errnum,
	const struct filter_condition *conditions, size_t count)
{
	struct emitter *out = &writer->out;

	emit_open(out, '{');
	emit_key(out, "action");
	emit_text(out, action);
	emit_key(out, "args");
	emit_open(out, '[');
	for (size_t i = 0; i < count && conditions[i].mask; i++) {
		emit_condition(out, &conditions[i]);
	}
	emit_close(out, ']');
	emit_errno(out, errnum);
	emit_key(out, "names");
	emit_open(out, '[');
	emit_text(out, name);
	emit_close(out, ']');
	emit_close(out, '}');
}

static void emit_conditional(struct writer *writer, const char *name, enum filter_verdict verdict,
	const struct filter_condition *conditions, size_t count)
{
	emit_rule(
		writer, name, answers[verdict].action, answers[verdict].errnum, conditions, count);
}

static uint64_t first_value(const struct filter_rule *row)
{
	return row->conditions[0].value;
}

/* Is the block of values that have these leading bits somebody's, or has it been written? */
static bool is_taken(const struct filter_rule *const rows[], size_t count, size_t row,
	uint64_t lead, uint64_t bit)
{
	uint64_t own = first_value(rows[row]);

	for (size_t other = 0; other < count; other++) {
		uint64_t differ = (first_value(rows[other]) ^ own) & lead;

		if (differ == bit || (other < row && differ == 0)) {
			return true;
		}
	}
	return false;
}

/*
 * verdict for all values of an argument that are not the first condition of a row. The rows look at
 * the same bits of the same argument.
 */
static void emit_others(struct writer *writer, const char *name, enum filter_verdict verdict,
	const struct filter_rule *const rows[], size_t count)
{
	const struct filter_condition *looked = &rows[0]->conditions[0];
	uint64_t lead = 0;

	for (unsigned shift = 64; shift-- > 0;) {
		uint64_t bit = looked->mask & UINT64_C(1) << shift;

		lead |= bit;
		for (size_t row = 0; bit && row < count; row++) {
			struct filter_condition condition = {
				looked->arg, lead, (first_value(rows[row]) ^ bit) & lead};

			assert(rows[row]->conditions[0].arg == looked->arg &&
				rows[row]->conditions[0].mask == looked->mask);
			if (!is_taken(rows, count, row, lead, bit)) {
				emit_conditional(writer, name, verdict, &condition, 1);
			}
		}
	}
}

/* The call that old runsc needs an answer of its own for; see the header. */
static bool is_odd_one(const struct writer *writer, const char *name)
{
	return writer->flags & OCI_SECCOMP_OLD_RUNSC && strcmp(name, "clone3") == 0;
}

/* Does the verdict hang on arguments? Then rules of its own; else it goes into a list of names. */
static bool is_conditional(const struct call *call)
{
	for (size_t i = 0; i < call->refusal_count; i++) {
		if (!is_unconditional(call->refusals[i])) {
			return true;
		}
	}
	return call->grant_count > 0 && !is_unconditional(call->grants[0]);
}

static void emit_call(struct writer *writer, const struct call *call)
{
	const struct filter_rule *grant = call->grant_count > 0 ? call->grants[0] : NULL;

	for (size_t i = 0; i < call->refusal_count; i++) {
		emit_conditional(writer, call->name, FILTER_REFUSE, call->refusals[i]->conditions,
			FILTER_MAX_CONDITIONS);
	}
	if (!grant) {
		return;
	}
	if (is_unconditional(grant)) {
		emit_others(writer, call->name, FILTER_ALLOW, call->refusals, call->refusal_count);
		return;
	}
	for (size_t i = 0; i < call->grant_count; i++) {
		emit_conditional(writer, call->name, FILTER_ALLOW, call->grants[i]->conditions,
			FILTER_MAX_CONDITIONS);
	}
	emit_others(writer, call->name, FILTER_REFUSE, call->grants, call->grant_count);
}

static enum filter_verdict plain_verdict(const struct call *call)
{
	if (call->refusal_count > 0) {
		return FILTER_REFUSE;
	}
	if (call->grant_count > 0) {
		return FILTER_ALLOW;
	}
	/* Named by the table, with no allowed form in this variant: refused, not unknown. */
	return call->absent ? FILTER_ABSENT : FILTER_REFUSE;
}

static void emit_names(struct writer *writer, enum filter_verdict verdict)
{
	struct emitter *out = &writer->out;

	emit_open(out, '{');
	emit_key(out, "action");
	emit_text(out, answers[verdict].action);
	emit_errno(out, answers[verdict].errnum);
	emit_key(out, "names");
	emit_open(out, '[');
	for (size_t i = 0; i < filter_policy_count; i++) {
		const char *name = filter_policy[i].name;

		if (writer->kinds[i] == KIND_NAMED + verdict && !is_odd_one(writer, name)) {
			emit_text(out, name);
		}
	}
	emit_close(out, ']');
	emit_close(out, '}');
}

/* Once: each row is held against all behind it. */
static void sort_rows(struct writer *writer)
{
	for (size_t i = 0; i < filter_policy_count; i++) {
		struct call call;

		if (is_first_row(i)) {
			gather(writer, i, &call);
			writer->kinds[i] = (uint8_t)(is_conditional(&call)
					? KIND_CONDITIONAL
					: KIND_NAMED + plain_verdict(&call));
		}
	}
}

static const char *architecture(void)
{
#if defined(__x86_64__)
	return "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
	return "SCMP_ARCH_AARCH64";
#elif defined(__riscv)
	return "SCMP_ARCH_RISCV64";
#else
#error "name this machine as libseccomp does"
#endif
}

char *oci_seccomp_json(uint32_t flags)
{
	cleanup_free uint8_t *kinds = calloc(filter_policy_count, 1);
	struct writer writer = {
		.variant = flags & OCI_SECCOMP_NO_EXEC ? FILTER_NO_EXEC : FILTER_DEFAULT,
		.flags = flags,
		.kinds = kinds};
	struct emitter *out = &writer.out;

	if (!kinds) {
		return NULL;
	}
	sort_rows(&writer);
	emit_open(out, '{');
	emit_key(out, "architectures");
	emit_open(out, '[');
	emit_text(out, architecture());
	emit_close(out, ']');
	emit_key(out, "defaultAction");
	emit_text(out, "SCMP_ACT_ERRNO");
	emit_key(out, "defaultErrnoRet");
	emit_number(out, ENOSYS);
	emit_key(out, "syscalls");
	emit_open(out, '[');
	emit_names(&writer, FILTER_ALLOW);
	emit_names(&writer, FILTER_REFUSE);
	emit_names(&writer, FILTER_ABSENT);
	for (size_t i = 0; i < filter_policy_count; i++) {
		struct call call;

		if (kinds[i] == KIND_CONDITIONAL) {
			gather(&writer, i, &call);
			emit_call(&writer, &call);
		}
	}
	if (flags & OCI_SECCOMP_OLD_RUNSC) {
		emit_rule(&writer, "clone3", "SCMP_ACT_TRACE", 0, NULL, 0);
		emit_rule(&writer, "pselect", answers[FILTER_ALLOW].action, 0, NULL, 0);
	}
	emit_close(out, ']');
	emit_close(out, '}');
	return emit_finish(out);
}
