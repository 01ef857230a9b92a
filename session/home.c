#include "session/home.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strv.h"

/* The file and not the service behind getpwuid(), which a static program cannot load. */
static char *find_home(uid_t uid)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry = NULL;
	char *home = NULL;

	while (file && !home && (entry = fgetpwent(file))) {
		if (entry->pw_uid == uid && entry->pw_dir[0] == '/') {
			home = strdup(entry->pw_dir);
		}
	}
	if (file) {
		(void)fclose(file);
	}
	return home;
}

int home_expand(const char *text, char ***ret)
{
	cleanup(strv_freep) char **list = NULL;
	cleanup_free char *own = NULL;
	const char *said = getenv("HOME");

	if (strncmp(text, "~/", 2) != 0) {
		return strv_append(ret, text);
	}
	own = find_home(geteuid());
	if (own && strv_appendf(&list, "%s%s", own, text + 1) < 0) {
		return -ENOMEM;
	}
	if (said && said[0] == '/' && (!own || strcmp(said, own) != 0) &&
		strv_appendf(&list, "%s%s", said, text + 1) < 0) {
		return -ENOMEM;
	}
	*ret = take_ptr(&list);
	return *ret ? 0 : -ENOENT;
}
