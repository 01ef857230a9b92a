#include "sshd/proof.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "keys/keyfile.h"
#include "session/homes.h"
#include "session/policy.h"
#include "sshd/testkit.h"

#define MAX_REPORT (4 * 1024 * 1024)
#define DEADLINE_USEC (UINT64_C(120) * 1000000)
#define PATH_SIZE TESTKIT_PATH

/* What one profile's measurement depends on. */
struct subject {
	const struct config_profile *profile;
	char testkit[PATH_SIZE];
	char cache[PATH_SIZE]; /* "" when results cannot be kept */
	char key[65];
	char plan[65];
	const struct backend *backend;
	struct capability_set uses;
};

static void hash_file(crypto_generichash_state *state, const char *path)
{
	struct stat status = {0};
	char text[256];

	(void)stat(path, &status);
	(void)snprintf(text, sizeof(text), "%llu %llu %lld.%09ld;",
		(unsigned long long)status.st_ino, (unsigned long long)status.st_size,
		(long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
	(void)crypto_generichash_update(state, (const unsigned char *)text, strlen(text));
}

/* Plan, kernel, and the programs whose behaviour the measurement is about. */
static void make_key(struct subject *subject, const struct host *host)
{
	crypto_generichash_state state;
	unsigned char hash[32];
	char text[256];
	char client[PATH_SIZE + 16];

	(void)snprintf(text, sizeof(text), "cloche.proof/1 %s %s %s;", subject->plan, host->release,
		subject->profile->name);
	(void)snprintf(client, sizeof(client), "%s", subject->testkit);
	char *slash = strrchr(client, '/');
	(void)snprintf(slash, sizeof(client) - (size_t)(slash - client), "/cloche-testkit-client");
	(void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	(void)crypto_generichash_update(&state, (const unsigned char *)text, strlen(text));
	hash_file(&state, "/proc/self/exe");
	hash_file(&state, subject->testkit);
	hash_file(&state, client);
	(void)crypto_generichash_final(&state, hash, sizeof(hash));
	io_hex(hash, sizeof(hash), subject->key);
}

static int make_plan(const struct config_profile *profile, const struct host *host,
	const struct backend *const list[], struct subject *subject, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	char program[] = "true";
	char *argv[] = {program, NULL};
	const struct backend *backend = NULL;
	struct spec spec = {0};

	if (policy_trial_spec(profile, argv, &spec) < 0) {
		return err_set(err, ENOMEM, "profile %s", profile->name);
	}
	int r = spec_validate(&spec, err);
	r = r ? r : backend_choose(list, &spec, host, 0, &backend, &plan, err);
	spec_fini(&spec);
	if (r < 0) {
		return r;
	}
	(void)snprintf(subject->plan, sizeof(subject->plan), "%s", plan->digest);
	subject->uses = plan->uses;
	subject->backend = backend;
	return 0;
}

/* ---- what is kept ---- */

static int make_cache_directory(const char *state_dir)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s/proofs", state_dir);
	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST) {
		return -errno;
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* A file that others could have written is no proof; keyfile_open() sees to that. */
static bool read_cache(const struct subject *subject)
{
	cleanup_free char *text = NULL;
	cleanup_close int fd = -1;
	struct err err = {0};
	const char *plan = NULL;
	bool held = false;

	if (!subject->cache[0]) {
		return false;
	}
	fd = keyfile_open(subject->cache, geteuid(), 0, &err);
	int r = fd < 0 ? fd : io_read_fd(fd, MAX_REPORT, &text, NULL);
	if (r < 0) {
		if (r != -ENOENT) {
			log_warning(
				"a kept proof is not used: %s", fd < 0 ? err.msg : strerror(-r));
		}
		return false;
	}
	int version = 0;
	int open = 0;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (root &&
		json_unpack(root, "{s:i, s:b, s:s}", "v", &version, "open", &open, "plan", &plan) ==
			0) {
		held = version == 1 && open && strcmp(plan, subject->plan) == 0;
	}
	json_decref(root);
	return held;
}

/* Written beside and renamed, so that a crash leaves the old or the new and nothing between. */
static void write_cache(const struct subject *subject, const struct host *host)
{
	char path[PATH_SIZE + 16];
	json_t *root = json_pack("{s:i, s:b, s:s, s:s, s:s, s:I}", "v", 1, "open", 1, "plan",
		subject->plan, "profile", subject->profile->name, "kernel", host->release,
		"measured", (json_int_t)time(NULL));
	cleanup_free char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;

	json_decref(root);
	if (!subject->cache[0] || !text) {
		return;
	}
	(void)snprintf(path, sizeof(path), "%s.%d", subject->cache, (int)getpid());
	/* Made here and now: what lies there may be another name of a file we must not write to. */
	(void)unlink(path);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || io_write_all(fd, text, strlen(text)) < 0 || fsync(fd) < 0 ||
		rename(path, subject->cache) < 0) {
		log_warning("proof of profile %s cannot be kept in %s: %s", subject->profile->name,
			path, strerror(errno));
		(void)unlink(path);
	}
}

/* ---- measuring ---- */

static bool holds(const char *verdict)
{
	/* A promise that is kept more strictly than it was made is kept. */
	return strcasecmp(verdict, "pass") == 0 || strcasecmp(verdict, "over-restricted") == 0;
}

int proof_find_failure(const char *report, char *name, size_t size)
{
	json_t *root = json_loads(report, JSON_REJECT_DUPLICATES, NULL);
	json_t *list = json_object_get(root, "capabilities");
	json_t *entry = NULL;
	size_t i = 0;
	int r = json_is_array(list) ? -ENOENT : -EPROTO;

	json_array_foreach(list, i, entry)
	{
		const char *capability = json_string_value(json_object_get(entry, "name"));
		const char *verdict = json_string_value(json_object_get(entry, "verdict"));
		if (!capability || !verdict) {
			r = -EPROTO;
			break;
		}
		if (json_is_true(json_object_get(entry, "declared")) && !holds(verdict)) {
			(void)snprintf(name, size, "%s", capability);
			r = 0;
			break;
		}
	}
	json_decref(root);
	return r;
}

/* Everything the child writes, until it ends or the deadline or the operator comes first. */
static int collect(int pipe_fd, int interrupt, struct buf *ret)
{
	uint64_t deadline = io_now_usec() + DEADLINE_USEC;
	char chunk[16384];

	for (;;) {
		struct pollfd fds[] = {
			{.fd = pipe_fd, .events = POLLIN},
			{.fd = interrupt, .events = POLLIN},
		};
		uint64_t now = io_now_usec();
		if (now >= deadline) {
			return -ETIMEDOUT;
		}
		(void)poll(fds, ARRAY_SIZE(fds), (int)((deadline - now) / 1000 + 1));
		if (fds[1].revents) {
			return -EINTR;
		}
		if (!fds[0].revents) {
			continue;
		}
		ssize_t n = read(pipe_fd, chunk, sizeof(chunk));
		if (n == 0) {
			return 0;
		}
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		buf_put(ret, chunk, n > 0 ? (size_t)n : 0);
		if (ret->failed || ret->size > MAX_REPORT) {
			return -EFBIG;
		}
	}
}

static int run_testkit(const struct subject *subject, const struct proof_options *options,
	struct buf *ret_report, int *ret_code)
{
	const struct testkit_job job = {
		.program = subject->testkit,
		.backend = subject->backend->name,
		.profile = subject->profile->name,
		.config = options->config_path,
		.format = "json",
		.input = -1,
	};
	cleanup_close int output = -1;
	cleanup_close int pidfd = testkit_start(&job, &output);
	int status = 0;

	if (pidfd < 0) {
		return pidfd;
	}
	int r = collect(output, options->interrupt, ret_report);
	if (r < 0) {
		(void)proc_signal(pidfd, SIGTERM);
		if (proc_wait(pidfd, 3000, &status) < 0) {
			(void)proc_signal(pidfd, SIGKILL);
			(void)proc_wait(pidfd, -1, &status);
		}
		return r;
	}
	r = proc_wait(pidfd, 5000, &status);
	*ret_code = proc_exit_code(status);
	return r;
}

static void close_gate(
	struct session_gate *gate, const struct config_profile *profile, const char *why)
{
	gate->open = false;
	(void)snprintf(gate->reason, sizeof(gate->reason), "profile %.64s is closed: %s",
		profile->name, why);
	log_error("%s", gate->reason);
}

static void open_gate(struct session_gate *gate, const struct subject *subject)
{
	gate->open = true;
	gate->measured = true;
	(void)snprintf(gate->proof, sizeof(gate->proof), "%.16s", subject->key);
}

/* From exit code and report to the gate. */
static void judge(
	struct session_gate *gate, const struct subject *subject, const char *report, int code)
{
	char name[64];
	char why[256];
	int r = proof_find_failure(report, name, sizeof(name));

	if (code == 0 && r == -ENOENT) {
		open_gate(gate, subject);
		return;
	}
	if (r == 0) {
		(void)snprintf(why, sizeof(why),
			code == 3 ? "%s could not be measured on this host"
				  : "it promises %s, and that was not what was observed",
			name);
	} else {
		(void)snprintf(why, sizeof(why),
			"the measurement failed (" TESTKIT " ended with %d)", code);
	}
	close_gate(gate, subject->profile, why);
}

static int measure(struct session_gate *gate, const struct subject *subject,
	const struct host *host, const struct proof_options *options)
{
	cleanup(buf_fini) struct buf report = {0};
	uint64_t began = io_now_usec();
	char why[256];
	int code = 0;

	log_info("measuring profile %s ...", subject->profile->name);
	int r = run_testkit(subject, options, &report, &code);
	if (r == -EINTR) {
		return r;
	}
	if (r < 0) {
		(void)snprintf(why, sizeof(why), "it could not be measured: %s", strerror(-r));
		close_gate(gate, subject->profile, why);
		return 0;
	}
	buf_put_u8(&report, 0);
	judge(gate, subject, report.failed ? "" : (const char *)report.data, code);
	if (gate->open) {
		write_cache(subject, host);
		log_info("profile %s holds: %zu capabilities as declared, measured in %.1f s",
			subject->profile->name, capability_set_len(subject->uses),
			(double)(io_now_usec() - began) / 1e6);
	}
	return 0;
}

static int prove(const struct config *config, const struct host *host,
	const struct backend *const list[], const struct proof_options *options,
	const struct config_profile *profile, struct session_gate *gate)
{
	struct subject subject = {.profile = profile};
	struct err err = {0};

	if (make_plan(profile, host, list, &subject, &err) < 0) {
		close_gate(gate, profile, err.msg);
		return 0;
	}
	gate->backend = subject.backend;
	gate->uses = subject.uses;
	if (options->skip) {
		gate->open = true;
		return 0;
	}
	if (testkit_find(subject.testkit, sizeof(subject.testkit)) < 0) {
		close_gate(gate, profile, TESTKIT " was not found, so it could not be measured");
		return 0;
	}
	make_key(&subject, host);
	int r = config->state_dir ? make_cache_directory(config->state_dir) : -ENOENT;
	if (r < 0) {
		log_warning("proofs cannot be kept in state_dir: %s; each start measures again",
			strerror(-r));
	} else {
		(void)snprintf(subject.cache, sizeof(subject.cache), "%s/proofs/%s.json",
			config->state_dir, subject.key);
	}
	if (read_cache(&subject)) {
		open_gate(gate, &subject);
		log_info("profile %s: measured before, proof %s", profile->name, gate->proof);
		return 0;
	}
	if (options->only_cached) {
		(void)snprintf(gate->reason, sizeof(gate->reason), "not measured yet");
		return 0;
	}
	/* Nobody's home, by a name that no login can have. */
	if (profile->spec.home_source && homes_prepare(profile->spec.home_source, &err) < 0) {
		close_gate(gate, profile, err.msg);
		return 0;
	}
	return measure(gate, &subject, host, options);
}

int proof_run(const struct config *config, const struct host *host,
	const struct backend *const backends_list[], const struct proof_options *options,
	struct session_gate *gates)
{
	if (options->skip) {
		log_warning("no proof: profiles are open WITHOUT being measured");
	}
	for (size_t i = 0; i < config->profile_count; i++) {
		gates[i] = (struct session_gate){0};
		int r = prove(
			config, host, backends_list, options, &config->profiles[i], &gates[i]);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}
