#include "sshd/control.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

#define BACKLOG 16
#define HELPER_SECONDS 10
#define NOBODY 65534
#define MAX_GROUPS 1024

void control_init(struct control *control)
{
	*control = (struct control){.fd = -1, .group = (gid_t)-1};
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		control->helpers[i].ask = -1;
	}
}

/* ---- the socket ---- */

/* The last part of the directory is made if it is not there; nobody else may write to it. */
static int check_directory(const char *path, struct err *err)
{
	char copy[CONFIG_CONTROL_PATH];
	struct stat status;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	const char *directory = dirname(copy);
	if (mkdir(directory, 0755) < 0 && errno != EEXIST) {
		return err_set(err, errno, "control: %s", directory);
	}
	if (lstat(directory, &status) < 0) {
		return err_set(err, errno, "control: %s", directory);
	}
	if (!S_ISDIR(status.st_mode) || (status.st_uid != 0 && status.st_uid != geteuid()) ||
		(status.st_mode & 022)) {
		return err_refuse(err, EPERM,
			"control: %s is not a directory that only root and this server can write "
			"to",
			directory);
	}
	return 0;
}

/* A socket that nobody listens on is what a crash has left. */
static int remove_dead(const struct sockaddr_un *address, struct err *err)
{
	struct stat status;

	if (lstat(address->sun_path, &status) < 0) {
		return errno == ENOENT ? 0 : err_set(err, errno, "control: %s", address->sun_path);
	}
	if (!S_ISSOCK(status.st_mode)) {
		return err_refuse(
			err, EEXIST, "control: %s is there, and no socket", address->sun_path);
	}
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return err_set(err, errno, "control");
	}
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		errno != ECONNREFUSED) {
		return err_refuse(err, EADDRINUSE, "control: another server listens on %s",
			address->sun_path);
	}
	return unlink(address->sun_path) < 0 ? err_set(err, errno, "control: %s", address->sun_path)
					     : 0;
}

static int find_group(const char *name, gid_t *ret, struct err *err)
{
	const struct group *group = name ? getgrnam(name) : NULL;

	if (name && !group) {
		return err_refuse(err, ENOENT, "control_group: there is no group \"%s\"", name);
	}
	*ret = group ? group->gr_gid : (gid_t)-1;
	return 0;
}

static int listen_on(const struct sockaddr_un *address, gid_t group, struct err *err)
{
	bool shared = group != (gid_t)-1;
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		return err_set(err, errno, "control");
	}
	/* From its first moment nobody else can connect. */
	mode_t before = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int code = errno;
	(void)umask(before);
	if (r < 0) {
		return err_set(err, code, "control: %s", address->sun_path);
	}
	if ((shared &&
		    (chown(address->sun_path, (uid_t)-1, group) < 0 ||
			    chmod(address->sun_path, 0660) < 0)) ||
		listen(fd, BACKLOG) < 0) {
		code = errno;
		(void)unlink(address->sun_path);
		return err_set(err, code, "control: %s", address->sun_path);
	}
	return take_fd(&fd);
}

int control_open(const struct config *config, struct control *ret, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;

	control_init(ret);
	if (!config_control_path(config->control, ret->path)) {
		return 0;
	}
	_Static_assert(sizeof(address.sun_path) >= CONFIG_CONTROL_PATH, "paths fit");
	memcpy(address.sun_path, ret->path, CONFIG_CONTROL_PATH);
	int r = find_group(config->control_group, &ret->group, err);
	r = r ? r : check_directory(ret->path, err);
	r = r ? r : remove_dead(&address, err);
	if (r < 0) {
		return r;
	}
	r = listen_on(&address, ret->group, err);
	if (r < 0) {
		return r;
	}
	ret->fd = r;
	if (lstat(ret->path, &status) == 0) {
		ret->device = status.st_dev;
		ret->inode = status.st_ino;
	}
	return 0;
}

void control_close(struct control *control)
{
	struct stat status;

	if (control->fd < 0) {
		return;
	}
	io_close_hostile(&control->fd, 1);
	if (lstat(control->path, &status) == 0 && status.st_dev == control->device &&
		status.st_ino == control->inode) {
		(void)unlink(control->path);
	}
}

void control_stop(struct control *control)
{
	control_close(control);
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		struct control_helper_slot *slot = &control->helpers[i];
		if (slot->pid > 0) {
			(void)kill(slot->pid, SIGKILL);
			(void)waitpid(slot->pid, NULL, 0);
		}
		close_fdp(&slot->ask);
		slot->pid = 0;
	}
}

void control_close_fds(const struct control *control)
{
	if (control->fd >= 0) {
		(void)close(control->fd);
	}
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		if (control->helpers[i].ask >= 0) {
			(void)close(control->helpers[i].ask);
		}
	}
}

/* ---- who ---- */

/* As the kernel saw it when they connected. */
static bool is_in_group(int client, const struct ucred *who, gid_t group)
{
	gid_t groups[MAX_GROUPS];
	socklen_t size = sizeof(groups);

	if (group == (gid_t)-1) {
		return false;
	}
	if (who->gid == group) {
		return true;
	}
	if (getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
		return false;
	}
	for (size_t i = 0; i < size / sizeof(gid_t); i++) {
		if (groups[i] == group) {
			return true;
		}
	}
	return false;
}

static bool may_look(int client, gid_t group, uid_t *ret_uid, bool *ret_may_change)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);

	if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
		return false;
	}
	*ret_uid = who.uid;
	*ret_may_change = who.uid == 0 || who.uid == geteuid();
	return *ret_may_change || is_in_group(client, &who, group);
}

static void turn_away(int client, const char *text)
{
	(void)send(client, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- helpers ---- */

static struct control_helper_slot *find_slot(struct control *control, bool may_change)
{
	struct control_helper_slot *free_slot = NULL;
	size_t count = 0;

	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		if (control->helpers[i].pid == 0) {
			free_slot = &control->helpers[i];
			count++;
		}
	}
	return may_change || count > CONTROL_RESERVED ? free_slot : NULL;
}

bool control_has_room(const struct control *control)
{
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		if (control->helpers[i].pid == 0) {
			return true;
		}
	}
	return false;
}

/*
 * It reads what a client says, and so has no rights that the reading does not need. It ends by
 * itself, whatever the client does.
 */
static void run_helper(const struct control_helper *helper)
{
	const struct rlimit none = {0, 0};

	(void)prctl(PR_SET_NAME, "cloche-control");
	(void)signal(SIGALRM, SIG_DFL);
	sigset_t set;
	sigemptyset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	(void)alarm(HELPER_SECONDS);
	if (geteuid() == 0 &&
		(setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			setresuid(NOBODY, NOBODY, NOBODY) < 0)) {
		_exit(1);
	}
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)setrlimit(RLIMIT_NPROC, &none);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	_exit(control_answer(helper));
}

static int make_helper(struct control_helper_slot *slot, struct control_helper *helper,
	void (*prepare)(void *data), void *data)
{
	cleanup_close int ours = -1;
	cleanup_close int theirs = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return -errno;
	}
	ours = pair[0];
	theirs = pair[1];
	int r = io_set_nonblocking(ours, true);
	if (r < 0) {
		return r;
	}
	pid_t pid = fork();
	if (pid < 0) {
		return -errno;
	}
	if (pid == 0) {
		prepare(data);
		(void)close(ours);
		helper->listener = theirs;
		run_helper(helper);
	}
	slot->pid = pid;
	slot->ask = take_fd(&ours);
	return 0;
}

static void close_client(int *client)
{
	io_close_hostile(client, 1);
}

void control_accept(struct control *control, struct control_helper helper,
	void (*prepare)(void *data), void *data)
{
	cleanup(close_client) int client = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
	struct control_helper_slot *slot = NULL;
	uid_t uid = 0;

	if (client < 0) {
		return;
	}
	if (!may_look(client, control->group, &uid, &helper.may_change)) {
		turn_away(client, "{\"ok\":false,\"error\":\"you may not ask this server\"}\n");
		return;
	}
	slot = find_slot(control, helper.may_change);
	helper.client = client;
	if (!slot || make_helper(slot, &helper, prepare, data) < 0) {
		turn_away(client, "{\"ok\":false,\"error\":\"the server is busy; try again\"}\n");
		return;
	}
	slot->uid = uid;
	slot->may_change = helper.may_change;
}

static bool is_text(const char *field, size_t size)
{
	return memchr(field, '\0', size) != NULL;
}

/* What comes from a helper is looked at as if the client had written it. */
int control_receive(struct control *control, size_t i, struct control_request *ret)
{
	struct control_helper_slot *slot = &control->helpers[i];
	struct control_request request = {0};
	size_t fds = 0;
	ssize_t n = io_receive(slot->ask, &request, sizeof(request), NULL, 0, &fds, MSG_DONTWAIT);

	if (n == -EAGAIN) {
		return 0;
	}
	if (n != (ssize_t)sizeof(request) || (unsigned)request.verb >= CONTROL_VERBS ||
		!is_text(request.id, sizeof(request.id)) ||
		!is_text(request.reason, sizeof(request.reason)) ||
		!is_text(request.who, sizeof(request.who)) ||
		(!slot->may_change && control_verb_changes(request.verb))) {
		close_fdp(&slot->ask);
		return -EPIPE;
	}
	*ret = request;
	return 1;
}

void control_reply(
	const struct control *control, size_t i, const struct control_answer *answer, int socket)
{
	(void)io_send(
		control->helpers[i].ask, answer, sizeof(*answer), &socket, socket >= 0 ? 1 : 0);
}

bool control_reap(struct control *control, pid_t pid)
{
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		if (control->helpers[i].pid == pid) {
			close_fdp(&control->helpers[i].ask);
			control->helpers[i] = (struct control_helper_slot){.ask = -1};
			return true;
		}
	}
	return false;
}
