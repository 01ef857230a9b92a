/*
 * The ground that all runs of a measurement share: directories, a terminal, a key, descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/canary-parts.h"
#include "testkit/eye.h"

static long key_call(int operation, long a, long b, long c, long d)
{
	return syscall(SYS_keyctl, operation, a, b, c, d);
}

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

/* Until it is locked another one's sweep may take it away: then the next name is tried. */
static int try_directory(char *path, const char *parent, int *ret_lock)
{
	uint8_t random[6];
	char hex[13];
	struct stat info;

	io_random(random, sizeof(random));
	(void)snprintf(
		path, 64, "%s/" CANARY_PREFIX "%s", parent, io_hex(random, sizeof(random), hex));
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

	canary_sweep(parent);
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

static int write_program(const char *path, const void *program, size_t size, struct err *err)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

	if (fd < 0 || io_write_all(fd, program, size) < 0 || fchmod(fd, 0755) < 0) {
		return err_set(err, errno, "copying a program to %s", path);
	}
	return 0;
}

/* Client and eye in a place that sandboxes can see, whatever they make of the originals'. */
static int copy_programs(struct ground *ground, const char *client, struct err *err)
{
	cleanup_free char *program = NULL;
	size_t size = 0;
	int r = io_read_file(AT_FDCWD, client, 8 << 20, &program, &size);

	if (r < 0) {
		return err_set(err, -r, "reading the client %s", client);
	}
	(void)snprintf(ground->client, sizeof(ground->client), "%s/read/client", ground->root);
	(void)snprintf(ground->eye, sizeof(ground->eye), "%s/read/eye", ground->root);
	r = write_program(ground->client, program, size, err);
	return r < 0 ? r : write_program(ground->eye, eye_program, eye_size, err);
}

int ground_init(struct ground *ground, const char *parent, const char *client, struct err *err)
{
	/* Runs make theirs in the scope, and give them their modes by name: nobody else may take those away. */
	static const struct {
		const char *name;
		mode_t mode;
		bool shared;
	} sub[] = {{"deny", 0755, false}, {"scope", 01777, true}, {"read", 0755, false},
		{"home", 0777, true}};
	char token[CANARY_TOKEN];
	char path[96];
	int r = 0;

	memset(ground, 0, sizeof(*ground));
	ground->terminal_master = ground->terminal_slave = -1;
	ground->dir_fd = ground->file_fd = ground->inotify = -1;
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
		if (sub[i].shared && geteuid() == 0 &&
			chown(path, CANARY_NOBODY, CANARY_NOBODY) < 0) {
			return err_set(err, errno, "giving %s away", path);
		}
	}
	(void)snprintf(ground->home, sizeof(ground->home), "%s/home", ground->root);
	r = copy_programs(ground, client, err);
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
	close_fdp(&ground->inotify);
	close_fdp(&ground->terminal_slave);
	close_fdp(&ground->terminal_master);
	if (ground->key) {
		(void)key_call(KEYCTL_REVOKE, ground->key, 0, 0, 0);
	}
	canary_remove_tree(ground->root);
	canary_remove_tree(ground->tmp);
	close_fdp(&ground->locks[0]);
	close_fdp(&ground->locks[1]);
	(void)unsetenv(ground->env_name);
	ground->names = strv_free(ground->names);
	ground->made = false;
}
