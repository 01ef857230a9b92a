/*
 * The part of the testkit that runs inside, for Windows: a handful of the probes of client/, by the
 * same protocol on standard input and output. The rest are answered "not run". The host of the
 * testkit is a Unix program, so paths come as the host has them; "Z:" before them is where Wine has
 * the host's tree.
 *
 * Started with the word "exec" it only proves that it runs.
 */
#define _WIN32_WINNT 0x0A00
#include <winsock2.h>
#include <windows.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testkit/protocol.h"

#define MAX_SETTINGS 128
#define MAX_RUNS 256
#define EXIT_PROOF 42
#define EACCES_LINUX                                                                               \
	13 /* numbers of errors are Linux's in the protocol; all that is refused is this */

static struct {
	char *names[MAX_SETTINGS], *values[MAX_SETTINGS];
	unsigned setting_count;
	char *runs[MAX_RUNS];
	unsigned run_count, sequence;
} client;

struct result {
	const char *claim;
	char text[PROTOCOL_MAX_TEXT + 1];
};

static const char *job(const char *name)
{
	for (unsigned i = client.setting_count; i > 0; i--) {
		if (strcmp(client.names[i - 1], name) == 0) {
			return client.values[i - 1];
		}
	}
	return "";
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char line[PROTOCOL_MAX_LINE];
	int length = snprintf(line, sizeof(line), "@%s %u ", job("fence"), client.sequence++);
	va_list list;

	va_start(list, format);
	length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, list);
	va_end(list);
	(void)printf("%s *%08x\n", line, protocol_checksum(line, (size_t)length));
	(void)fflush(stdout);
}

static void settle(struct result *result, BOOL done, const char *text)
{
	result->claim = done ? "done" : "refused";
	(void)snprintf(result->text, sizeof(result->text), "%s", done ? text : "");
}

/* <directory>/<id> as Wine has it. */
static const char *place(const char *directory, const char *id)
{
	static char path[512];

	(void)snprintf(path, sizeof(path), "Z:%s/%s", job(directory), id);
	return path;
}

static void read_file(struct result *result, const char *path)
{
	char text[128] = "";
	DWORD got = 0;
	HANDLE file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
		OPEN_EXISTING, 0, NULL);
	BOOL done =
		file != INVALID_HANDLE_VALUE && ReadFile(file, text, sizeof(text) - 1, &got, NULL);

	settle(result, done, text);
	if (file != INVALID_HANDLE_VALUE) {
		(void)CloseHandle(file);
	}
}

static void write_file(struct result *result, const char *path, const char *id, DWORD how)
{
	char text[80];
	int length = snprintf(text, sizeof(text), "%s %s", job("fence"), id);
	DWORD written = 0;
	HANDLE file = CreateFileA(
		path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, how, 0, NULL);
	BOOL done = file != INVALID_HANDLE_VALUE &&
		WriteFile(file, text, (DWORD)length, &written, NULL);

	settle(result, done, "");
	if (file != INVALID_HANDLE_VALUE) {
		(void)CloseHandle(file);
	}
}

static void fs_read_home(struct result *result)
{
	read_file(result, place("secret", "F.read-home"));
}

static void fs_read_tmp(struct result *result)
{
	read_file(result, place("secret.tmp", "F.read-tmp"));
}

static void fs_create(struct result *result)
{
	write_file(result, place("write", "F.create"), "F.create", CREATE_NEW);
}

static void fs_overwrite(struct result *result)
{
	write_file(result, place("write", "F.overwrite"), "F.overwrite", OPEN_EXISTING);
}

static void net_tcp4(struct result *result)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((u_short)atoi(job("tcp4"))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SOCKET fd = socket(AF_INET, SOCK_STREAM, 0);
	DWORD wait = 1000;
	char text[80];
	int length = snprintf(text, sizeof(text), "%s N.tcp4\n", job("fence"));
	int got = -1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, (const char *)&wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		send(fd, text, length, 0) == length) {
		got = recv(fd, text, sizeof(text) - 1, 0);
	}
	text[got > 0 ? got : 0] = '\0';
	settle(result, got > 0, text);
	(void)closesocket(fd);
}

static void net_udp4(struct result *result)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((u_short)atoi(job("udp4"))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SOCKET fd = socket(AF_INET, SOCK_DGRAM, 0);
	char text[80];
	int length = snprintf(text, sizeof(text), "%s N.udp4", job("fence"));

	settle(result,
		sendto(fd, text, length, 0, (const struct sockaddr *)&address, sizeof(address)) ==
			length,
		"");
	(void)closesocket(fd);
}

static void exec_self(struct result *result)
{
	char self[512];
	char line[640];
	STARTUPINFOA info = {.cb = sizeof(info)};
	PROCESS_INFORMATION process;
	DWORD code = 0;
	BOOL done = GetModuleFileNameA(NULL, self, sizeof(self)) > 0;

	(void)snprintf(line, sizeof(line), "\"%s\" exec", self);
	done = done &&
		CreateProcessA(self, line, NULL, NULL, FALSE, 0, NULL, NULL, &info, &process);
	if (done) {
		(void)WaitForSingleObject(process.hProcess, 5000);
		done = GetExitCodeProcess(process.hProcess, &code) && code == EXIT_PROOF;
	}
	settle(result, done, "");
}

static void leak_env(struct result *result)
{
	char text[128] = "";
	DWORD length = GetEnvironmentVariableA(job("env"), text, sizeof(text));

	settle(result, length > 0 && length < sizeof(text), text);
}

static const struct {
	const char *id;
	void (*run)(struct result *result);
} probes[] = {
	{"F.create", fs_create},
	{"F.overwrite", fs_overwrite},
	{"F.read-home", fs_read_home},
	{"F.read-tmp", fs_read_tmp},
	{"L.env", leak_env},
	{"N.tcp4", net_tcp4},
	{"N.udp4", net_udp4},
	{"X.self", exec_self},
};

static void run_probe(const char *id)
{
	struct result result = {.claim = "not-run"};
	char hex[2 * PROTOCOL_MAX_TEXT + 1] = "-";

	say("start %s", id);
	for (unsigned i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		if (strcmp(probes[i].id, id) == 0) {
			probes[i].run(&result);
		}
	}
	for (size_t i = 0; result.text[i]; i++) {
		(void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)result.text[i]);
	}
	say("result %s %s %d %s", id, result.claim,
		strcmp(result.claim, "refused") == 0 ? EACCES_LINUX : 0, hex);
}

/* Reads settings and runs until the word. False: the host went away. */
static BOOL read_job(const char *until)
{
	static char line[PROTOCOL_MAX_LINE];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strcmp(line, until) == 0) {
			return TRUE;
		}
		if (strncmp(line, "run ", 4) == 0 && client.run_count < MAX_RUNS) {
			client.runs[client.run_count++] = strdup(line + 4);
		}
		char *value = strncmp(line, "set ", 4) == 0 ? strchr(line + 4, ' ') : NULL;
		if (value && client.setting_count < MAX_SETTINGS) {
			*value++ = '\0';
			client.names[client.setting_count] = strdup(line + 4);
			client.values[client.setting_count++] = strdup(value);
		}
	}
	return FALSE;
}

int main(int argc, char **argv)
{
	WSADATA sockets;

	if (argc > 1) {
		return strcmp(argv[1], "exec") == 0 ? EXIT_PROOF : 2;
	}
	(void)WSAStartup(MAKEWORD(2, 2), &sockets);
	if (!read_job("hello")) {
		return 2;
	}
	say("hello %lu 0 0", GetCurrentProcessId());
	if (!read_job("go")) {
		return 2;
	}
	for (unsigned i = 0; i < client.run_count; i++) {
		run_probe(client.runs[i]);
	}
	say("end %u", client.run_count);
	(void)read_job("bye");
	return 0;
}
