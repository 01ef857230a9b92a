#include "testkit/canary.h"

#include <assert.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <ifaddrs.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "testkit/protocol.h"

#define NOBODY_UID 65533 /* the controls' */
#define SETUID_OWNER 65532 /* owns nothing; the setuid canary only says that it would be him */

/* In memory shared with victim and companion; each writes only its counters. */
struct victim_page {
	volatile unsigned signals[CANARY_SIGNALS];
	volatile unsigned group_signals;
	volatile unsigned barriers;
	char token[CANARY_TOKEN];
};

static const int victim_signals[CANARY_SIGNALS] = {SIGUSR1, SIGUSR2, 40, 41};
static struct victim_page *victim_page; /* in the child alone */

enum listener {
	LISTENER_TCP4,
	LISTENER_TCP6,
	LISTENER_ALIAS,
	LISTENER_OWN,
	LISTENER_UDP4,
	LISTENER_UDP6,
	LISTENER_PATH,
	LISTENER_TMP,
	LISTENER_ABSTRACT,
	LISTENER_DATAGRAM,
	LISTENER_ABSTRACT_DATAGRAM,
	LISTENER_COUNT,
};
static_assert(LISTENER_COUNT == CANARY_LISTENERS, "a slot each");

/* Network listeners: where each binds. */
static const struct {
	enum listener listener;
	const char *setting;
	int family, type;
	const char *address; /* NULL: one of the host's own that is no loopback, where it has one */
} net_listeners[] = {
	{LISTENER_TCP4, "tcp4", AF_INET, SOCK_STREAM, "127.0.0.1"},
	{LISTENER_TCP6, "tcp6", AF_INET6, SOCK_STREAM, "::1"},
	{LISTENER_ALIAS, "alias", AF_INET, SOCK_STREAM, "127.0.0.2"},
	{LISTENER_OWN, "own", AF_INET, SOCK_STREAM, NULL},
	{LISTENER_UDP4, "udp4", AF_INET, SOCK_DGRAM, "127.0.0.1"},
	{LISTENER_UDP6, "udp6", AF_INET6, SOCK_DGRAM, "::1"},
};

static const struct {
	enum listener listener;
	const char *setting;
	int type;
	bool abstract, in_tmp;
	const char *name;
} unix_listeners[] = {
	{LISTENER_PATH, "unix.path", SOCK_STREAM, false, false, "meet/stream"},
	{LISTENER_TMP, "unix.tmp", SOCK_STREAM, false, true, "stream"},
	{LISTENER_ABSTRACT, "unix.abstract", SOCK_STREAM, true, false, "stream"},
	{LISTENER_DATAGRAM, "unix.datagram", SOCK_DGRAM, false, false, "meet/datagram"},
	{LISTENER_ABSTRACT_DATAGRAM, "unix.abstract.datagram", SOCK_DGRAM, true, false, "datagram"},
};

/* Files of a run, below its directories. '%': the token of the probe that the file is named for. */
enum place { PLACE_DIRECTORY, PLACE_TMP, PLACE_DENY, PLACE_SCOPE, PLACE_READ };

static const struct {
	enum place place;
	const char *path; /* a directory ends in '/' */
	mode_t mode;
} files[] = {
	{PLACE_DIRECTORY, "secret/", 0755},
	{PLACE_DIRECTORY, "secret/F.read-home", 0644},
	{PLACE_DIRECTORY, "secret/F.read-opath", 0644},
	{PLACE_DIRECTORY, "secret/F.read-climb", 0644},
	{PLACE_DIRECTORY, "secret/F.read-proc-root", 0644},
	{PLACE_DIRECTORY, "secret/F.flock", 0644},
	{PLACE_DIRECTORY, "secret/H.sftp-read", 0644},
	{PLACE_READ, "write/", 0777},
	{PLACE_READ, "write/F.overwrite", 0666},
	{PLACE_READ, "write/F.append", 0666},
	{PLACE_READ, "write/F.truncate", 0666},
	{PLACE_READ, "write/F.unlink", 0666},
	{PLACE_READ, "write/F.rename", 0666},
	{PLACE_READ, "write/F.mmap", 0666},
	{PLACE_READ, "mine/", 0755},
	{PLACE_READ, "mine/F.chmod", 0644},
	{PLACE_READ, "mine/F.times", 0644},
	{PLACE_DIRECTORY, "meet/", 0777},
	{PLACE_TMP, "F.read-tmp", 0644},
	{PLACE_DENY, "F.deny", 0644},
	{PLACE_DENY, "F.deny-alias", 0644},
	{PLACE_DENY, "F.deny-list", 0644},
	{PLACE_DENY, "REG.CVE-2026-39861", 0644},
	{PLACE_SCOPE, "F.scope-overwrite", 0666},
	{PLACE_READ, "F.scope-read", 0644},
};

static long key_call(int operation, long a, long b, long c, long d)
{
	return syscall(SYS_keyctl, operation, a, b, c, d);
}

/* ---- ground ---- */

char *ground_token(const struct ground *ground, unsigned run, const char *id, char *out)
{
	uint8_t hash[crypto_shorthash_BYTES];
	char text[64];
	int length = snprintf(text, sizeof(text), "%u %s", run, id);

	(void)crypto_shorthash(
		hash, (const uint8_t *)text, (unsigned long long)length, ground->secret);
	return io_hex(hash, sizeof(hash), out);
}

/* A terminal of our own that launchers inherit; raw, so that pushed bytes can be read back. */
static void make_terminal(struct ground *ground)
{
	struct termios raw;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	int slave = -1;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
		ptsname_r(master, ground->terminal_path, sizeof(ground->terminal_path)) != 0) {
		close_fdp(&master);
		return;
	}
	/* The first terminal a session leader opens becomes its own: the host process is one. */
	slave = open(ground->terminal_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (slave < 0) {
		close_fdp(&master);
		return;
	}
	(void)ioctl(slave, TIOCSCTTY, 0);
	if (tcgetattr(slave, &raw) == 0) {
		cfmakeraw(&raw);
		(void)tcsetattr(slave, TCSANOW, &raw);
	}
	(void)fchmod(slave, 0666);
	(void)ioctl(slave, (unsigned long)TIOCGDEV, &ground->terminal_number);
	ground->terminal_master = master;
	ground->terminal_slave = slave;
}

/* A session keyring of our own with one key in it, readable by all who can find it. */
static void make_key(struct ground *ground)
{
	char token[CANARY_TOKEN];
	long key = 0;

	if (key_call(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) < 0) {
		return;
	}
	/* Control clients of another user must be able to search it and to add to it. */
	(void)key_call(KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, 0x3f3f3f3f, 0, 0);
	(void)snprintf(ground->key_name, sizeof(ground->key_name), "cloche-%s",
		ground_token(ground, 0, "key-name", token));
	(void)ground_token(ground, 0, "key", token);
	key = syscall(SYS_add_key, "user", ground->key_name, token, strlen(token),
		KEY_SPEC_SESSION_KEYRING);
	if (key > 0) {
		(void)key_call(KEYCTL_SETPERM, key, 0x3f3f3f3f, 0, 0);
		ground->key = (int32_t)key;
	}
}

/* Descriptors without close-on-exec: what a careless launcher would hand on. */
static void make_descriptors(struct ground *ground)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/leak", ground->root);
	if (mkdir(path, 0777) < 0 || chmod(path, 0777) < 0) {
		return;
	}
	ground->dir_fd = open(path, O_RDONLY | O_DIRECTORY);
	(void)snprintf(path, sizeof(path), "%s/leak/file", ground->root);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd >= 0) {
		(void)fchmod(fd, 0666);
		(void)close(fd);
		ground->file_fd = open(path, O_RDONLY);
	}
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info;
	(void)kind;
	(void)walk;
	(void)remove(path); /* what stays is reported by the directory that then stays too */
	return 0;
}

/* Below our own directory only, never through a link, never into another file system. */
static void remove_tree(const char *path)
{
	if (*path) {
		(void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	}
}

/*
 * What a run has in places that are not ours alone, by its names. Also kept as the name of an empty
 * file, so that it can be removed for a measurement that was killed.
 */
struct traces {
	char leave[24], fresh[24];
	key_t key;
};

#define TRACES_FORMAT "traces.%s.%s.%d"

static void remove_named(const char *before, const char *name, const char *after)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s%s%s", before, name, after);
	(void)unlink(path);
}

static void remove_queues(key_t key)
{
	int id = shmget(key, 0, 0);

	if (id >= 0) {
		(void)shmctl(id, IPC_RMID, NULL);
	}
	id = msgget(key, 0);
	if (id >= 0) {
		(void)msgctl(id, IPC_RMID, NULL);
	}
	id = semget(key, 0, 0);
	if (id >= 0) {
		(void)semctl(id, 0, IPC_RMID);
	}
}

/* Like every key of ours from 1 to 2^30. */
key_t canary_fresh_key(const char *fresh)
{
	unsigned number = 0;

	(void)sscanf(fresh, "cf%8x", &number);
	return (key_t)(number & 0x3ffffffe) + 1;
}

static void remove_traces(const struct traces *traces)
{
	static const struct {
		const char *before, *after;
		bool fresh;
	} names[] = {
		{"/tmp/", ".F.tmp-private", false},
		{"/var/tmp/", ".F.vartmp-private", false},
		{"/dev/shm/", ".F.shm-private", false},
		{"/dev/shm/", "", false},
		{"/tmp/.", "", false},
		{"/tmp/.fill.", "", false},
		{"/tmp/.", ".x", false},
		{"/var/tmp/.", ".x", false},
		{"/dev/shm/.", ".x", false},
		{"/tmp/.", ".fresh", true},
		{"/var/tmp/.", ".fresh", true},
		{"/dev/shm/.", ".fresh", true},
		{"/tmp/.", ".sock", true},
	};
	char queue[32];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		remove_named(names[i].before, names[i].fresh ? traces->fresh : traces->leave,
			names[i].after);
	}
	(void)snprintf(queue, sizeof(queue), "/%s", traces->leave);
	(void)mq_unlink(queue);
	remove_queues(traces->key);
}

/* Those of a directory whose maker is gone. Names are as strict as we make them. */
static void remove_orphan_traces(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry = NULL;

	while (directory && (entry = readdir(directory))) {
		struct traces traces = {0};
		if (sscanf(entry->d_name, "traces.%20[a-z0-9].%20[a-z0-9].%d", traces.leave,
			    traces.fresh, &traces.key) == 3 &&
			strncmp(traces.leave, "ck", 2) == 0 && strlen(traces.leave) == 18 &&
			strncmp(traces.fresh, "cf", 2) == 0 && strlen(traces.fresh) == 18 &&
			traces.key > 0) {
			remove_traces(&traces);
			remove_queues(canary_fresh_key(traces.fresh));
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
}

#define GROUND_PREFIX ".cloche-testkit."

/* Is it ours, and has nobody the lock that its maker held? */
static bool is_orphan(int parent_fd, const char *name)
{
	cleanup_close int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;

	return fd >= 0 && fstat(fd, &info) == 0 && info.st_uid == geteuid() &&
		flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Removes what a measurement that was killed has left in parent: a setuid file may be among it. */
static void sweep(const char *parent)
{
	DIR *directory = opendir(parent);
	struct dirent *entry = NULL;
	char path[320];

	while (directory && (entry = readdir(directory))) {
		if (strncmp(entry->d_name, GROUND_PREFIX, strlen(GROUND_PREFIX)) == 0 &&
			is_orphan(dirfd(directory), entry->d_name)) {
			(void)snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
			remove_orphan_traces(path);
			remove_tree(path);
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
}

/* Until it is locked another one's sweep may take it away: then the next name is tried. */
static int try_directory(char *path, const char *parent, int *ret_lock)
{
	uint8_t random[6];
	char hex[13];
	struct stat info;

	io_random(random, sizeof(random));
	(void)snprintf(
		path, 64, "%s/" GROUND_PREFIX "%s", parent, io_hex(random, sizeof(random), hex));
	if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0) {
		return -errno;
	}
	*ret_lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_lock < 0) {
		return -errno;
	}
	if (flock(*ret_lock, LOCK_EX | LOCK_NB) < 0 || stat(path, &info) < 0) {
		close_fdp(ret_lock);
		return -ENOENT;
	}
	return 0;
}

/* The lock on the directory lasts as long as the descriptor: it says that somebody is at work. */
static int make_directory(char *path, const char *parent, int *ret_lock, struct err *err)
{
	int r = -ENOENT;

	sweep(parent);
	for (int i = 0; i < 8 && r == -ENOENT; i++) {
		r = try_directory(path, parent, ret_lock);
	}
	return r < 0 ? err_set(err, -r, "making the canary directory %s", path) : 0;
}

/*
 * A mount of the host that no plan has a use for, to look for in the sandbox's own table: the
 * longest path below /sys, or below /proc.
 */
static void choose_mount_word(struct ground *ground)
{
	cleanup_free char *table = NULL;
	char target[sizeof(ground->mount_word)];
	size_t best = 0;
	char *rest = NULL;

	if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &table, NULL) < 0) {
		return;
	}
	rest = table;
	for (char *line = NULL; (line = strsep(&rest, "\n"));) {
		if (sscanf(line, "%*d %*d %*s %*s %63s", target) == 1 &&
			(strncmp(target, "/sys/", 5) == 0 || strncmp(target, "/proc/", 6) == 0) &&
			strlen(target) > best) {
			best = strlen(target);
			memcpy(ground->mount_word, target, best + 1);
		}
	}
}

/* A copy of the client in a place that sandboxes can see, whatever they make of the original's. */
static int copy_client(struct ground *ground, const char *client, struct err *err)
{
	cleanup_free char *program = NULL;
	cleanup_close int fd = -1;
	size_t size = 0;
	int r = io_read_file(AT_FDCWD, client, 8 << 20, &program, &size);

	if (r < 0) {
		return err_set(err, -r, "reading the client %s", client);
	}
	(void)snprintf(ground->client, sizeof(ground->client), "%s/read/client", ground->root);
	fd = open(ground->client, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (fd < 0 || io_write_all(fd, program, size) < 0 || fchmod(fd, 0755) < 0) {
		return err_set(err, errno, "copying the client to %s", ground->client);
	}
	return 0;
}

int ground_init(struct ground *ground, const char *parent, const char *client, struct err *err)
{
	static const struct {
		const char *name;
		mode_t mode;
		bool shared;
	} sub[] = {{"deny", 0755, false}, {"scope", 0777, true}, {"read", 0755, false},
		{"home", 0777, true}};
	char token[CANARY_TOKEN];
	char path[96];
	int r = 0;

	memset(ground, 0, sizeof(*ground));
	ground->terminal_master = ground->terminal_slave = -1;
	ground->dir_fd = ground->file_fd = -1;
	ground->locks[0] = ground->locks[1] = -1;
	io_random(ground->secret, sizeof(ground->secret));
	if (strlen(parent) > 24) {
		return err_refuse(
			err, ENAMETOOLONG, "the path %s is too long for canaries", parent);
	}
	r = make_directory(ground->tmp, "/tmp", &ground->locks[0], err);
	if (r < 0) {
		return r;
	}
	ground->made = true;
	r = make_directory(ground->root, parent, &ground->locks[1], err);
	if (r < 0) {
		ground->root[0] = '\0';
		return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sub); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", ground->root, sub[i].name);
		if (mkdir(path, 0700) < 0 || chmod(path, sub[i].mode) < 0) {
			return err_set(err, errno, "making %s", path);
		}
		/* Not root's: a backend may refuse to let a session write what then is root's. */
		if (sub[i].shared && geteuid() == 0 && chown(path, NOBODY_UID, NOBODY_UID) < 0) {
			return err_set(err, errno, "giving %s away", path);
		}
	}
	(void)snprintf(ground->home, sizeof(ground->home), "%s/home", ground->root);
	r = copy_client(ground, client, err);
	if (r < 0) {
		return r;
	}
	choose_mount_word(ground);
	make_terminal(ground);
	make_key(ground);
	make_descriptors(ground);
	(void)snprintf(ground->env_name, sizeof(ground->env_name), "CLOCHE_CANARY_%.8s",
		ground_token(ground, 0, "env-name", token));
	return setenv(ground->env_name, ground_token(ground, 0, "env", token), 1) < 0 ? -errno : 0;
}

void ground_fini(struct ground *ground)
{
	if (!ground->made) {
		return;
	}
	close_fdp(&ground->dir_fd);
	close_fdp(&ground->file_fd);
	close_fdp(&ground->terminal_slave);
	close_fdp(&ground->terminal_master);
	if (ground->key) {
		(void)key_call(KEYCTL_REVOKE, ground->key, 0, 0, 0);
	}
	remove_tree(ground->root);
	remove_tree(ground->tmp);
	close_fdp(&ground->locks[0]);
	close_fdp(&ground->locks[1]);
	(void)unsetenv(ground->env_name);
	ground->made = false;
}

/* ---- a run's objects ---- */

void canary_set(struct canary *canary, const char *name, const char *format, ...)
{
	char value[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	buf_printf(&canary->settings, "set %s %s\n", name, value);
}

char *canary_token(const struct canary *canary, const char *id, char *out)
{
	return ground_token(canary->ground, canary->ground->runs, id, out);
}

/* Where things of a run lie. What a plan that lists its paths shows anyway is below PLACE_READ. */
static const char *place_path(const struct canary *canary, enum place place)
{
	switch (place) {
	case PLACE_TMP:
		return canary->tmp;
	case PLACE_DENY:
		return canary->deny;
	case PLACE_SCOPE:
		return canary->scope;
	case PLACE_READ:
		return canary->read;
	default:
		return canary->directory;
	}
}

/* Writable scopes belong to somebody who is not root, throughout: mounts may map just one owner. */
static void give_away(const char *path)
{
	if (geteuid() == 0) {
		(void)!lchown(path, NOBODY_UID, NOBODY_UID);
	}
}

static int make_file(const char *path, mode_t mode, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		return -errno;
	}
	if (io_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0) {
		return -errno;
	}
	return 0;
}

static int make_files(struct canary *canary, struct err *err)
{
	char path[192];
	char token[CANARY_TOKEN];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *name = strrchr(files[i].path, '/');
		int length = snprintf(path, sizeof(path), "%s/%s",
			place_path(canary, files[i].place), files[i].path);
		int r = 0;
		if (path[length - 1] == '/') {
			path[length - 1] = '\0';
			r = mkdir(path, 0700) < 0 || chmod(path, files[i].mode) < 0 ? -errno : 0;
		} else {
			r = make_file(path, files[i].mode,
				canary_token(canary, name ? name + 1 : files[i].path, token));
		}
		if (r < 0) {
			return err_set(err, -r, "planting %s", path);
		}
		if (files[i].place == PLACE_SCOPE) {
			give_away(path);
		}
	}
	return 0;
}

static int make_directories(struct canary *canary, struct err *err)
{
	const struct ground *ground = canary->ground;
	const struct {
		char *path;
		const char *parent, *sub;
		mode_t mode;
	} made[] = {
		{canary->directory, ground->root, "", 0755},
		{canary->tmp, ground->tmp, "", 0755},
		{canary->deny, ground->root, "/deny", 0755},
		{canary->scope, ground->root, "/scope", 0777},
		{canary->read, ground->root, "/read", 0755},
	};

	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		(void)snprintf(
			made[i].path, 96, "%s%s/%u", made[i].parent, made[i].sub, ground->runs);
		if (mkdir(made[i].path, 0700) < 0 || chmod(made[i].path, made[i].mode) < 0) {
			return err_set(err, errno, "making %s", made[i].path);
		}
		if (made[i].path == canary->scope) {
			give_away(made[i].path);
		}
	}
	canary_set(canary, "secret", "%s/secret", canary->directory);
	canary_set(canary, "write", "%s/write", canary->read);
	canary_set(canary, "mine", "%s/mine", canary->read);
	canary_set(canary, "meet", "%s/meet", canary->directory);
	canary_set(canary, "secret.tmp", "%s", canary->tmp);
	canary_set(canary, "deny", "%s", canary->deny);
	canary_set(canary, "scope", "%s", canary->scope);
	canary_set(canary, "scope.read", "%s", canary->read);
	return make_files(canary, err);
}

/* A program that anybody may write, for who finds it by a process that runs it. */
static void make_runtime(struct canary *canary, const char *program, size_t size)
{
	char path[192];
	cleanup_close int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/runtime", canary->read);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && io_write_all(fd, program, size) == 0 && fchmod(fd, 0777) == 0) {
		canary_set(canary, "runtime", "%s", path);
	}
}

/* A setuid copy of the client, a device node, a named pipe: some need root, none is needed. */
static void make_odd_files(struct canary *canary)
{
	char path[192];
	cleanup_free char *program = NULL;
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "%s/meet/F.fifo", canary->directory);
	if (mkfifo(path, 0666) == 0 && chmod(path, 0666) == 0) {
		canary->fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	(void)snprintf(path, sizeof(path), "%s/secret/F.flock", canary->directory);
	canary->lock = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/D.planted", canary->read);
	if (mknod(path, S_IFCHR | 0666, makedev(1, 5)) == 0 && chmod(path, 0666) == 0) {
		canary_set(canary, "device", "%s", path);
	}
	(void)snprintf(path, sizeof(path), "%s/X.self", canary->read);
	if (link(canary->ground->client, path) == 0) {
		canary_set(canary, "self", "%s", path);
	}
	if (io_read_file(AT_FDCWD, canary->ground->client, 8 << 20, &program, &size) < 0) {
		return;
	}
	make_runtime(canary, program, size);
	(void)snprintf(path, sizeof(path), "%s/setuid", canary->read);
	if (geteuid() != 0) {
		return;
	}
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && io_write_all(fd, program, size) == 0 &&
		fchown(fd, SETUID_OWNER, SETUID_OWNER) == 0 && fchmod(fd, 04755) == 0) {
		canary_set(canary, "suid", "%s", path);
	}
}

/* What reaches it is at the host itself: such packets never leave it. */
static void find_own_address(struct canary *canary, char out[INET_ADDRSTRLEN])
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0) {
		return;
	}
	for (const struct ifaddrs *at = list; at && !*out; at = at->ifa_next) {
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET) {
			uint32_t own =
				ntohl(((const struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr);
			if (own >> 24 != IN_LOOPBACKNET) {
				(void)inet_ntop(AF_INET,
					&((const struct sockaddr_in *)at->ifa_addr)->sin_addr, out,
					INET_ADDRSTRLEN);
				canary_set(canary, "own.address", "%u", own);
			}
		}
	}
	freeifaddrs(list);
}

static void listen_net(struct canary *canary)
{
	char own[INET_ADDRSTRLEN] = "";

	find_own_address(canary, own);
	for (size_t i = 0; i < ARRAY_SIZE(net_listeners); i++) {
		union {
			struct sockaddr any;
			struct sockaddr_in v4;
			struct sockaddr_in6 v6;
		} address = {.any.sa_family = (sa_family_t)net_listeners[i].family};
		socklen_t size = sizeof(address);
		bool v4 = net_listeners[i].family == AF_INET;
		cleanup_close int fd = socket(net_listeners[i].family,
			net_listeners[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0 ||
			inet_pton(net_listeners[i].family,
				net_listeners[i].address ? net_listeners[i].address : own,
				v4 ? (void *)&address.v4.sin_addr
				   : (void *)&address.v6.sin6_addr) != 1 ||
			bind(fd, &address.any, v4 ? sizeof(address.v4) : sizeof(address.v6)) < 0 ||
			(net_listeners[i].type == SOCK_STREAM && listen(fd, 16) < 0) ||
			getsockname(fd, &address.any, &size) < 0) {
			continue; /* no IPv6, say: its control will not be open either */
		}
		canary_set(canary, net_listeners[i].setting, "%u",
			ntohs(v4 ? address.v4.sin_port : address.v6.sin6_port));
		canary->listeners[net_listeners[i].listener] = (struct canary_listener){
			take_fd(&fd), net_listeners[i].type == SOCK_STREAM};
	}
}

static void listen_unix(struct canary *canary)
{
	for (size_t i = 0; i < ARRAY_SIZE(unix_listeners); i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		char name[108];
		size_t length = 0;
		cleanup_close int fd =
			socket(AF_UNIX, unix_listeners[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int n = unix_listeners[i].abstract
			? snprintf(name, sizeof(name), "%s-%s", canary->leave,
				  unix_listeners[i].name)
			: snprintf(name, sizeof(name), "%s/%s",
				  unix_listeners[i].in_tmp ? canary->tmp : canary->directory,
				  unix_listeners[i].name);
		if (fd < 0 || n < 0 || (size_t)n + 1 >= sizeof(address.sun_path)) {
			continue;
		}
		memcpy(address.sun_path + unix_listeners[i].abstract, name,
			(size_t)n + 1 - unix_listeners[i].abstract);
		length = offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1;
		if (bind(fd, (struct sockaddr *)&address, (socklen_t)length) < 0 ||
			(unix_listeners[i].type == SOCK_STREAM && listen(fd, 16) < 0)) {
			continue;
		}
		if (!unix_listeners[i].abstract) {
			(void)chmod(name, 0666);
		}
		canary_set(canary, unix_listeners[i].setting, "%s", name);
		canary->listeners[unix_listeners[i].listener] = (struct canary_listener){
			take_fd(&fd), unix_listeners[i].type == SOCK_STREAM};
	}
}

/* A free port, for the client to listen on: found by binding it for a moment. */
static void choose_listen_port(struct canary *canary)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
		getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
		canary->listen_port = ntohs(address.sin_port);
		canary_set(canary, "listen", "%u", canary->listen_port);
	}
}

/* Before the first of them is made. */
static void note_traces(const struct canary *canary)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/" TRACES_FORMAT, canary->ground->tmp, canary->leave,
		canary->fresh, canary->ipc_key);
	(void)make_file(path, 0600, "");
}

static void make_sysv(struct canary *canary)
{
	char token[CANARY_TOKEN];
	uint32_t key = 0;
	void *at = NULL;

	io_random(&key, sizeof(key));
	canary->ipc_key = (key_t)(key & 0x3ffffffe) + 1;
	note_traces(canary);
	canary->shm = shmget(canary->ipc_key, 4096, IPC_CREAT | IPC_EXCL | 0666);
	canary->msg = msgget(canary->ipc_key, IPC_CREAT | IPC_EXCL | 0666);
	canary->sem = semget(canary->ipc_key, 1, IPC_CREAT | IPC_EXCL | 0666);
	if (canary->shm >= 0) {
		at = shmat(canary->shm, NULL, 0);
		if (at != (void *)-1) { // NOLINT
			memcpy(at, canary_token(canary, "I.shm", token), CANARY_TOKEN);
			(void)shmdt(at);
		}
	}
	canary_set(canary, "shm", "%d", canary->ipc_key);
	canary_set(canary, "msg", "%d", canary->ipc_key);
	canary_set(canary, "sem", "%d", canary->ipc_key);
}

static void make_posix(struct canary *canary)
{
	struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 128};
	char token[CANARY_TOKEN];
	char path[64];
	mode_t mask = umask(0);

	(void)snprintf(path, sizeof(path), "/%s", canary->leave);
	canary->mq = mq_open(
		path, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0666, &attributes);
	(void)umask(mask);
	if (canary->mq >= 0) {
		canary_set(canary, "mq", "%s", canary->leave);
	}
	(void)snprintf(path, sizeof(path), "/dev/shm/%s", canary->leave);
	if (make_file(path, 0644, canary_token(canary, "I.shm-file", token)) == 0) {
		canary_set(canary, "pshm", "%s", canary->leave);
	}
}

static void watch(struct canary *canary)
{
	char path[128];
	const char *const read_places[] = {path, canary->tmp, canary->deny, canary->read};

	(void)snprintf(path, sizeof(path), "%s/secret", canary->directory);
	canary->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(read_places); i++) {
		canary->watches[i] =
			inotify_add_watch(canary->inotify, read_places[i], IN_OPEN | IN_ACCESS);
	}
	canary->watches[4] = inotify_add_watch(canary->inotify, "/tmp", IN_CREATE);
	canary->watches[5] = inotify_add_watch(canary->inotify, canary->ground->home, IN_CREATE);
}

static void set_descriptor(struct canary *canary, const char *name, int fd)
{
	struct stat info;

	if (fd >= 0 && fstat(fd, &info) == 0) {
		canary_set(canary, name, "%u:%u:%llu", major(info.st_dev), minor(info.st_dev),
			(unsigned long long)info.st_ino);
	}
}

static void set_names(struct canary *canary)
{
	const struct ground *ground = canary->ground;
	char token[CANARY_TOKEN];

	canary_set(canary, "leave", "%s", canary->leave);
	canary_set(canary, "fresh", "%s", canary->fresh);
	canary_set(canary, "env", "%s", ground->env_name);
	if (ground->mount_word[0]) {
		canary_set(canary, "mount.word", "%s", ground->mount_word);
	}
	canary_set(canary, "fresh.token", "%s", ground_token(ground, 0, canary->fresh, token));
	if (ground->key) {
		canary_set(canary, "key", "%s", ground->key_name);
		canary_set(canary, "key.number", "%d", ground->key);
	}
	if (ground->terminal_slave >= 0) {
		canary_set(canary, "tty", "%u", ground->terminal_number);
		canary_set(canary, "pts", "%s", ground->terminal_path);
	}
	set_descriptor(canary, "fd.dir", ground->dir_fd);
	set_descriptor(canary, "fd.file", ground->file_fd);
}

static void empty(struct canary *canary)
{
	memset(canary, 0, sizeof(*canary));
	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		canary->listeners[i].fd = -1;
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		canary->connections[i].fd = -1;
	}
	canary->fifo = canary->lock = canary->inotify = canary->dial = -1;
	canary->shm = canary->msg = canary->sem = canary->mq = -1;
}

int canary_init(struct canary *canary, struct ground *ground, const char *fresh, struct err *err)
{
	uint8_t random[8];
	char hex[17];
	int r = 0;

	empty(canary);
	canary->ground = ground;
	ground->runs++;
	io_random(random, sizeof(random));
	(void)snprintf(canary->fence, sizeof(canary->fence), "%s", io_hex(random, 8, hex));
	io_random(random, sizeof(random));
	(void)snprintf(canary->name, sizeof(canary->name), "ck%.12s", io_hex(random, 8, hex));
	io_random(random, sizeof(random));
	(void)snprintf(canary->leave, sizeof(canary->leave), "ck%.16s", io_hex(random, 8, hex));
	(void)snprintf(canary->fresh, sizeof(canary->fresh), "%s", fresh);
	r = make_directories(canary, err);
	if (r < 0) {
		return r;
	}
	canary->page = mmap(NULL, sizeof(*canary->page), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (canary->page == MAP_FAILED) {
		canary->page = NULL;
		return err_set(err, errno, "mapping the victim's page");
	}
	(void)canary_token(canary, "victim", canary->page->token);
	make_odd_files(canary);
	listen_net(canary);
	listen_unix(canary);
	choose_listen_port(canary);
	make_sysv(canary);
	make_posix(canary);
	set_names(canary);
	watch(canary);
	return canary->settings.failed ? err_set(err, ENOMEM, "writing the job") : 0;
}

/* ---- victim and companion ---- */

static void victim_count(int signo)
{
	for (size_t i = 0; i < CANARY_SIGNALS; i++) {
		if (victim_signals[i] == signo) {
			victim_page->signals[i]++;
		}
	}
}

static void companion_count(int signo)
{
	(void)signo;
	victim_page->group_signals++;
}

/* Signals come in the order of their numbers, each handled to its end: after this one all were. */
#define BARRIER_SIGNAL 63
#define BARRIER_TIMEOUT_USEC 500000

static void count_barrier(int signo)
{
	(void)signo;
	__atomic_add_fetch(&victim_page->barriers, 1, __ATOMIC_SEQ_CST);
}

/* The one that only keeps the group alive. */
static void ignore_signal(int signo)
{
	(void)signo;
}

static void count_signals(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigset_t none;

	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < CANARY_SIGNALS; i++) {
		(void)sigaction(victim_signals[i], &action, NULL);
	}
	action.sa_handler = count_barrier;
	(void)sigaction(BARRIER_SIGNAL, &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void wait_for_ever(void)
{
	for (;;) {
		(void)pause();
	}
}

/* What a process of ours needs to be: which user, in which group, counting what. */
struct role {
	uid_t uid;
	gid_t gid;
	pid_t group; /* 0: one of its own */
	int token_fd; /* becomes descriptor 3, or -1 */
	void (*count)(int signo);
};

/* Holds nothing but its token, and may be looked at. Never returns. */
static void play(const struct canary *canary, const struct role *role, int ready)
{
	char token[CANARY_TOKEN];
	struct rlimit limit = {canary->victim_limit, canary->victim_limit};

	victim_page = canary->page;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, canary_token(canary, "P.see", token));
	(void)setpgid(0, role->group);
	ready = fcntl(ready, F_DUPFD_CLOEXEC, 4);
	if (role->token_fd >= 0) {
		(void)dup2(role->token_fd, 3);
	}
	for (int fd = 0; fd < 1024; fd++) {
		if (fd != 3 && fd != ready) {
			(void)close(fd);
		}
	}
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (geteuid() == 0 &&
		(setgroups(0, NULL) < 0 || setresgid(role->gid, role->gid, role->gid) < 0 ||
			setresuid(role->uid, role->uid, role->uid) < 0)) {
		_exit(1);
	}
	(void)prctl(PR_SET_DUMPABLE, 1);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it away */
	count_signals(role->count);
	(void)!write(ready, "r", 1);
	(void)close(ready);
	wait_for_ever();
}

/* Returns the pid once it is ready, or a negative errno. */
static pid_t cast(const struct canary *canary, const struct role *role)
{
	int ready[2];
	char byte = 0;
	pid_t pid = 0;
	int code = 0;

	if (pipe2(ready, O_CLOEXEC) < 0) {
		return -errno;
	}
	pid = fork();
	code = errno;
	if (pid == 0) {
		play(canary, role, ready[1]);
	}
	(void)close(ready[1]);
	if (pid > 0) {
		(void)!read(ready[0], &byte, 1);
	}
	(void)close(ready[0]);
	return pid < 0 ? -code : pid;
}

int canary_meet(struct canary *canary, uid_t uid, gid_t gid, struct err *err)
{
	static const char *const mine[] = {"mine/F.chmod", "mine/F.times"};
	struct role victim = {uid, gid, 0, -1, victim_count};
	struct role companion = {uid, gid, canary->anchor, -1, companion_count};
	char token[CANARY_TOKEN];
	char path[160];
	uint16_t random = 0;
	cleanup_close int token_fd = memfd_create("token", MFD_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", canary->read, mine[i]);
		(void)!lchown(path, uid, gid);
	}
	io_random(&random, sizeof(random));
	canary->victim_limit = 200 + random % 700;
	(void)canary_token(canary, "P.getfd", token);
	if (token_fd < 0 || io_write_all(token_fd, token, strlen(token)) < 0) {
		return err_set(err, errno, "making the victim");
	}
	victim.token_fd = token_fd;
	canary->victim = cast(canary, &victim);
	canary->companion = cast(canary, &companion);
	if (canary->victim < 0 || canary->companion < 0) {
		return err_set(err, EAGAIN, "making the victim");
	}
	canary_set(canary, "victim", "%d", canary->victim);
	canary_set(canary, "victim.address", "%llu",
		(unsigned long long)(uintptr_t)canary->page->token);
	canary_set(canary, "victim.fd", "3");
	return 0;
}

int canary_company(struct canary *canary, struct err *err)
{
	const struct role anchor = {NOBODY_UID, NOBODY_UID, 0, -1, ignore_signal};

	canary->victim_limit = 64;
	canary->anchor = cast(canary, &anchor);
	return canary->anchor < 0 ? err_set(err, -canary->anchor, "making a process group") : 0;
}

void canary_settle(struct canary *canary)
{
	uint64_t until = io_now_usec() + BARRIER_TIMEOUT_USEC;
	unsigned expected = canary->page->barriers;

	if (canary->victim > 0 && kill(canary->victim, BARRIER_SIGNAL) == 0) {
		expected++;
	}
	if (canary->companion > 0 && kill(canary->companion, BARRIER_SIGNAL) == 0) {
		expected++;
	}
	while (canary->page->barriers < expected && io_now_usec() < until) {
		(void)usleep(200);
	}
}

unsigned canary_signals(const struct canary *canary, unsigned which)
{
	return canary->page->signals[which];
}

unsigned canary_group_signals(const struct canary *canary)
{
	return canary->page->group_signals;
}

static void end_process(pid_t *pid)
{
	if (*pid > 0) {
		(void)kill(*pid, SIGKILL);
		(void)waitpid(*pid, NULL, 0);
		*pid = 0;
	}
}

void canary_fini(struct canary *canary)
{
	struct traces traces = {.fresh = "none"};

	if (!canary->ground) {
		return;
	}
	end_process(&canary->victim);
	end_process(&canary->companion);
	end_process(&canary->anchor);
	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		close_fdp(&canary->listeners[i].fd);
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		close_fdp(&canary->connections[i].fd);
	}
	close_fdp(&canary->fifo);
	close_fdp(&canary->lock);
	close_fdp(&canary->inotify);
	close_fdp(&canary->dial);
	if (canary->mq >= 0) {
		(void)mq_close(canary->mq);
	}
	/* Not the fresh ones: the next session is to look for them. */
	traces.key = canary->ipc_key;
	(void)snprintf(traces.leave, sizeof(traces.leave), "%s", canary->leave);
	remove_traces(&traces);
	if (canary->page) {
		(void)munmap(canary->page, sizeof(*canary->page));
	}
	buf_fini(&canary->settings);
	empty(canary);
}

/* ---- serving ---- */

size_t canary_poll(const struct canary *canary, struct pollfd *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		ret[count++] = (struct pollfd){.fd = canary->listeners[i].fd, .events = POLLIN};
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		ret[count++] = (struct pollfd){.fd = canary->connections[i].fd, .events = POLLIN};
	}
	return count;
}

/* "<fence> <id>": who was there. Anything else is somebody else's. */
static bool note_message(struct canary *canary, const char *text, size_t size)
{
	char id[PROTOCOL_MAX_ID + 1];
	size_t fence = strlen(canary->fence);
	const struct probe *probe = NULL;

	if (size <= fence + 1 || memcmp(text, canary->fence, fence) != 0 || text[fence] != ' ' ||
		size - fence - 1 >= sizeof(id)) {
		return false;
	}
	memcpy(id, text + fence + 1, size - fence - 1);
	id[size - fence - 1] = '\0';
	probe = probe_find(id);
	if (!probe) {
		return false;
	}
	canary->reached[probe_index(probe)] = true;
	return true;
}

static void answer(struct canary *canary, int fd, const char *text, size_t size,
	const struct sockaddr *to, socklen_t to_size)
{
	char token[CANARY_TOKEN];
	char id[PROTOCOL_MAX_ID + 1];
	size_t fence = strlen(canary->fence) + 1;

	if (!note_message(canary, text, size)) {
		return;
	}
	memcpy(id, text + fence, size - fence);
	id[size - fence] = '\0';
	(void)canary_token(canary, id, token);
	(void)sendto(fd, token, strlen(token), MSG_NOSIGNAL | MSG_DONTWAIT, to, to_size);
}

static void serve_datagrams(struct canary *canary, int fd)
{
	char text[96];
	struct sockaddr_storage from;

	for (int i = 0; i < 64; i++) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(
			fd, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &size);
		if (n < 0) {
			return;
		}
		answer(canary, fd, text, (size_t)n, (struct sockaddr *)&from, size);
	}
}

static void serve_listener(struct canary *canary, int fd)
{
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		struct canary_connection *connection = &canary->connections[i];
		if (connection->fd >= 0) {
			continue;
		}
		connection->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		connection->used = 0;
		if (connection->fd < 0) {
			return;
		}
	}
}

static void serve_connection(struct canary *canary, struct canary_connection *connection)
{
	ssize_t n = recv(connection->fd, connection->line + connection->used,
		sizeof(connection->line) - connection->used, MSG_DONTWAIT);
	char *end = NULL;

	if (n < 0 && errno == EAGAIN) {
		return;
	}
	connection->used += n > 0 ? (size_t)n : 0;
	end = memchr(connection->line, '\n', connection->used);
	if (end) {
		answer(canary, connection->fd, connection->line, (size_t)(end - connection->line),
			NULL, 0);
	}
	if (end || n <= 0 || connection->used == sizeof(connection->line)) {
		close_fdp(&connection->fd);
	}
}

static void note_event(struct canary *canary, const struct inotify_event *event)
{
	const struct probe *probe = NULL;

	if (event->mask & IN_CREATE) {
		bool ours = event->len && event->name[0] == '.' &&
			strcmp(event->name + 1, canary->leave) == 0;
		canary->created[0] |= ours && event->wd == canary->watches[4];
		canary->created[1] |= ours && event->wd == canary->watches[5];
		return;
	}
	if (event->mask & IN_ISDIR) {
		probe = event->wd == canary->watches[2] ? probe_find("F.deny-list") : NULL;
	} else if (event->len) {
		probe = probe_find(event->name);
	}
	if (probe && strchr("FDXRH", probe->id[0])) {
		canary->reached[probe_index(probe)] = true;
	}
}

static void serve_inotify(struct canary *canary)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t n = 0;

	while ((n = read(canary->inotify, events, sizeof(events))) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct inotify_event *event = (struct inotify_event *)(events + at);
			note_event(canary, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

static void serve_fifo(struct canary *canary)
{
	char text[128];
	ssize_t n = canary->fifo >= 0 ? read(canary->fifo, text, sizeof(text)) : -1;

	if (n > 0) {
		(void)note_message(canary, text, (size_t)n);
	}
}

/* Asked first: launchers share the terminal with us, and some make it block (Go's do). */
static void drain(int fd, char *data, size_t room, size_t *used)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	bool there = fd >= 0 && *used < room && poll(&ready, 1, 0) == 1;
	ssize_t n = there ? read(fd, data + *used, room - *used) : 0;

	*used += n > 0 ? (size_t)n : 0;
}

/* Pushed bytes come back from the slave's own queue, written ones from the master. */
static void serve_terminal(struct canary *canary)
{
	drain(canary->ground->terminal_slave, canary->pushed, sizeof(canary->pushed),
		&canary->pushed_size);
	drain(canary->ground->terminal_master, canary->written, sizeof(canary->written),
		&canary->written_size);
}

void canary_serve(struct canary *canary)
{
	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		if (canary->listeners[i].fd >= 0 && canary->listeners[i].stream) {
			serve_listener(canary, canary->listeners[i].fd);
		} else if (canary->listeners[i].fd >= 0) {
			serve_datagrams(canary, canary->listeners[i].fd);
		}
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		if (canary->connections[i].fd >= 0) {
			serve_connection(canary, &canary->connections[i]);
		}
	}
	if (canary->inotify >= 0) {
		serve_inotify(canary);
	}
	serve_fifo(canary);
	serve_terminal(canary);
}

/* ---- samples while a probe runs ---- */

static void sample_lock(struct canary *canary)
{
	if (canary->lock < 0) {
		return;
	}
	canary->lock_sampled = true;
	if (flock(canary->lock, LOCK_EX | LOCK_NB) == 0) {
		(void)flock(canary->lock, LOCK_UN);
	} else if (errno == EWOULDBLOCK) {
		canary->lock_taken = true;
	}
}

static void sample_tracer(struct canary *canary)
{
	cleanup_free char *status = NULL;
	char path[40];
	const char *line = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", canary->victim);
	if (canary->victim <= 0 || io_read_file(AT_FDCWD, path, 16384, &status, NULL) < 0) {
		return;
	}
	line = strstr(status, "\nTracerPid:\t");
	canary->trace_sampled = true;
	canary->traced |= line && line[12] != '0';
}

/* Dials the client's listener again and again while it waits. */
static void sample_listener(struct canary *canary)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(canary->listen_port)};
	char text[96];
	ssize_t n = 0;

	if (canary->dial < 0) {
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		canary->dial = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (canary->dial < 0 ||
			connect(canary->dial, (struct sockaddr *)&address, sizeof(address)) < 0) {
			close_fdp(&canary->dial);
			return;
		}
	}
	n = recv(canary->dial, text, sizeof(text), MSG_DONTWAIT);
	if (n > 0) {
		(void)note_message(canary, text, (size_t)n);
	}
	if (n >= 0) {
		close_fdp(&canary->dial);
	}
}

void canary_sample(struct canary *canary, const char *probe)
{
	static const struct {
		const char *probe;
		void (*sample)(struct canary *canary);
	} samples[] = {
		{"F.flock", sample_lock},
		{"P.seize", sample_tracer},
		{"N.listen", sample_listener},
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		if (strcmp(samples[i].probe, probe) == 0) {
			samples[i].sample(canary);
		}
	}
}
