/*
 * Run by the build: compiles the table of filter-policy.c with libseccomp and writes C.
 *
 *	filter-gen OUTPUT.c
 *
 * libseccomp has one action for "no rule matched" and cannot say "else EPERM" about a single call.
 * So each variant is compiled as three programs, and put together by turning the "no rule matched"
 * returns of the first two into jumps to the next:
 *
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

		if (rule->verdict == FILTER_ALLOW && (rule->variants & (int)variant)) {
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
	if (variant == FILTER_NO_EXEC) {
		/* Until it has a key it kills: see filter-policy.h. */
		whole->code[whole->count++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
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
	(void)fputs("const struct filter filter_compiled[2] = {\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		(void)fprintf(out,
			"\t{\"%s\", %s, %s, \"%s\", %s_program,\n"
			"\t\tsizeof(%s_program) / sizeof(%s_program[0])},\n",
			variants[i].name, variants[i].enumerator,
			variants[i].variant == FILTER_NO_EXEC ? "true" : "false", digests[i],
			variants[i].symbol, variants[i].symbol, variants[i].symbol);
	}
	(void)fputs("};\n", out);
	if (fflush(out) != 0 || ferror(out)) {
		die("%s: cannot write", argv[1]);
	}
	return 0;
}
