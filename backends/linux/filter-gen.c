/*
 * Run by the build: compiles the table of filter-policy.c with libseccomp and writes C.
 *
 *	filter-gen OUTPUT.c
 *
 * Most calls are decided by their number alone, and neighbours are often decided alike. Those are
 * left to a search over ranges of numbers, which takes a quarter of the instructions that libseccomp
 * would: what the kernel does for each session with a program (checking, translating, trying it on
 * every number for its cache) is in proportion to its length. The calls whose arguments are looked
 * at go to libseccomp.
 *
 * libseccomp has one action for "no rule matched" and cannot say "else EPERM" about a single call.
 * So those are compiled as three programs, and put together by turning the "no rule matched"
 * returns of the first two into jumps to the next:
 *
 *	numbers    calls without conditions            -> allow, EPERM or ENOSYS, else go on
 *	refusals   REFUSE rows that have conditions    -> EPERM,  else go on
 *	grants     ALLOW rows                          -> allow,  else go on
 *	known      calls the table has                 -> EPERM,  else ENOSYS
 *
 * Every one of them answers ENOSYS to a foreign architecture and to the x32 bit. Jumps only ever go
 * forward, which is all the kernel asks of a program's shape.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/linux/filter-policy.h"
#include "base/cleanup.h"

#define MARKER SCMP_ACT_TRACE(0x7e57) /* "go on": no real row of ours returns it */

struct program {
	struct sock_filter code[BPF_MAXINSNS];
	size_t count;
};

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)fputs("filter-gen: ", stderr);
	(void)vfprintf(stderr, format, arguments);
	(void)fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static int number_of(const struct filter_rule *rule)
{
	int number = rule->number ? rule->number : seccomp_syscall_resolve_name(rule->name);

	if (number == __NR_SCMP_ERROR) {
		die("%s: libseccomp does not know this call; give its number", rule->name);
	}
	return number < 0 ? -1 : number; /* known, but not on this architecture */
}

static size_t condition_count(const struct filter_rule *rule)
{
	size_t count = 0;

	while (count < FILTER_MAX_CONDITIONS && rule->conditions[count].mask) {
		count++;
	}
	return count;
}

static void add_rule(
	scmp_filter_ctx context, uint32_t action, const struct filter_rule *rule, size_t conditions)
{
	struct scmp_arg_cmp compare[FILTER_MAX_CONDITIONS];
	int number = number_of(rule);

	if (number < 0) {
		return;
	}
	for (size_t i = 0; i < conditions; i++) {
		compare[i] = (struct scmp_arg_cmp){
			.arg = rule->conditions[i].arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = rule->conditions[i].mask,
			.datum_b = rule->conditions[i].value,
		};
	}
	int r = seccomp_rule_add_exact_array(
		context, action, number, (unsigned)conditions, compare);
	if (r < 0) {
		die("%s: %s", rule->name, strerror(-r));
	}
}

static scmp_filter_ctx new_context(uint32_t otherwise)
{
	scmp_filter_ctx context = seccomp_init(otherwise);

	if (!context) {
		die("cannot make a filter");
	}
	if (seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) < 0 ||
		seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0) {
		die("libseccomp is too old");
	}
	return context;
}

static void export_context(scmp_filter_ctx context, struct program *ret)
{
	cleanup_close int fd = memfd_create("filter", MFD_CLOEXEC);

	if (fd < 0 || seccomp_export_bpf(context, fd) < 0) {
		die("cannot export a filter");
	}
	ssize_t size = pread(fd, ret->code, sizeof(ret->code), 0);
	if (size <= 0 || (size_t)size % sizeof(ret->code[0]) != 0 || size == sizeof(ret->code)) {
		die("a filter has %zd bytes", size);
	}
	ret->count = (size_t)size / sizeof(ret->code[0]);
	seccomp_release(context);
}

/* Does any row of this call look at its arguments? */
static bool has_conditions(enum filter_variant variant, const char *name)
{
	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];

		if (strcmp(rule->name, name) == 0 && (rule->variants & (int)variant) &&
			condition_count(rule) > 0) {
			return true;
		}
	}
	return false;
}

/* What a number gets. The values are the places of the four ends of a search. */
enum answer { ANSWER_ALLOW, ANSWER_EPERM, ANSWER_ENOSYS, ANSWER_GO_ON, ANSWERS };

#define NUMBERS 1024
#define BLOCK_RANGES 120 /* a jump reaches 255 instructions */

struct range {
	uint32_t start;
	enum answer answer;
};

static void answer_numbers(enum filter_variant variant, enum answer answers[NUMBERS])
{
	for (size_t i = 0; i < NUMBERS; i++) {
		answers[i] = ANSWER_ENOSYS;
	}
	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];
		int number = number_of(rule);

		if (number < 0 || rule->verdict == FILTER_ABSENT) {
			continue;
		}
		if (number >= NUMBERS) {
			die("%s: number %d is out of bounds", rule->name, number);
		}
		if (has_conditions(variant, rule->name)) {
			answers[number] = ANSWER_GO_ON;
		} else if (rule->verdict == FILTER_ALLOW && (rule->variants & (int)variant) &&
			answers[number] != ANSWER_EPERM) {
			answers[number] = ANSWER_ALLOW;
		} else if (rule->verdict == FILTER_REFUSE && (rule->variants & (int)variant)) {
			answers[number] = ANSWER_EPERM; /* a refusal wins */
		} else if (answers[number] == ANSWER_ENOSYS) {
			answers[number] = ANSWER_EPERM; /* in the table, no row for this variant */
		}
	}
}

static size_t find_ranges(const enum answer answers[NUMBERS], struct range ranges[NUMBERS])
{
	size_t count = 0;

	for (uint32_t i = 0; i < NUMBERS; i++) {
		if (count == 0 || ranges[count - 1].answer != answers[i]) {
			ranges[count++] = (struct range){i, answers[i]};
		}
	}
	return count; /* the last one, ENOSYS, goes on to the largest number */
}

/* Where a search ends for one range: the place of its answer behind the tree. */
static size_t end_of(size_t tree_end, const struct range *range)
{
	return tree_end + (size_t)range->answer;
}

/* A tree over count ranges takes count - 1 instructions: this one, the lower half, the upper. */
static void emit_tree(
	struct program *ret, size_t at, const struct range *ranges, size_t count, size_t tree_end)
{
	size_t lower = count / 2;
	size_t lower_at = lower == 1 ? end_of(tree_end, &ranges[0]) : at + 1;
	size_t upper_at = count - lower == 1 ? end_of(tree_end, &ranges[lower]) : at + lower;

	if (count < 2) {
		return;
	}
	ret->code[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ranges[lower].start,
		(uint8_t)(upper_at - at - 1), (uint8_t)(lower_at - at - 1));
	emit_tree(ret, at + 1, ranges, lower, tree_end);
	emit_tree(ret, at + lower, ranges + lower, count - lower, tree_end);
}

static void emit(struct program *ret, struct sock_filter instruction)
{
	ret->code[ret->count++] = instruction;
}

/* A tree and its four ends. ANSWER_GO_ON leaves by the marker, as libseccomp's programs do. */
static void emit_block(struct program *ret, const struct range *ranges, size_t count)
{
	static const uint32_t actions[ANSWERS] = {
		[ANSWER_ALLOW] = SECCOMP_RET_ALLOW,
		[ANSWER_EPERM] = SECCOMP_RET_ERRNO | EPERM,
		[ANSWER_ENOSYS] = SECCOMP_RET_ERRNO | ENOSYS,
		[ANSWER_GO_ON] = MARKER,
	};
	size_t tree_end = ret->count + count - 1;

	emit_tree(ret, ret->count, ranges, count, tree_end);
	ret->count = tree_end;
	if (count == 1) { /* no tree to choose: go straight to the one end */
		emit(ret, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, ranges[0].answer));
	}
	for (size_t i = 0; i < ANSWERS; i++) {
		emit(ret, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, actions[i]));
	}
}

static void compile_numbers(enum filter_variant variant, struct program *ret)
{
	static enum answer answers[NUMBERS];
	static struct range ranges[NUMBERS];
	size_t count = 0;

	answer_numbers(variant, answers);
	count = find_ranges(answers, ranges);
	ret->count = 0;
	emit(ret,
		(struct sock_filter)BPF_STMT(
			BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
	emit(ret,
		(struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, /* its token is the audit number */
			seccomp_arch_native(), 1, 0));
	emit(ret, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
	emit(ret,
		(struct sock_filter)BPF_STMT(
			BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (size_t done = 0; done < count;) {
		size_t size = count - done > BLOCK_RANGES ? BLOCK_RANGES : count - done;

		if (done + size < count) { /* over this block, for what is above it */
			emit(ret,
				(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K,
					ranges[done + size].start, 0, 1));
			emit(ret,
				(struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
					(uint32_t)(size - 1 + (size == 1) + ANSWERS)));
		}
		emit_block(ret, ranges + done, size);
		done += size;
	}
}

static void compile_refusals(enum filter_variant variant, struct program *ret)
{
	scmp_filter_ctx context = new_context(SCMP_ACT_ALLOW);

	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];
		size_t conditions = condition_count(rule);

		if (rule->verdict == FILTER_REFUSE && conditions > 0 &&
			(rule->variants & (int)variant)) {
			add_rule(context, SCMP_ACT_ERRNO(EPERM), rule, conditions);
		}
	}
	export_context(context, ret);
}

static void compile_grants(enum filter_variant variant, struct program *ret)
{
	scmp_filter_ctx context = new_context(MARKER);

	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];

		if (rule->verdict == FILTER_ALLOW && (rule->variants & (int)variant) &&
			has_conditions(variant, rule->name)) {
			add_rule(context, SCMP_ACT_ALLOW, rule, condition_count(rule));
		}
	}
	export_context(context, ret);
}

/* True when some row allows the call whatever its arguments: the third program never sees it. */
static bool always_allowed(enum filter_variant variant, const char *name)
{
	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];

		if (strcmp(rule->name, name) == 0 && rule->verdict == FILTER_ALLOW &&
			(rule->variants & (int)variant) && condition_count(rule) == 0) {
			return true;
		}
	}
	return false;
}

static bool seen_before(size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(filter_policy[i].name, filter_policy[index].name) == 0) {
			return true;
		}
	}
	return false;
}

static void compile_known(enum filter_variant variant, struct program *ret)
{
	scmp_filter_ctx context = new_context(SCMP_ACT_ERRNO(ENOSYS));

	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];

		if (rule->verdict != FILTER_ABSENT && !seen_before(i) &&
			has_conditions(variant, rule->name) &&
			!always_allowed(variant, rule->name)) {
			add_rule(context, SCMP_ACT_ERRNO(EPERM), rule, 0);
		}
	}
	export_context(context, ret);
}

/* Appends part; its returns of go_on become jumps to whatever is appended next. */
static void append(struct program *whole, const struct program *part, uint32_t go_on, bool last)
{
	size_t jumps = 0;

	if (whole->count + part->count > BPF_MAXINSNS) {
		die("more than %d instructions", BPF_MAXINSNS);
	}
	for (size_t i = 0; i < part->count; i++) {
		struct sock_filter instruction = part->code[i];

		if (!last && instruction.code == (BPF_RET | BPF_K) && instruction.k == go_on) {
			instruction = (struct sock_filter)BPF_STMT(
				BPF_JMP | BPF_JA, (uint32_t)(part->count - i - 1));
			jumps++;
		}
		whole->code[whole->count++] = instruction;
	}
	if (!last && jumps == 0) {
		die("a part never goes on to the next");
	}
}

static void write_program(FILE *out, const char *name, const struct program *program)
{
	(void)fprintf(out, "static const struct sock_filter %s_program[] = {\n", name);
	for (size_t i = 0; i < program->count; i++) {
		const struct sock_filter *code = &program->code[i];

		(void)fprintf(out, "\t{0x%02x, %u, %u, 0x%08x},\n", (unsigned)code->code,
			(unsigned)code->jt, (unsigned)code->jf, (unsigned)code->k);
	}
	(void)fputs("};\n\n", out);
}

static void digest_program(const struct program *program, char hex[65])
{
	unsigned char digest[32];

	if (crypto_generichash(digest, sizeof(digest), (const unsigned char *)program->code,
		    program->count * sizeof(program->code[0]), NULL, 0) != 0) {
		die("cannot digest");
	}
	(void)sodium_bin2hex(hex, 65, digest, sizeof(digest));
}

static void compile_variant(enum filter_variant variant, struct program *whole)
{
	static struct program part;

	whole->count = 0;
	if (variant & FILTER_KEYED) {
		/* Until it has a key it kills: see filter-policy.h. */
		whole->code[whole->count++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	compile_numbers(variant, &part);
	append(whole, &part, MARKER, false);
	compile_refusals(variant, &part);
	append(whole, &part, SCMP_ACT_ALLOW, false);
	compile_grants(variant, &part);
	append(whole, &part, MARKER, false);
	compile_known(variant, &part);
	append(whole, &part, 0, true);
}

static void write_numbers(FILE *out)
{
	(void)fputs("const int filter_policy_numbers[] = {\n", out);
	for (size_t i = 0; i < filter_policy_count; i++) {
		(void)fprintf(out, "\t%d, /* %s */\n", number_of(&filter_policy[i]),
			filter_policy[i].name);
	}
	(void)fputs("};\n\n", out);
}

static const struct {
	const char *symbol, *name, *enumerator;
	enum filter_variant variant;
} variants[] = {
	{"default", "default", "FILTER_DEFAULT", FILTER_DEFAULT},
	{"no_exec", "default+no-exec", "FILTER_NO_EXEC", FILTER_NO_EXEC},
	{"full", "default+full-home", "FILTER_FULL", FILTER_FULL},
	{"full_no_exec", "default+full-home+no-exec", "FILTER_FULL_NO_EXEC", FILTER_FULL_NO_EXEC},
};

int main(int argc, char **argv)
{
	static struct program whole;
	char digests[ARRAY_SIZE(variants)][65];

	if (argc != 2 || sodium_init() < 0) {
		die("usage: filter-gen OUTPUT.c");
	}
	cleanup_fclose FILE *out = fopen(argv[1], "we");
	if (!out) {
		die("%s: %s", argv[1], strerror(errno));
	}
	(void)fputs("/* Made by filter-gen from filter-policy.c. */\n"
		    "#include \"backends/linux/filter-policy.h\"\n\n",
		out);
	write_numbers(out);
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		compile_variant(variants[i].variant, &whole);
		digest_program(&whole, digests[i]);
		write_program(out, variants[i].symbol, &whole);
	}
	(void)fputs("const struct filter filter_compiled[4] = {\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		(void)fprintf(out,
			"\t{\"%s\", %s, %s, \"%s\", %s_program,\n"
			"\t\tsizeof(%s_program) / sizeof(%s_program[0])},\n",
			variants[i].name, variants[i].enumerator,
			variants[i].variant & FILTER_KEYED ? "true" : "false", digests[i],
			variants[i].symbol, variants[i].symbol, variants[i].symbol);
	}
	(void)fputs("};\n", out);
	if (fflush(out) != 0 || ferror(out)) {
		die("%s: cannot write", argv[1]);
	}
	return 0;
}
