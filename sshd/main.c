#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libssh/libssh.h>
#include <sodium.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/strv.h"
#include "cloche-config.h"
#include "sshd/authorize.h"
#include "sshd/check.h"
#include "sshd/listener.h"
#include "sshd/options.h"
#include "sshd/proof.h"
#include "sshd/zygote.h"

/* -T -C: the gates as they are known, without measuring anything. */
static int print_logins(const struct options *options, const struct config *config)
{
	const struct proof_options proof = {.config_path = listener_config_path(options),
		.skip = options->no_proof || !config->proof,
		.only_cached = true,
		.interrupt = -1};
	cleanup_free struct session_gate *gates = calloc(config->profile_count + 1, sizeof(*gates));
	struct host host = {0};
	struct err err = {0};

	if (!gates || host_probe(&host, &err) < 0) {
		(void)fprintf(stderr, "cloche-sshd: %s\n", gates ? err.msg : "out of memory");
		return 1;
	}
	log_set_level(LOG_LEVEL_ERROR);
	(void)proof_run(config, &host, backends, &proof, gates);
	STRV_FOREACH (text, options->connections) {
		if (check_login(config, &host, backends, gates, *text, stdout, &err) < 0) {
			(void)fprintf(stderr, "cloche-sshd: %s\n", err.msg);
			return 1;
		}
	}
	return 0;
}

/* -t: the net process gets as far as it would in service, and each profile makes a sandbox. */
static int test_service(const struct config *config)
{
	struct zygote zygote = {.control = -1};
	struct host host = {0};
	struct err err = {0};

	int r = zygote_start(config, 0, false, &zygote, &err);
	zygote_stop(&zygote);
	r = r ? r : authorize_check(config, &err);
	if (r < 0 || host_probe(&host, &err) < 0) {
		(void)fprintf(stderr, "cloche-sshd: %s\n", err.msg);
		return 1;
	}
	return check_profiles(config, &host, backends, stderr) > 0;
}

/* -t and -T. */
static int inspect(const struct options *options, const struct config *config)
{
	if (options->test) {
		return test_service(config);
	}
	if (options->connections) {
		return print_logins(options, config);
	}
	config_print(config, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

/*
 * Where the log goes, as with sshd: syslog, unless -e, -E or -d say otherwise. In the foreground on
 * a host without a syslog it goes to stderr, for a server that says nothing cannot be helped.
 * Returns whether it is syslog, or negative errno.
 */
static int open_log(const struct options *options)
{
	if (options->log_file) {
		cleanup_close int fd = open(options->log_file,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
		/* As descriptor 2, so that whatever children say goes there too. */
		return fd < 0 || dup2(fd, STDERR_FILENO) < 0 ? -errno : 0;
	}
	if (options->to_stderr || options->debug) {
		return 0;
	}
	if (options->foreground && access("/dev/log", W_OK) < 0) {
		return 0;
	}
	log_set_syslog(true);
	return 1;
}

static void replace_stdio(bool keep_stderr)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0) {
		return;
	}
	(void)dup2(fd, STDIN_FILENO);
	(void)dup2(fd, STDOUT_FILENO);
	if (!keep_stderr) {
		(void)dup2(fd, STDERR_FILENO);
	}
	if (fd > STDERR_FILENO) {
		(void)close(fd);
	}
}

static int serve(const struct options *options, struct config *config)
{
	int syslog_used = open_log(options);

	if (syslog_used < 0) {
		(void)fprintf(stderr, "cloche-sshd: log file %s: %s\n", options->log_file,
			strerror(-syslog_used));
		config_fini(config);
		return 1;
	}
	if (!options->foreground && !options->debug) {
		if (daemon(1, 1) < 0) {
			(void)fprintf(stderr, "cloche-sshd: %s\n", strerror(errno));
			config_fini(config);
			return 1;
		}
	}
	replace_stdio(!syslog_used);
	return listener_run(options, config, syslog_used);
}

static int run(const struct options *options)
{
	struct config config = {0};

	if (options->help) {
		options_help(stdout);
		return 0;
	}
	if (options->version) {
		(void)printf("cloche-sshd %s, libssh %s\n", CLOCHE_VERSION, ssh_version(0));
		return 0;
	}
	if (listener_load(options, stderr, &config) < 0) {
		return 1;
	}
	if (options->test || options->dump) {
		int code = inspect(options, &config);
		config_fini(&config);
		return code;
	}
	return serve(options, &config);
}

/*
 * 0, 1 and 2 are open, whatever we were started with: nothing else may get these numbers. Nor 3,
 * which is where cloche-init and the zygote look for their control sockets.
 */
static void fill_stdio(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= STDERR_FILENO) {
		fd = open("/dev/null", O_RDWR);
	}
	if (fd == STDERR_FILENO + 1) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	} else if (fd >= 0) {
		(void)close(fd);
	}
}

int main(int argc, char **argv)
{
	cleanup(options_fini) struct options options = {0};
	struct err err = {0};

	fill_stdio();
	log_init("cloche-sshd", LOG_LEVEL_INFO);
	if (options_parse(argc, argv, &options, &err) < 0) {
		(void)fprintf(stderr, "cloche-sshd: %s\n", err.msg);
		return 2;
	}
	if (options.zygote) {
		return zygote_main();
	}
	if (sodium_init() < 0) {
		(void)fprintf(stderr, "cloche-sshd: the crypto library cannot start\n");
		return 1;
	}
	return run(&options);
}
