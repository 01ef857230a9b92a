#include "sshd/user.h"

#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <unistd.h>

#include "base/parse.h"

int user_find(const char *key, const char *user, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
	uint64_t number = 0;

	if (geteuid() != 0) {
		*ret_uid = (uid_t)-1;
		*ret_gid = (gid_t)-1;
		return 0;
	}
	const struct passwd *entry = user ? getpwnam(user) : NULL;
	if (entry) {
		*ret_uid = entry->pw_uid;
		*ret_gid = entry->pw_gid;
	} else if (user && parse_range(user, 1, UINT32_MAX - 1, &number) == 0) {
		*ret_uid = (uid_t)number;
		*ret_gid = (gid_t)number;
	} else {
		return err_refuse(err, ENOENT, "%s: there is no user \"%s\" on this host", key,
			user ? user : "");
	}
	if (*ret_uid == 0 || *ret_gid == 0) {
		return err_refuse(err, EINVAL, "%s: this process cannot be root", key);
	}
	return 0;
}
