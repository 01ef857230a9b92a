/*
 * What the launcher does to files: access control entries of one SID put in and taken out, trees
 * copied and removed. Nothing here follows or changes a reparse point.
 */
#pragma once

#include <stdbool.h>
#include <windows.h>
/* after windows.h, which it needs */
#include <aclapi.h>

/* What failed, for the one line the launcher says. */
struct failure {
	const char *what;
	wchar_t path[MAX_PATH];
	DWORD error;
};

/* Notes a failure, with GetLastError() for error 0. Returns false. */
bool fail(struct failure *failure, const char *what, const wchar_t *path, DWORD error);

/* One change to the lists of a path, and of all below it where tree is set. */
struct acl_change {
	PSID sid;
	ACCESS_MODE mode; /* GRANT_ACCESS, DENY_ACCESS, REVOKE_ACCESS */
	DWORD mask;
	bool tree;
};

/* False with *failure when something could not be changed; what was changed before stays so. */
bool acl_apply(const wchar_t *path, const struct acl_change *change, struct failure *failure);

/* Copies what is below from into the directory to, which it makes. */
bool tree_copy(const wchar_t *from, const wchar_t *to, struct failure *failure);

/* Removes a directory with all in it, as far as it goes. True when it is gone. */
bool tree_remove(const wchar_t *path);
