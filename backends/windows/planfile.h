/*
 * appcontainer.json, as backends/appcontainer.c writes it and nobody else does: one object, its keys
 * sorted and all there, no blanks. Anything else is refused, so that what runs is what was printed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <wchar.h>

#define PLANFILE_MAX_LIST 1024
#define PLANFILE_SCHEMA "cloche.appcontainer/1"

enum planfile_access { PLANFILE_DENY, PLANFILE_READ, PLANFILE_TRAVERSE, PLANFILE_WRITE };

struct planfile_ace {
	enum planfile_access access;
	bool optional; /* who may not change this file's list goes on without */
	wchar_t *path; /* absolute, or ".\temp", ".\work" beside the plan */
};

struct planfile_list {
	wchar_t *items[PLANFILE_MAX_LIST];
	unsigned count;
};

struct planfile {
	struct planfile_ace aces[PLANFILE_MAX_LIST]; /* in the order they are put in place */
	unsigned ace_count;
	struct planfile_list argv, capabilities, env, mitigations;
	bool child_processes; /* the program may start others */
	wchar_t *copy; /* directory that .\work becomes a copy of, or NULL */
	uint64_t cpu_milli, memory, pids, timeout; /* 0: no limit */
	wchar_t *dir; /* working directory */
	wchar_t *profile; /* the name the container's SID is made of */
	bool temp; /* .\temp is there and is the session's */
};

/*
 * Reads size bytes of text, which must be what was said above to the last byte. True, or false with
 * *ret_where the place where it was not. Nothing is freed: the launcher reads one plan and ends.
 */
bool planfile_read(const char *text, size_t size, struct planfile *ret, size_t *ret_where);
