#include "testkit/eye.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- out ---- */

static void write_numbers(const char *name, const uint64_t *numbers, size_t count, struct buf *ret)
{
	buf_printf(ret, "%s", name);
	for (size_t i = 0; i < count; i++) {
		buf_printf(ret, " %" PRIx64, numbers[i]);
	}
	buf_printf(ret, "\n");
}

static void write_filter(const struct outside_filter *filter, struct buf *ret)
{
	buf_printf(ret, "filter %zu", filter->count);
	for (size_t i = 0; i < filter->count; i++) {
		const struct sock_filter *at = &filter->program[i];
		buf_printf(ret, " %x,%x,%x,%x", at->code, at->jt, at->jf, at->k);
	}
	buf_printf(ret, "\n");
}

void eye_write(const struct outside *outside, struct buf *ret)
{
	buf_printf(ret, "eye 1\nids %u %u\n", outside->uid, outside->gid);
	write_numbers("caps", outside->caps, ARRAY_SIZE(outside->caps), ret);
	buf_printf(ret, "state %d %d %d %d %d %d\n", outside->no_new_privs, outside->seccomp,
		outside->maps_host_root, outside->dumped, outside->root_is_ours, outside->route);
	write_numbers("namespaces", outside->namespaces, OUTSIDE_NAMESPACES, ret);
	write_numbers("beside", outside->beside, OUTSIDE_NAMESPACES, ret);
	buf_printf(ret, "user_namespaces %" PRId64 "\n", outside->user_namespaces);
	buf_printf(ret, "devices %u %s\n", outside->devices, outside->device_text);
	buf_printf(ret, "limits %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		outside->memory_limit, outside->tasks_limit, outside->cpu_limit,
		outside->memory_peak);
	buf_printf(ret, "room %d %" PRIu64 " %s\n", outside->room_known, outside->room,
		outside->room_where);
	for (size_t i = 0; i < outside->mount_count && i < EYE_MOUNTS_MAX; i++) {
		const struct outside_mount *mount = &outside->mounts[i];
		buf_printf(ret, "mount %u %u %d %s %s\n", mount->major, mount->minor,
			mount->writable, mount->type, mount->target);
	}
	for (size_t i = 0; i < outside->filter_count; i++) {
		write_filter(&outside->filters[i], ret);
	}
	buf_printf(ret, "end\n");
}

/* ---- in ---- */

static bool read_numbers(const char *text, uint64_t *ret, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *end = NULL;
		if (*text != ' ') {
			return false;
		}
		ret[i] = strtoull(text + 1, &end, 16);
		if (end == text + 1) {
			return false;
		}
		text = end;
	}
	return *text == '\0';
}

static bool read_ids(const char *text, struct outside *ret)
{
	return sscanf(text, " %u %u", &ret->uid, &ret->gid) == 2;
}

static bool read_caps(const char *text, struct outside *ret)
{
	return read_numbers(text, ret->caps, ARRAY_SIZE(ret->caps));
}

static bool read_state(const char *text, struct outside *ret)
{
	int dumped = 0;

	if (sscanf(text, " %d %d %d %d %d %d", &ret->no_new_privs, &ret->seccomp,
		    &ret->maps_host_root, &dumped, &ret->root_is_ours, &ret->route) != 6) {
		return false;
	}
	ret->dumped = dumped != 0;
	return true;
}

static bool read_namespaces(const char *text, struct outside *ret)
{
	return read_numbers(text, ret->namespaces, OUTSIDE_NAMESPACES);
}

static bool read_beside(const char *text, struct outside *ret)
{
	return read_numbers(text, ret->beside, OUTSIDE_NAMESPACES);
}

static bool read_user_namespaces(const char *text, struct outside *ret)
{
	return sscanf(text, " %" SCNd64, &ret->user_namespaces) == 1;
}

/* Words for people, from another kernel: of one line, and nothing a terminal obeys. */
static void copy_words(const char *text, char *ret, size_t size)
{
	size_t used = 0;

	for (; *text && used + 1 < size; text++) {
		ret[used++] = *text >= ' ' && *text < 0x7f ? *text : '?';
	}
	ret[used] = '\0';
}

static bool read_devices(const char *text, struct outside *ret)
{
	int used = 0;

	if (sscanf(text, " %u %n", &ret->devices, &used) != 1) {
		return false;
	}
	copy_words(text + used, ret->device_text, sizeof(ret->device_text));
	return true;
}

static bool read_limits(const char *text, struct outside *ret)
{
	return sscanf(text, " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &ret->memory_limit,
		       &ret->tasks_limit, &ret->cpu_limit, &ret->memory_peak) == 4;
}

static bool read_room(const char *text, struct outside *ret)
{
	int used = 0;

	if (sscanf(text, " %d %" SCNu64 " %n", &ret->room_known, &ret->room, &used) != 2) {
		return false;
	}
	copy_words(text + used, ret->room_where, sizeof(ret->room_where));
	return true;
}

static bool read_mount(const char *text, struct outside *ret)
{
	struct outside_mount *mount = NULL;
	char target[sizeof(mount->target)];
	int writable = 0;

	if (ret->mount_count >= EYE_MOUNTS_MAX) {
		return false;
	}
	if (!ret->mounts) {
		ret->mounts = calloc(EYE_MOUNTS_MAX, sizeof(ret->mounts[0]));
	}
	mount = ret->mounts ? &ret->mounts[ret->mount_count] : NULL;
	if (!mount ||
		sscanf(text, " %u %u %d %23s %191s", &mount->major, &mount->minor, &writable,
			mount->type, target) != 5) {
		return false;
	}
	mount->writable = writable != 0;
	copy_words(target, mount->target, sizeof(mount->target));
	ret->mount_count++;
	return true;
}

static bool read_filter(const char *text, struct outside *ret)
{
	struct outside_filter *filter = NULL;
	size_t count = 0;
	int used = 0;

	if (ret->filter_count >= OUTSIDE_MAX_FILTERS ||
		sscanf(text, " %zu%n", &count, &used) != 1 || count == 0 ||
		count > EYE_FILTER_MAX) {
		return false;
	}
	filter = &ret->filters[ret->filter_count];
	filter->program = calloc(count, sizeof(filter->program[0]));
	if (!filter->program) {
		return false;
	}
	filter->count = count;
	ret->filter_count++;
	for (size_t i = 0; i < count; i++) {
		unsigned code = 0;
		unsigned jt = 0;
		unsigned jf = 0;
		unsigned k = 0;
		int more = 0;
		text += used;
		if (sscanf(text, " %x,%x,%x,%x%n", &code, &jt, &jf, &k, &more) != 4) {
			return false;
		}
		filter->program[i] =
			(struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
		used = more;
	}
	return text[used] == '\0';
}

/* Each once at least; only the last two may come again, or not at all. */
static const struct {
	const char *name;
	bool (*read)(const char *text, struct outside *ret);
	bool any;
} lines[] = {
	{"ids", read_ids, false},
	{"caps", read_caps, false},
	{"state", read_state, false},
	{"namespaces", read_namespaces, false},
	{"beside", read_beside, false},
	{"user_namespaces", read_user_namespaces, false},
	{"devices", read_devices, false},
	{"limits", read_limits, false},
	{"room", read_room, false},
	{"mount", read_mount, true},
	{"filter", read_filter, true},
};

/* Which line this is; *ret_text is behind its name. -1: none of them. */
static int find_line(const char *line, const char **ret_text)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		size_t length = strlen(lines[i].name);
		if (strncmp(line, lines[i].name, length) == 0 && line[length] == ' ') {
			*ret_text = line + length;
			return (int)i;
		}
	}
	return -1;
}

static int parse(char *text, struct outside *ret)
{
	bool seen[ARRAY_SIZE(lines)] = {false};
	char *line = strsep(&text, "\n");

	if (!line || strcmp(line, "eye 1") != 0) {
		return -EBADMSG;
	}
	while ((line = strsep(&text, "\n")) && strcmp(line, "end") != 0) {
		const char *rest = NULL;
		int i = find_line(line, &rest);
		if (i < 0 || (seen[i] && !lines[i].any) || !lines[i].read(rest, ret)) {
			return -EBADMSG;
		}
		seen[i] = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (!line || (!seen[i] && !lines[i].any)) {
			return -EBADMSG;
		}
	}
	return 0;
}

int eye_parse(const char *text, size_t size, struct outside *ret)
{
	cleanup_free char *copy = size > 0 && size <= EYE_MAX ? strndup(text, size) : NULL;
	int r = 0;

	outside_read(0, ret);
	r = copy ? parse(copy, ret) : -EBADMSG;
	if (r < 0) {
		outside_fini(ret);
		return r;
	}
	ret->found = ret->elsewhere = true;
	return 0;
}
