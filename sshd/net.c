/*
 * The zygote. Its children share what it has done beforehand: the keys read, libssh and the crypto
 * library initialised and used once (half the time of a key exchange, half the memory of a child),
 * the namespaces and the empty root. The price is that they share its address-space layout too.
 */
#include "sshd/net.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/strv.h"
#include "keys/keyfile.h"
#include "sshd/net-confine.h"
#include "sshd/net-conn.h"

#define MAX_KEY_FILE 65536
#define WARM_ROUNDS 1000

/*
 * What is offered when the configuration says nothing: no NIST curves, no SHA-1. AES-GCM first, since the CPUs this
 * runs on have AES and libssh is faster so. Encrypt-and-MAC comes last, for clients by libssh2 before 1.11 (curl, git
 * libraries), which have nothing better.
 */
#define KEX                                                                                        \
	"curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group18-sha512,"            \
	"diffie-hellman-group16-sha512"
#define CIPHERS                                                                                    \
	"aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,"             \
	"aes256-ctr,aes192-ctr,aes128-ctr"
#define MACS                                                                                       \
	"hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"
#define HOST_KEYS                                                                                  \
	"ssh-ed25519,rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"           \
	"ecdsa-sha2-nistp521"
#define PUBLIC_KEYS                                                                                \
	"ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"          \
	"ecdsa-sha2-nistp521,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256"

/* Reads a private key; ssh_key_free() is the caller's. */
static int load_host_key(const char *path, ssh_key *ret, struct err *err)
{
	cleanup_close int fd = keyfile_open(path, geteuid(), 1, err);
	char *text = NULL;
	size_t size = 0;
	int r = 0;

	if (fd == -ENOENT) {
		return err_refuse(err, ENOENT,
			"host key %s is not there; make it with: cloche keygen -t ed25519 -f %s",
			path, path);
	}
	if (fd < 0) {
		return err ? err_wrap(err, "host key %s", path) : fd;
	}
	r = io_read_fd(fd, MAX_KEY_FILE, &text, &size);
	if (r < 0) {
		return err_set(err, -r, "reading host key %s", path);
	}
	r = ssh_pki_import_privkey_base64(text, NULL, NULL, NULL, ret);
	explicit_bzero(text, size);
	free(text);
	if (r != SSH_OK) {
		return err_refuse(
			err, EINVAL, "host key %s is not a private key without a passphrase", path);
	}
	return 0;
}

static int set_option(ssh_bind bind, enum ssh_bind_options_e option, const char *name,
	const char *value, struct err *err)
{
	if (ssh_bind_options_set(bind, option, value) < 0) {
		return err_refuse(
			err, EINVAL, "%s \"%s\": libssh knows none of these", name, value);
	}
	return 0;
}

static int set_algorithms(ssh_bind bind, const struct net_options *options, struct err *err)
{
	const char *ciphers = options->ciphers ? options->ciphers : CIPHERS;
	const char *macs = options->macs ? options->macs : MACS;
	const struct {
		enum ssh_bind_options_e option;
		const char *name;
		const char *value;
	} rows[] = {
		{SSH_BIND_OPTIONS_KEY_EXCHANGE, "key exchange", options->kex ? options->kex : KEX},
		{SSH_BIND_OPTIONS_CIPHERS_C_S, "ciphers", ciphers},
		{SSH_BIND_OPTIONS_CIPHERS_S_C, "ciphers", ciphers},
		{SSH_BIND_OPTIONS_HMAC_C_S, "MACs", macs},
		{SSH_BIND_OPTIONS_HMAC_S_C, "MACs", macs},
		{SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, "host key algorithms",
			options->host_key_algorithms ? options->host_key_algorithms : HOST_KEYS},
		{SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, "public key algorithms",
			options->public_key_algorithms ? options->public_key_algorithms
						       : PUBLIC_KEYS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = set_option(bind, rows[i].option, rows[i].name, rows[i].value, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* A libssh server with our keys and algorithms and none of the files libssh would read. */
static int make_bind(const struct net_options *options, ssh_bind *ret, struct err *err)
{
	ssh_bind bind = ssh_bind_new();
	const bool no = false;
	int r = bind ? 0 : err_set(err, ENOMEM, "making the server");

	if (r < 0) {
		return r;
	}
	(void)ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no);
	(void)ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BANNER, "cloche");
	r = set_algorithms(bind, options, err);
	for (char **path = options->host_keys; r == 0 && path && *path; path++) {
		ssh_key key = NULL;
		r = load_host_key(*path, &key, err);
		/* The key becomes the server's. */
		if (r == 0 && ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) < 0) {
			ssh_key_free(key);
			r = err_refuse(
				err, EINVAL, "host key %s is of a kind we do not use", *path);
		}
	}
	if (r == 0 && (!options->host_keys || !options->host_keys[0])) {
		r = err_refuse(err, EINVAL, "no host key");
	}
	if (r < 0) {
		ssh_bind_free(bind);
		return r;
	}
	*ret = bind;
	return 0;
}

/* A session that speaks plain SSH: no compression, whose state is memory and attack surface. */
static ssh_session make_session(ssh_bind bind, int fd)
{
	ssh_session session = ssh_new();

	if (!session) {
		return NULL;
	}
	(void)ssh_options_set(session, SSH_OPTIONS_COMPRESSION_C_S, "none");
	(void)ssh_options_set(session, SSH_OPTIONS_COMPRESSION_S_C, "none");
	if (ssh_bind_accept_fd(bind, session, fd) != SSH_OK) {
		ssh_free(session);
		return NULL;
	}
	return session;
}

static ssh_session make_warm_client(int fd)
{
	ssh_session session = ssh_new();
	const bool no = false;

	if (session) {
		(void)ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
		/* Else it asks for our home directory, and a uid without a name has none. */
		(void)ssh_options_set(session, SSH_OPTIONS_SSH_DIR, "/");
		(void)ssh_options_set(session, SSH_OPTIONS_HOST, "warm");
		(void)ssh_options_set(session, SSH_OPTIONS_USER, "warm");
		(void)ssh_options_set(session, SSH_OPTIONS_FD, &fd);
		ssh_set_blocking(session, 0);
	}
	return session;
}

/* Both ends by turns, in one process; neither ever waits for the other. */
static int shake_hands(ssh_session server, ssh_session client)
{
	int server_result = SSH_AGAIN;
	int client_result = SSH_AGAIN;

	ssh_set_blocking(server, 0);
	for (int i = 0; i < WARM_ROUNDS; i++) {
		if (client_result == SSH_AGAIN) {
			client_result = ssh_connect(client);
		}
		if (server_result == SSH_AGAIN) {
			server_result = ssh_handle_key_exchange(server);
		}
		if (server_result == SSH_ERROR || client_result == SSH_ERROR) {
			return -EPROTO;
		}
		if (server_result == SSH_OK && client_result == SSH_OK) {
			return 0;
		}
	}
	return -ETIMEDOUT;
}

/* One handshake with ourselves: proves that the keys and algorithms work, and warms libraries. */
static int warm_up(ssh_bind bind, struct err *err)
{
	int pair[2];
	ssh_session server = NULL, client = NULL;
	int r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "making a pair of sockets");
	}
	server = make_session(bind, pair[0]);
	client = make_warm_client(pair[1]);
	r = server && client ? shake_hands(server, client) : -ENOMEM;
	if (r < 0) {
		r = err_refuse(err, -r, "a handshake with ourselves failed: server: %s, client: %s",
			server ? ssh_get_error(server) : ssh_get_error(bind),
			client ? ssh_get_error(client) : "out of memory");
	}
	if (server) {
		ssh_disconnect(server); /* closes pair[0] */
		ssh_free(server);
	}
	if (client) {
		ssh_disconnect(client);
		ssh_free(client);
	}
	(void)close(pair[1]);
	return r;
}

/*
 * Leaves open exactly /dev/null as 0, 1 and 2 (2 stays when debugging), the client as 3 and the
 * monitor as 4. The two are out of the way of those numbers: they are above 9.
 */
static void keep_descriptors(const struct net_options *options, int null, int tcp, int monitor)
{
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	if (!options->debug) {
		(void)dup2(null, 2);
	}
	(void)dup2(tcp, 3);
	(void)dup2(monitor, 4);
	if (syscall(SYS_close_range, 5u, ~0u, 0u) < 0) {
		for (int fd = 5; fd < NET_MAX_FDS; fd++) {
			(void)close(fd);
		}
	}
}

/* The life of a net process. Never returns. */
static void serve_connection(
	const struct net_options *options, ssh_bind bind, int null, int tcp, int monitor)
{
	ssh_session session = NULL;
	struct err err = {0};

	(void)prctl(PR_SET_NAME, "cloche-net");
	(void)signal(SIGCHLD, SIG_DFL);
	tcp = fcntl(tcp, F_DUPFD_CLOEXEC, 10);
	monitor = fcntl(monitor, F_DUPFD_CLOEXEC, 10);
	null = fcntl(null, F_DUPFD_CLOEXEC, 10);
	if (tcp < 0 || monitor < 0 || null < 0) {
		_exit(1);
	}
	keep_descriptors(options, null, tcp, monitor);
	session = make_session(bind, 3);
	if (!session || io_set_nonblocking(3, true) < 0) {
		(void)wire_send_simple(4, WIRE_BYE, WIRE_NO_CHANNEL, 0, "memory");
		_exit(1);
	}
	if (net_confine(options, &err) < 0) {
		err.msg[200] = '\0';
		(void)wire_send_simple(4, WIRE_BYE, WIRE_NO_CHANNEL, 0, err.msg);
		_exit(1);
	}
	net_conn_run(session, 3, 4);
	_exit(0); /* not exit(): what libraries do then is not in the filter, and would be in vain */
}

/* Serves requests until the listener is gone. */
static void serve_requests(const struct net_options *options, ssh_bind bind, int null, int control)
{
	for (;;) {
		char request = 0;
		int fds[2] = {-1, -1};
		size_t count = 0;
		ssize_t n = io_receive(control, &request, 1, fds, 2, &count, 0);
		cleanup_close int tcp = fds[0];
		cleanup_close int monitor = fds[1];
		if (n == 0 || (n < 0 && n != -EMFILE && n != -EMSGSIZE)) {
			return;
		}
		if (n != 1 || request != 'C' || count != 2) {
			continue;
		}
		pid_t pid = fork();
		if (pid == 0) {
			serve_connection(options, bind, null, tcp, monitor);
		}
		if (pid < 0) {
			log_error("no process for a connection: %s", strerror(errno));
		}
	}
}

static void report_lost(char **lost)
{
	STRV_FOREACH (item, lost) {
		log_warning("the net process goes without %s", *item);
	}
}

static int refuse(int control, const struct err *err)
{
	char line[sizeof(err->msg) + 1];
	int length = snprintf(line, sizeof(line), "E%s", err->msg);

	(void)io_send(control, line, (size_t)length, NULL, 0);
	return 1;
}

int net_zygote_main(const struct net_options *options, int control)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup(strv_freep) char **lost = NULL;
	struct err err = {0};
	ssh_bind bind = NULL;
	int r = 0;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Children are reaped by the kernel: nobody waits for them. */
	(void)signal(SIGCHLD, SIG_IGN);
	(void)prctl(PR_SET_NAME, "cloche-zygote");
	(void)ssh_set_log_level(options->debug ? SSH_LOG_TRACE : SSH_LOG_NONE);
	r = null < 0 ? err_set(&err, errno, "opening /dev/null") : 0;
	if (r == 0 && ssh_init() != SSH_OK) {
		r = err_refuse(&err, EIO, "libssh does not start");
	}
	r = r < 0 ? r : make_bind(options, &bind, &err);
	r = r < 0 ? r : warm_up(bind, &err);
	r = r < 0 ? r : net_confine_zygote(options, &lost, &err);
	if (r < 0) {
		ssh_bind_free(bind);
		return refuse(control, &err);
	}
	report_lost(lost);
	if (io_send(control, "R", 1, NULL, 0) == 0) {
		serve_requests(options, bind, null, control);
	}
	ssh_bind_free(bind);
	return 0;
}
