#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/emit.h"

static int ask_host(struct host *host)
{
	struct err err = {0};

	return host_probe(host, &err) < 0 ? cli_fail(CLI_FAILED, "%s", err.msg) : 0;
}

static void put_backends(struct emitter *out, const struct host *host)
{
	emit_open(out, '[');
	for (size_t i = 0; backends[i]; i++) {
		struct err err = {0};
		bool available = backends[i]->probe(host, &err) == 0;
		emit_open(out, '{');
		emit_key(out, "available");
		emit_bool(out, available);
		emit_key(out, "name");
		emit_text(out, backends[i]->name);
		emit_key(out, "reason");
		emit_text(out, available ? NULL : err.msg);
		emit_key(out, "summary");
		emit_text(out, backends[i]->summary);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_capability(struct emitter *out, enum capability capability)
{
	emit_open(out, '{');
	emit_key(out, "backends");
	emit_open(out, '[');
	for (size_t i = 0; backends[i]; i++) {
		if (capability_set_has(backends[i]->enforces, capability)) {
			emit_text(out, backends[i]->name);
		}
	}
	emit_close(out, ']');
	emit_key(out, "description");
	emit_text(out, capability_describe(capability));
	emit_key(out, "kind");
	emit_text(out, capability_kind(capability) == CAPABILITY_GRANT ? "grant" : "restriction");
	emit_key(out, "name");
	emit_text(out, capability_name(capability));
	emit_key(out, "portable");
	emit_bool(out, capability_set_has(capability_set_portable(), capability));
	emit_close(out, '}');
}

static int print_json(const struct host *host, bool with_capabilities)
{
	struct capability_set all = {(UINT64_C(1) << CAPABILITY_COUNT) - 1};
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(all, list);
	struct emitter out = {0};
	cleanup_free char *text = NULL;

	emit_open(&out, '{');
	emit_key(&out, "backends");
	put_backends(&out, host);
	if (with_capabilities) {
		emit_key(&out, "capabilities");
		emit_open(&out, '[');
		for (size_t i = 0; i < count; i++) {
			put_capability(&out, list[i]);
		}
		emit_close(&out, ']');
	}
	emit_key(&out, "schema");
	emit_text(&out, with_capabilities ? "cloche.caps/1" : "cloche.backends/1");
	emit_close(&out, '}');
	text = emit_finish(&out);
	if (!text) {
		return cli_fail(CLI_FAILED, "out of memory");
	}
	(void)puts(text);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

/* How wide the column of a backend is. */
static int column_width(const struct backend *backend)
{
	int length = (int)strlen(backend->name);

	return length > 5 ? length : 5;
}

static void print_matrix(const struct host *host)
{
	struct capability_set all = {(UINT64_C(1) << CAPABILITY_COUNT) - 1};
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(all, list);
	unsigned indent = 19;

	(void)printf("%-19s", "");
	for (size_t i = 0; backends[i]; i++) {
		(void)printf(" %-*s", column_width(backends[i]), backends[i]->name);
		indent += (unsigned)column_width(backends[i]) + 1;
	}
	(void)putchar('\n');
	for (size_t row = 0; row < count; row++) {
		(void)printf("%-19s", capability_name(list[row]));
		for (size_t i = 0; backends[i]; i++) {
			bool keeps = capability_set_has(backends[i]->enforces, list[row]);
			bool here = backends[i]->probe(host, NULL) == 0;
			(void)printf(" %-*s", column_width(backends[i]),
				keeps ? (here ? "yes" : "(yes)") : "-");
		}
		(void)printf("  ");
		cli_wrap(indent + 2, capability_describe(list[row]));
	}
	(void)printf(
		"\nyes: kept by the backend's best plan; (yes): the backend cannot run here; -: "
		"not\n"
		"kept. What one plan keeps is said by `cloche plan`; what a host lacks by `cloche\n"
		"doctor`.\n");
}

int command_caps(int argc, char **argv)
{
	struct host host = {0};
	bool json = false;
	int r = cli_only_json(argc, argv, &json);

	if (r >= 0 || (r = ask_host(&host)) > 0) {
		return r;
	}
	if (json) {
		return print_json(&host, true);
	}
	print_matrix(&host);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int command_backends(int argc, char **argv)
{
	struct host host = {0};
	bool json = false;
	int r = cli_only_json(argc, argv, &json);

	if (r >= 0 || (r = ask_host(&host)) > 0) {
		return r;
	}
	if (json) {
		return print_json(&host, false);
	}
	for (size_t i = 0; backends[i]; i++) {
		struct err err = {0};
		bool available = backends[i]->probe(&host, &err) == 0;
		(void)printf("%-12s %-4s ", backends[i]->name, available ? "yes" : "no");
		cli_wrap(18, backends[i]->summary);
		if (!available) {
			(void)printf("%18s", "");
			cli_wrap(18, err.msg);
		}
	}
	return cli_flush() ? CLI_OK : CLI_FAILED;
}
