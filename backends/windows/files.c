#include "files.h"

#include <stdlib.h>
#include <wchar.h>

#define MAX_DEPTH 64
#define MAX_OBJECTS 200000
#define PATH_ROOM 4096

bool fail(struct failure *failure, const char *what, const wchar_t *path, DWORD error)
{
	failure->error = error ? error : GetLastError();
	failure->what = what;
	failure->path[0] = L'\0';
	if (path) {
		(void)wcsncpy(failure->path, path, MAX_PATH - 1);
		failure->path[MAX_PATH - 1] = L'\0';
	}
	return false;
}

/* Visits what is in a directory; reparse points are passed by. */
struct walk {
	bool (*visit)(struct walk *walk, const wchar_t *path, bool directory, unsigned depth);
	const struct acl_change *change;
	const wchar_t *from, *to; /* copying */
	struct failure *failure;
	unsigned long objects;
};

static bool walk_into(struct walk *walk, const wchar_t *path, unsigned depth)
{
	wchar_t *child = calloc(PATH_ROOM, sizeof(wchar_t));
	WIN32_FIND_DATAW found;
	bool good = child && _snwprintf(child, PATH_ROOM - 1, L"%ls\\*", path) > 0;
	HANDLE search = good ? FindFirstFileW(child, &found) : INVALID_HANDLE_VALUE;

	good = search != INVALID_HANDLE_VALUE || fail(walk->failure, "listing", path, 0);
	if (good && (depth > MAX_DEPTH || walk->objects > MAX_OBJECTS)) {
		good = fail(
			walk->failure, "too deep or too many files", path, ERROR_BUFFER_OVERFLOW);
	}
	for (BOOL more = good; more && good; more = FindNextFileW(search, &found)) {
		bool directory = found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY;
		if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0) {
			continue;
		}
		walk->objects++;
		if (_snwprintf(child, PATH_ROOM - 1, L"%ls\\%ls", path, found.cFileName) < 0) {
			good = fail(walk->failure, "path too long", path, ERROR_BUFFER_OVERFLOW);
		} else if (!(found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT)) {
			good = walk->visit(walk, child, directory, depth + 1);
		}
	}
	if (search != INVALID_HANDLE_VALUE) {
		(void)FindClose(search);
	}
	free(child);
	return good;
}

/* Carries over whether the list takes entries from above, which a plain one would not say. */
static bool keep_control(PSECURITY_DESCRIPTOR from, SECURITY_DESCRIPTOR *to)
{
	const SECURITY_DESCRIPTOR_CONTROL inherited = SE_DACL_AUTO_INHERITED;
	SECURITY_DESCRIPTOR_CONTROL control = 0;
	SECURITY_DESCRIPTOR_CONTROL set = 0;
	DWORD revision = 0;

	if (!GetSecurityDescriptorControl(from, &control, &revision)) {
		return false;
	}
	set = control & (SE_DACL_PROTECTED | inherited);
	set |= control & inherited ? SE_DACL_AUTO_INHERIT_REQ : 0;
	return SetSecurityDescriptorControl(
		to, SE_DACL_PROTECTED | inherited | SE_DACL_AUTO_INHERIT_REQ, set);
}

static bool change_list(HANDLE file, const wchar_t *path, const struct acl_change *change,
	bool directory, struct failure *failure)
{
	EXPLICIT_ACCESSW entry = {
		.grfAccessPermissions = change->mask,
		.grfAccessMode = change->mode,
		.grfInheritance = directory && change->tree ? SUB_CONTAINERS_AND_OBJECTS_INHERIT
							    : NO_INHERITANCE,
		.Trustee = {.TrusteeForm = TRUSTEE_IS_SID,
			.TrusteeType = TRUSTEE_IS_UNKNOWN,
			.ptstrName = change->sid},
	};
	PSECURITY_DESCRIPTOR descriptor = NULL;
	SECURITY_DESCRIPTOR changed;
	PACL old = NULL;
	PACL list = NULL;
	DWORD error = GetSecurityInfo(file, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL,
		&old, NULL, &descriptor);
	bool good = !error || fail(failure, "reading the access list of", path, error);

	/* No list at all means everybody: one made of our entry would shut out the owner. */
	if (good && !old) {
		good = change->mode == REVOKE_ACCESS ||
			fail(failure, "there is no access list on", path, ERROR_NOT_SUPPORTED);
		LocalFree(descriptor);
		return good;
	}
	if (good) {
		error = SetEntriesInAclW(1, &entry, old, &list);
		good = !error || fail(failure, "building the access list of", path, error);
	}
	if (good &&
		(!InitializeSecurityDescriptor(&changed, SECURITY_DESCRIPTOR_REVISION) ||
			!SetSecurityDescriptorDacl(&changed, TRUE, list, FALSE) ||
			!keep_control(descriptor, &changed) ||
			!SetKernelObjectSecurity(file, DACL_SECURITY_INFORMATION, &changed))) {
		good = fail(failure, "writing the access list of", path, 0);
	}
	LocalFree(list);
	LocalFree(descriptor);
	return good;
}

/* The object is held open while it is looked at and changed, and is the one named, not its target. */
static bool change_object(const wchar_t *path, const struct acl_change *change, bool *ret_directory,
	struct failure *failure)
{
	BY_HANDLE_FILE_INFORMATION info;
	HANDLE file = CreateFileW(path, READ_CONTROL | WRITE_DAC | FILE_READ_ATTRIBUTES,
		FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
		FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
	bool good = file != INVALID_HANDLE_VALUE || fail(failure, "opening", path, 0);

	if (good && !GetFileInformationByHandle(file, &info)) {
		good = fail(failure, "looking at", path, 0);
	}
	if (good && info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) {
		good = fail(failure, "this is a link", path, ERROR_REPARSE_TAG_INVALID);
	}
	if (good) {
		*ret_directory = info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY;
		good = change_list(file, path, change, *ret_directory, failure);
	}
	if (file != INVALID_HANDLE_VALUE) {
		(void)CloseHandle(file);
	}
	return good;
}

static bool visit_change(struct walk *walk, const wchar_t *path, bool directory, unsigned depth)
{
	return change_object(path, walk->change, &directory, walk->failure) &&
		(!directory || walk_into(walk, path, depth));
}

bool acl_apply(const wchar_t *path, const struct acl_change *change, struct failure *failure)
{
	struct walk walk = {.visit = visit_change, .change = change, .failure = failure};
	bool directory = false;

	return change_object(path, change, &directory, failure) &&
		(!directory || !change->tree || walk_into(&walk, path, 0));
}

static bool visit_copy(struct walk *walk, const wchar_t *path, bool directory, unsigned depth)
{
	wchar_t *copy = calloc(PATH_ROOM, sizeof(wchar_t));
	bool good = copy &&
		_snwprintf(copy, PATH_ROOM - 1, L"%ls%ls", walk->to, path + wcslen(walk->from)) > 0;

	good = good && (directory ? CreateDirectoryW(copy, NULL) : CopyFileW(path, copy, TRUE));
	free(copy);
	if (!good) {
		return fail(walk->failure, "copying", path, 0);
	}
	return !directory || walk_into(walk, path, depth);
}

bool tree_copy(const wchar_t *from, const wchar_t *to, struct failure *failure)
{
	struct walk walk = {.visit = visit_copy, .from = from, .to = to, .failure = failure};
	DWORD attributes = GetFileAttributesW(from);

	if (attributes == INVALID_FILE_ATTRIBUTES || attributes & FILE_ATTRIBUTE_REPARSE_POINT) {
		return fail(failure, "this is a link or not there", from,
			attributes == INVALID_FILE_ATTRIBUTES ? 0 : ERROR_REPARSE_TAG_INVALID);
	}
	if (!CreateDirectoryW(to, NULL)) {
		return fail(failure, "making", to, 0);
	}
	return walk_into(&walk, from, 0);
}

/* A link in it is removed as what it is: nothing it names is touched. */
static bool remove_depth(const wchar_t *path, unsigned depth)
{
	wchar_t *child = calloc(PATH_ROOM, sizeof(wchar_t));
	WIN32_FIND_DATAW found;
	HANDLE search = INVALID_HANDLE_VALUE;

	if (child && depth <= MAX_DEPTH && _snwprintf(child, PATH_ROOM - 1, L"%ls\\*", path) > 0) {
		search = FindFirstFileW(child, &found);
	}
	for (BOOL more = search != INVALID_HANDLE_VALUE; more;
		more = FindNextFileW(search, &found)) {
		bool directory = found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY;
		if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0 ||
			_snwprintf(child, PATH_ROOM - 1, L"%ls\\%ls", path, found.cFileName) < 0) {
			continue;
		}
		(void)SetFileAttributesW(child, FILE_ATTRIBUTE_NORMAL);
		if (!directory) {
			(void)DeleteFileW(child);
		} else if (found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) {
			(void)RemoveDirectoryW(child);
		} else {
			(void)remove_depth(child, depth + 1);
		}
	}
	if (search != INVALID_HANDLE_VALUE) {
		(void)FindClose(search);
	}
	free(child);
	return RemoveDirectoryW(path);
}

bool tree_remove(const wchar_t *path)
{
	return remove_depth(path, 0);
}
