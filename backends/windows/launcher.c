/*
 * cloche-launcher.exe PLAN: starts one program in an AppContainer as appcontainer.json says, waits, and
 * puts back what it changed. Exit code: the program's; 124 when its time was over; 125 when it was
 * not started.
 *
 *	--undo JOURNAL		puts back what a launcher that was killed left (PLAN's directory has it)
 *	--without LAYER,...	leaves layers out, for tests and lessons: container, job.cpu
 *
 * The order is what makes it safe. Every access list is noted in the journal, on disk, before it is
 * changed. The program is made suspended and put into its job before it runs an instruction; that it
 * is in the job and in the container is read back from the system, which may take an attribute it
 * does not know how to keep. The lists are put back when the job is empty, so that nothing of the
 * session is left to use them. Closing the job kills all in it: the launcher's own end is the
 * session's.
 */
#define _WIN32_WINNT 0x0A00
#include "planfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include <bcrypt.h>
#include <sddl.h>

#include "files.h"

#define EXIT_TIME 124
#define EXIT_REFUSED 125
#define PATH_ROOM 4096
#define MAX_CAPABILITIES 8
#define MAX_PLAN (4 << 20)

#define READ_MASK (FILE_GENERIC_READ | FILE_GENERIC_EXECUTE)
#define WRITE_MASK (READ_MASK | FILE_GENERIC_WRITE | DELETE | FILE_DELETE_CHILD)
#define TRAVERSE_MASK (FILE_TRAVERSE | FILE_READ_ATTRIBUTES | SYNCHRONIZE)

enum layer { LAYER_CONTAINER = 1, LAYER_JOB_CPU = 2 };

struct launch {
	struct planfile plan;
	unsigned without;
	wchar_t base[PATH_ROOM]; /* the plan's directory */
	PSID sid;
	HANDLE journal, job;
	PROCESS_INFORMATION process;
	struct failure failure;
};

static struct launch launch;

static bool failed(const char *what)
{
	return fail(&launch.failure, what, NULL, 0);
}

static int refuse(void)
{
	(void)fprintf(stderr, "cloche-launcher: %s %ls: error %lu\n", launch.failure.what,
		launch.failure.path, launch.failure.error);
	return EXIT_REFUSED;
}

/* ---- the plan ---- */

static bool read_file(const wchar_t *path, char **ret, size_t *ret_size)
{
	HANDLE file =
		CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
	LARGE_INTEGER size = {.QuadPart = 0};
	DWORD got = 0;

	if (file == INVALID_HANDLE_VALUE || !GetFileSizeEx(file, &size) ||
		size.QuadPart > MAX_PLAN) {
		return fail(&launch.failure, "reading", path, 0);
	}
	*ret = calloc(1, (size_t)size.QuadPart + 1);
	if (!*ret || !ReadFile(file, *ret, (DWORD)size.QuadPart, &got, NULL) ||
		got != size.QuadPart) {
		return fail(&launch.failure, "reading", path, 0);
	}
	*ret_size = got;
	(void)CloseHandle(file);
	return true;
}

static bool load(const wchar_t *path)
{
	char *text = NULL;
	size_t size = 0;
	size_t where = 0;
	DWORD length = GetFullPathNameW(path, PATH_ROOM, launch.base, NULL);
	wchar_t *slash = wcsrchr(launch.base, L'\\');

	if (length == 0 || length >= PATH_ROOM || !slash || !read_file(path, &text, &size)) {
		return fail(&launch.failure, "reading", path, 0);
	}
	*slash = L'\0';
	if (!planfile_read(text, size, &launch.plan, &where)) {
		(void)fprintf(stderr, "cloche-launcher: the plan is not one, from byte %u on\n",
			(unsigned)where);
		return fail(&launch.failure, "reading", path, ERROR_INVALID_DATA);
	}
	free(text);
	return true;
}

/* ".\temp" is beside the plan; anything else is as it stands. */
static const wchar_t *full_path(const wchar_t *path, wchar_t *room)
{
	if (wcsncmp(path, L".\\", 2) != 0) {
		return path;
	}
	return _snwprintf(room, PATH_ROOM - 1, L"%ls\\%ls", launch.base, path + 2) > 0 ? room : L"";
}

/* ---- who the program is ---- */

/*
 * S-1-15-2 and seven numbers of the name's SHA-256. The name holds the session's random id, so nobody
 * else has this SID, and no profile is registered for it.
 */
static bool make_sid(void)
{
	SID_IDENTIFIER_AUTHORITY authority = {SECURITY_APP_PACKAGE_AUTHORITY};
	BCRYPT_ALG_HANDLE sha256 = NULL;
	DWORD hash[8];
	const wchar_t *name = launch.plan.profile;

	if (BCryptOpenAlgorithmProvider(&sha256, BCRYPT_SHA256_ALGORITHM, NULL, 0) != 0) {
		return failed("opening the hash");
	}
	NTSTATUS status = BCryptHash(sha256, NULL, 0, (PUCHAR)(uintptr_t)name,
		(ULONG)(wcslen(name) * sizeof(wchar_t)), (PUCHAR)hash, sizeof(hash));
	(void)BCryptCloseAlgorithmProvider(sha256, 0);
	if (status != 0 ||
		!AllocateAndInitializeSid(&authority, 8, SECURITY_APP_PACKAGE_BASE_RID, hash[0],
			hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], &launch.sid)) {
		return failed("making the SID");
	}
	return true;
}

/* ---- files ---- */

/*
 * A journal has the SID, then a line for each path: "tree PATH" where all below was changed too,
 * "one PATH" where only itself was.
 */
static bool note(const char *kind, const wchar_t *text)
{
	char line[PATH_ROOM * 3 + 8];
	int start = snprintf(line, sizeof(line), "%s", kind);
	int length = WideCharToMultiByte(
		CP_UTF8, 0, text, -1, line + start, (int)sizeof(line) - start, NULL, NULL);
	DWORD written = 0;

	if (length <= 0) {
		return failed("writing the journal");
	}
	length += start;
	line[length - 1] = '\n';
	return (WriteFile(launch.journal, line, (DWORD)length, &written, NULL) &&
		       written == (DWORD)length && FlushFileBuffers(launch.journal)) ||
		failed("writing the journal");
}

static bool open_journal(void)
{
	wchar_t path[PATH_ROOM];
	wchar_t *sid = NULL;

	launch.journal = CreateFileW(full_path(L".\\journal", path), GENERIC_WRITE, FILE_SHARE_READ,
		NULL, CREATE_NEW, 0, NULL);
	if (launch.journal == INVALID_HANDLE_VALUE || !ConvertSidToStringSidW(launch.sid, &sid)) {
		return fail(&launch.failure, "making", path, 0);
	}
	bool good = note("", sid);
	LocalFree(sid);
	return good;
}

/* Whose list may not be changed is gone on without where the plan says so: only ever a grant. */
static bool put_entries(void)
{
	static const struct {
		ACCESS_MODE mode;
		DWORD mask;
		bool tree;
	} kinds[] = {
		[PLANFILE_DENY] = {DENY_ACCESS, FILE_ALL_ACCESS, true},
		[PLANFILE_READ] = {GRANT_ACCESS, READ_MASK, true},
		[PLANFILE_TRAVERSE] = {GRANT_ACCESS, TRAVERSE_MASK, false},
		[PLANFILE_WRITE] = {GRANT_ACCESS, WRITE_MASK, true},
	};
	wchar_t room[PATH_ROOM];

	for (unsigned i = 0; i < launch.plan.ace_count; i++) {
		const struct planfile_ace *ace = &launch.plan.aces[i];
		const struct acl_change change = {launch.sid, kinds[ace->access].mode,
			kinds[ace->access].mask, kinds[ace->access].tree};
		const wchar_t *path = full_path(ace->path, room);
		bool optional = ace->optional && ace->access == PLANFILE_TRAVERSE;
		if (!note(change.tree ? "tree " : "one ", path) ||
			(!acl_apply(path, &change, &launch.failure) && !optional)) {
			return false;
		}
	}
	return true;
}

static bool make_places(void)
{
	wchar_t room[PATH_ROOM];

	if (launch.plan.temp && !CreateDirectoryW(full_path(L".\\temp", room), NULL)) {
		return fail(&launch.failure, "making", room, 0);
	}
	return !launch.plan.copy ||
		tree_copy(launch.plan.copy, full_path(L".\\work", room), &launch.failure);
}

/* From the last to the first; a list that cannot be put back does not keep the others from it. */
static bool undo(wchar_t *lines[], unsigned count, PSID sid)
{
	bool good = true;

	while (count > 0) {
		bool tree = wcsncmp(lines[--count], L"tree ", 5) == 0;
		const struct acl_change change = {sid, REVOKE_ACCESS, 0, tree};
		const wchar_t *path = lines[count] + (tree ? 5 : 4);
		DWORD attributes = GetFileAttributesW(path);
		/* What the session itself removed has no list any more. */
		if (attributes == INVALID_FILE_ATTRIBUTES &&
			(GetLastError() == ERROR_FILE_NOT_FOUND ||
				GetLastError() == ERROR_PATH_NOT_FOUND)) {
			continue;
		}
		/* An entry on one directory alone was optional, and may not be there. */
		if (!acl_apply(path, &change, &launch.failure) && tree) {
			(void)refuse();
			good = false;
		}
	}
	return good;
}

static unsigned split_lines(char *text, wchar_t *lines[], unsigned room)
{
	unsigned count = 0;

	for (char *line = strtok(text, "\n"); line && count < room; line = strtok(NULL, "\n")) {
		int length = MultiByteToWideChar(CP_UTF8, 0, line, -1, NULL, 0);
		lines[count] = length > 0 ? calloc((size_t)length, sizeof(wchar_t)) : NULL;
		if (lines[count]) {
			(void)MultiByteToWideChar(CP_UTF8, 0, line, -1, lines[count], length);
			count++;
		}
	}
	return count;
}

static bool are_lines(wchar_t *const lines[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (wcsncmp(lines[i], L"tree ", 5) != 0 && wcsncmp(lines[i], L"one ", 4) != 0) {
			return false;
		}
	}
	return true;
}

/* Only entries of a container are ever taken out, whoever wrote the journal. */
static bool undo_journal(const wchar_t *path)
{
	static wchar_t *lines[PLANFILE_MAX_LIST + 1];
	char *text = NULL;
	size_t size = 0;
	PSID sid = NULL;

	if (!read_file(path, &text, &size)) {
		return false;
	}
	unsigned count = split_lines(text, lines, PLANFILE_MAX_LIST + 1);
	if (count == 0 || wcsncmp(lines[0], L"S-1-15-2-", 9) != 0 ||
		!are_lines(lines + 1, count - 1) || !ConvertStringSidToSidW(lines[0], &sid)) {
		return fail(&launch.failure, "this is no journal:", path, ERROR_INVALID_DATA);
	}
	return undo(lines + 1, count - 1, sid) &&
		(DeleteFileW(path) || fail(&launch.failure, "removing", path, 0));
}

/* ---- the job ---- */

static DWORD cpu_rate(uint64_t milli)
{
	DWORD processors = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
	uint64_t rate = milli * 10 / (processors ? processors : 1);

	return rate > 10000 ? 10000 : rate ? (DWORD)rate : 1;
}

static bool make_job(void)
{
	const struct planfile *plan = &launch.plan;
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
	JOBOBJECT_BASIC_UI_RESTRICTIONS ui = {JOB_OBJECT_UILIMIT_ALL};
	JOBOBJECT_CPU_RATE_CONTROL_INFORMATION cpu = {0};

	limits.BasicLimitInformation.LimitFlags =
		JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
	if (plan->memory) {
		limits.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_JOB_MEMORY;
		limits.JobMemoryLimit = plan->memory;
	}
	if (plan->pids) {
		limits.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
		limits.BasicLimitInformation.ActiveProcessLimit = (DWORD)plan->pids;
	}
	cpu.ControlFlags =
		JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
	cpu.CpuRate = cpu_rate(plan->cpu_milli);
	launch.job = CreateJobObjectW(NULL, NULL);
	if (!launch.job ||
		!SetInformationJobObject(
			launch.job, JobObjectExtendedLimitInformation, &limits, sizeof(limits)) ||
		!SetInformationJobObject(
			launch.job, JobObjectBasicUIRestrictions, &ui, sizeof(ui))) {
		return failed("making the job");
	}
	return !plan->cpu_milli || launch.without & LAYER_JOB_CPU ||
		SetInformationJobObject(
			launch.job, JobObjectCpuRateControlInformation, &cpu, sizeof(cpu)) ||
		failed("limiting processor time");
}

/* ---- the program ---- */

/* As the C run time of the program will take it apart again. */
static wchar_t *quote(const wchar_t *text, wchar_t *at)
{
	*at++ = L'"';
	for (; *text; text++) {
		size_t slashes = 0;
		while (*text == L'\\') {
			slashes++;
			text++;
		}
		for (size_t i = 0; i < slashes * (*text == L'"' || !*text ? 2 : 1); i++) {
			*at++ = L'\\';
		}
		if (!*text) {
			break;
		}
		if (*text == L'"') {
			*at++ = L'\\';
		}
		*at++ = *text;
	}
	*at++ = L'"';
	return at;
}

static wchar_t *command_line(void)
{
	size_t room = 1;

	for (unsigned i = 0; i < launch.plan.argv.count; i++) {
		room += 2 * wcslen(launch.plan.argv.items[i]) + 3;
	}
	wchar_t *line = calloc(room, sizeof(wchar_t));
	wchar_t *at = line;
	for (unsigned i = 0; line && i < launch.plan.argv.count; i++) {
		if (i > 0) {
			*at++ = L' ';
		}
		at = quote(launch.plan.argv.items[i], at);
	}
	return line;
}

static wchar_t *add_variable(wchar_t *at, const wchar_t *text)
{
	wcscpy(at, text);
	return at + wcslen(text) + 1;
}

/* Names and values, each ended by a zero, and one more at the end. */
static wchar_t *environment(void)
{
	static wchar_t temp[2][PATH_ROOM + 8];
	size_t room = 2 + 2 * (PATH_ROOM + 8);

	for (unsigned i = 0; i < launch.plan.env.count; i++) {
		room += wcslen(launch.plan.env.items[i]) + 1;
	}
	wchar_t *block = calloc(room, sizeof(wchar_t));
	wchar_t *at = block;
	for (unsigned i = 0; block && i < launch.plan.env.count; i++) {
		at = add_variable(at, launch.plan.env.items[i]);
	}
	if (block && launch.plan.temp) {
		(void)_snwprintf(temp[0], PATH_ROOM + 7, L"TEMP=%ls\\temp", launch.base);
		(void)_snwprintf(temp[1], PATH_ROOM + 7, L"TMP=%ls\\temp", launch.base);
		at = add_variable(add_variable(at, temp[0]), temp[1]);
	}
	return block;
}

static const struct {
	const wchar_t *name;
	DWORD64 flag;
} mitigations[] = {
	{L"bottom-up-aslr", UINT64_C(1) << 16},
	{L"high-entropy-aslr", UINT64_C(1) << 20},
	{L"strict-handles", UINT64_C(1) << 24},
	{L"no-extension-points", UINT64_C(1) << 32},
	{L"no-fonts", UINT64_C(1) << 48},
	{L"no-remote-images", UINT64_C(1) << 52},
	{L"no-low-label-images", UINT64_C(1) << 56},
};

static bool find_mitigations(DWORD64 *ret)
{
	for (unsigned i = 0; i < launch.plan.mitigations.count; i++) {
		unsigned m = 0;
		while (m < sizeof(mitigations) / sizeof(mitigations[0]) &&
			wcscmp(mitigations[m].name, launch.plan.mitigations.items[i]) != 0) {
			m++;
		}
		if (m == sizeof(mitigations) / sizeof(mitigations[0])) {
			return fail(&launch.failure, "no mitigation is called",
				launch.plan.mitigations.items[i], ERROR_INVALID_DATA);
		}
		*ret |= mitigations[m].flag;
	}
	return true;
}

static bool find_capabilities(SID_AND_ATTRIBUTES *ret, DWORD *ret_count)
{
	const struct planfile_list *list = &launch.plan.capabilities;

	for (unsigned i = 0; i < list->count; i++) {
		if (i == MAX_CAPABILITIES || wcsncmp(list->items[i], L"S-1-15-3-", 9) != 0 ||
			!ConvertStringSidToSidW(list->items[i], &ret[i].Sid)) {
			return fail(&launch.failure, "this is no capability:", list->items[i],
				ERROR_INVALID_DATA);
		}
		ret[i].Attributes = SE_GROUP_ENABLED;
	}
	*ret_count = list->count;
	return true;
}

/* The three standard handles and nothing else is handed on; each once. */
static bool find_handles(STARTUPINFOW *info, HANDLE list[3], DWORD *ret_count)
{
	static const DWORD numbers[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
	HANDLE *const slots[] = {&info->hStdInput, &info->hStdOutput, &info->hStdError};

	for (unsigned i = 0; i < 3; i++) {
		HANDLE handle = GetStdHandle(numbers[i]);
		bool known = false;
		if (!handle || handle == INVALID_HANDLE_VALUE) {
			handle = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE,
				FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
		}
		if (!SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)) {
			return failed("handing on a standard handle");
		}
		for (DWORD j = 0; j < *ret_count; j++) {
			known |= list[j] == handle;
		}
		if (!known) {
			list[(*ret_count)++] = handle;
		}
		*slots[i] = handle;
	}
	info->dwFlags |= STARTF_USESTDHANDLES;
	return true;
}

static bool start_suspended(void)
{
	/* What the attributes point to must live until the process is made. */
	SID_AND_ATTRIBUTES capabilities[MAX_CAPABILITIES] = {0};
	SECURITY_CAPABILITIES container = {
		.AppContainerSid = launch.sid, .Capabilities = capabilities};
	DWORD opt_out = PROCESS_CREATION_ALL_APPLICATION_PACKAGES_OPT_OUT;
	DWORD no_children = PROCESS_CREATION_CHILD_PROCESS_RESTRICTED;
	DWORD64 policy = 0;
	HANDLE handles[3];
	DWORD handle_count = 0;
	STARTUPINFOEXW info = {.StartupInfo = {.cb = sizeof(info)}};

	if (!find_capabilities(capabilities, &container.CapabilityCount) ||
		!find_mitigations(&policy) ||
		!find_handles(&info.StartupInfo, handles, &handle_count)) {
		return false;
	}
	const bool contained = !(launch.without & LAYER_CONTAINER);
	const struct {
		bool wanted;
		DWORD_PTR attribute;
		void *value;
		SIZE_T size;
		const char *what;
	} attributes[] = {
		{contained, PROC_THREAD_ATTRIBUTE_SECURITY_CAPABILITIES, &container,
			sizeof(container), "asking for an AppContainer"},
		{contained, PROC_THREAD_ATTRIBUTE_ALL_APPLICATION_PACKAGES_POLICY, &opt_out,
			sizeof(opt_out), "asking for less than all packages may do"},
		{!launch.plan.child_processes, PROC_THREAD_ATTRIBUTE_CHILD_PROCESS_POLICY,
			&no_children, sizeof(no_children), "forbidding child processes"},
		{true, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles, handle_count * sizeof(HANDLE),
			"limiting the handles"},
		{policy != 0, PROC_THREAD_ATTRIBUTE_MITIGATION_POLICY, &policy, sizeof(policy),
			"asking for mitigations"},
	};
	const DWORD count = sizeof(attributes) / sizeof(attributes[0]);
	SIZE_T size = 0;

	(void)InitializeProcThreadAttributeList(NULL, count, 0, &size);
	info.lpAttributeList = calloc(1, size);
	if (!info.lpAttributeList ||
		!InitializeProcThreadAttributeList(info.lpAttributeList, count, 0, &size)) {
		return failed("making the attributes");
	}
	for (DWORD i = 0; i < count; i++) {
		if (attributes[i].wanted &&
			!UpdateProcThreadAttribute(info.lpAttributeList, 0, attributes[i].attribute,
				attributes[i].value, attributes[i].size, NULL, NULL)) {
			return failed(attributes[i].what);
		}
	}
	wchar_t room[PATH_ROOM];
	return CreateProcessW(launch.plan.argv.items[0], command_line(), NULL, NULL, TRUE,
		       CREATE_SUSPENDED | EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT,
		       environment(), full_path(launch.plan.dir, room), &info.StartupInfo,
		       &launch.process) ||
		fail(&launch.failure, "starting", launch.plan.argv.items[0], 0);
}

/* Is it where it was put? What a call says it did is not taken for it. */
static bool check_process(void)
{
	struct {
		TOKEN_APPCONTAINER_INFORMATION information;
		BYTE sid[SECURITY_MAX_SID_SIZE];
	} found;
	BOOL in_job = FALSE;
	DWORD contained = 0;
	DWORD size = 0;
	HANDLE token = NULL;

	if (!AssignProcessToJobObject(launch.job, launch.process.hProcess)) {
		return failed("putting the program into its job");
	}
	if (!IsProcessInJob(launch.process.hProcess, launch.job, &in_job) || !in_job) {
		return fail(&launch.failure, "the program is not in its job", NULL,
			ERROR_ACCESS_DENIED);
	}
	if (launch.without & LAYER_CONTAINER) {
		return true;
	}
	if (!OpenProcessToken(launch.process.hProcess, TOKEN_QUERY, &token) ||
		!GetTokenInformation(
			token, TokenIsAppContainer, &contained, sizeof(contained), &size) ||
		!contained ||
		!GetTokenInformation(token, TokenAppContainerSid, &found, sizeof(found), &size) ||
		!found.information.TokenAppContainer ||
		!EqualSid(found.information.TokenAppContainer, launch.sid)) {
		return fail(&launch.failure, "the program is not in its AppContainer", NULL,
			ERROR_ACCESS_DENIED);
	}
	return CloseHandle(token);
}

static int wait_for_program(void)
{
	const uint64_t ms = launch.plan.timeout * 1000;
	DWORD code = EXIT_REFUSED;

	if (ResumeThread(launch.process.hThread) == (DWORD)-1) {
		(void)failed("letting the program run");
		return refuse();
	}
	if (WaitForSingleObject(launch.process.hProcess,
		    ms && ms < INFINITE ? (DWORD)ms : INFINITE) == WAIT_TIMEOUT) {
		return EXIT_TIME;
	}
	return GetExitCodeProcess(launch.process.hProcess, &code) ? (int)code : EXIT_REFUSED;
}

/* Ends all that is left, and waits until it is gone. */
static void end_job(void)
{
	JOBOBJECT_BASIC_ACCOUNTING_INFORMATION accounts = {.ActiveProcesses = 1};

	if (launch.process.hProcess) {
		/* Not in the job yet when that was what failed. */
		(void)TerminateProcess(launch.process.hProcess, EXIT_REFUSED);
	}
	if (!launch.job || !TerminateJobObject(launch.job, EXIT_TIME)) {
		return;
	}
	for (int i = 0; i < 500 && accounts.ActiveProcesses > 0; i++) {
		if (i > 0) {
			Sleep(10);
		}
		if (!QueryInformationJobObject(launch.job, JobObjectBasicAccountingInformation,
			    &accounts, sizeof(accounts), NULL)) {
			break;
		}
	}
	(void)CloseHandle(launch.job);
	launch.job = NULL;
}

static bool put_back(void)
{
	wchar_t room[PATH_ROOM];
	bool good = true;

	if (launch.journal) {
		(void)CloseHandle(launch.journal);
		good = undo_journal(full_path(L".\\journal", room));
	}
	if (launch.plan.temp) {
		(void)tree_remove(full_path(L".\\temp", room));
	}
	if (launch.plan.copy) {
		(void)tree_remove(full_path(L".\\work", room));
	}
	return good;
}

/* A closed window or a log-off ends the session as its own end does. */
static BOOL WINAPI on_control(DWORD event)
{
	(void)event;
	if (launch.job) {
		(void)TerminateJobObject(launch.job, EXIT_TIME);
	}
	return TRUE;
}

static int run(const wchar_t *path)
{
	int code = EXIT_REFUSED;

	if (!load(path) || !make_sid()) {
		return refuse();
	}
	(void)SetConsoleCtrlHandler(on_control, TRUE);
	if (make_job() && open_journal() && make_places() && put_entries() && start_suspended() &&
		check_process()) {
		code = wait_for_program();
	} else {
		(void)refuse();
	}
	end_job();
	if (!put_back() && code != EXIT_REFUSED) {
		(void)fprintf(stderr,
			"cloche-launcher: not all access lists were put back; "
			"--undo with the journal tries again\n");
	}
	return code;
}

static bool take_layers(wchar_t *text)
{
	static const struct {
		const wchar_t *name;
		enum layer layer;
	} layers[] = {{L"container", LAYER_CONTAINER}, {L"job.cpu", LAYER_JOB_CPU}};

	for (wchar_t *name = wcstok(text, L","); name; name = wcstok(NULL, L",")) {
		bool found = false;
		for (unsigned i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
			if (wcscmp(layers[i].name, name) == 0) {
				launch.without |= layers[i].layer;
				found = true;
			}
		}
		if (!found) {
			return false;
		}
		(void)fprintf(stderr, "cloche-launcher: the layer '%ls' is LEFT OUT\n", name);
	}
	return true;
}

int wmain(int argc, wchar_t **argv)
{
	if (argc == 3 && wcscmp(argv[1], L"--undo") == 0) {
		return undo_journal(argv[2]) ? 0 : refuse();
	}
	if (argc == 4 && wcscmp(argv[1], L"--without") == 0 && take_layers(argv[2])) {
		return run(argv[3]);
	}
	if (argc == 2) {
		return run(argv[1]);
	}
	(void)fprintf(stderr,
		"usage: cloche-launcher PLAN | --undo JOURNAL | --without LAYER,... PLAN\n");
	return EXIT_REFUSED;
}
