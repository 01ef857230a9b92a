#include "session/sftp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/strv.h"

/*
 * The requests of OpenSSH 9.2's sftp-server. A name in a list that the server does not know would be
 * passed over by it in silence, and a denied request with it; so names are checked here.
 */
static const char *const requests[] = {"open", "close", "read", "write", "lstat", "fstat",
	"setstat", "fsetstat", "opendir", "readdir", "remove", "mkdir", "rmdir", "realpath", "stat",
	"rename", "readlink", "symlink", "posix-rename", "statvfs", "fstatvfs", "hardlink", "fsync",
	"lsetstat", "limits", "expand-path", "copy-data", "home-directory", "users-groups-by-id",
	NULL};

/* Where distributions put it. The first is also what an image is expected to have. */
static const char *const places[] = {"/usr/lib/openssh/sftp-server",
	"/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server",
	NULL};

bool sftp_is_request(const char *name)
{
	return strv_contains((char **)(uintptr_t)requests, name);
}

/* What the host has is what a view of the host has; another root is taken to be like Debian. */
static const char *find_server(const struct config_profile *profile)
{
	if (profile->sftp_server) {
		return profile->sftp_server;
	}
	for (size_t i = 0; profile->spec.root == ROOT_HOST && places[i]; i++) {
		if (access(places[i], X_OK) == 0) {
			return places[i];
		}
	}
	return profile->spec.root == ROOT_HOST ? NULL : places[0];
}

static int add_list(char ***argv, const char *flag, char *const *list)
{
	cleanup_free char *joined = NULL;

	if (strv_length((char **)(uintptr_t)list) == 0) {
		return 0;
	}
	joined = strv_join((char **)(uintptr_t)list, ",");
	int r = joined ? strv_append(argv, flag) : -ENOMEM;
	return r ? r : strv_append(argv, joined);
}

int sftp_command(const struct config_profile *profile, char ***ret, struct err *err)
{
	const char *server = find_server(profile);

	if (profile->sftp && strcmp(profile->sftp, "no") == 0) {
		return err_refuse(err, ENOTSUP, "profile %s does not offer sftp", profile->name);
	}
	if (!server) {
		return err_refuse(err, ENOTSUP,
			"there is no sftp-server on this host; its administrator can install "
			"openssh-sftp-server");
	}
	int r = strv_append(ret, server);
	/* Messages to the session's stderr, where people see them, as there is no syslog inside. */
	r = r ? r : strv_append(ret, "-e");
	if (r == 0 && profile->sftp && strcmp(profile->sftp, "read-only") == 0) {
		r = strv_append(ret, "-R");
	}
	r = r ? r : add_list(ret, "-p", profile->sftp_allow);
	r = r ? r : add_list(ret, "-P", profile->sftp_deny);
	return r < 0 ? err_set(err, ENOMEM, "the sftp command") : 0;
}
