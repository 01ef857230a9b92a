#include "backends/native-door.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "backends/linux/image.h"
#include "backends/linux/landlock.h"
#include "base/strv.h"

#define OTHER_NAME "/var/run" /* on most systems a link to /run */

static bool touches_path(const char *path)
{
	const char *run = spec_path_is_below(path, OTHER_NAME) ? path + strlen("/var") : path;

	return spec_path_is_below(run, IMAGE_WHY_DIR) || spec_path_is_below(IMAGE_WHY_DIR, run);
}

static bool touches(char *const *list)
{
	for (; list && *list; list++) {
		if (touches_path(*list)) {
			return true;
		}
	}
	return false;
}

/* A session that may start no program cannot start this one; and what it asked for comes first. */
static bool has_room(const struct spec *spec, const struct plan *plan)
{
	return spec->why && !spec->no_exec && !plan->no_exec &&
		!(plan->without & PLAN_LAYER_MOUNT) && !touches(spec->readable) &&
		!touches(spec->writable) && !touches(spec->read_deny) &&
		!(spec->home && spec_path_is_below(spec->home, IMAGE_WHY_DIR)) &&
		!(spec->dir && spec_path_is_below(spec->dir, IMAGE_WHY_DIR));
}

/* A spec that does not want the caveat goes without what it is about. */
bool native_door_is_refused(const struct spec *spec, const char *caveat)
{
	for (char *const *code = spec->refuse_on; code && *code; code++) {
		if (strcmp(*code, caveat_severity_name(CAVEAT_INFO)) == 0 ||
			fnmatch(*code, caveat, 0) == 0) {
			return true;
		}
	}
	return false;
}

bool native_door_is_wanted(const struct spec *spec, const struct plan *plan, const char *caveat)
{
	return has_room(spec, plan) && !native_door_is_refused(spec, caveat);
}

static int add(struct plan *plan, enum plan_mount_kind kind, const char *target, mode_t mode)
{
	struct plan_mount *mount = plan_add_mount(plan, kind, NULL, target, 0);

	if (!mount) {
		return -ENOMEM;
	}
	mount->mode = mode;
	return 0;
}

static int add_to_path(struct plan *plan)
{
	const char *path = strv_getenv(plan->env, "PATH");
	char longer[4096];

	if (!path || !*path ||
		(size_t)snprintf(longer, sizeof(longer), "%s:%s", path, IMAGE_WHY_BIN) >=
			sizeof(longer)) {
		return 0;
	}
	return strv_setenv(&plan->env, "PATH", longer);
}

int native_door_note(struct plan *plan, const char *caveat)
{
	int r = plan_add_caveat(plan, caveat);

	return r < 0 ? r : add_to_path(plan);
}

int native_door_compile(const struct spec *spec, struct plan *plan)
{
	int r = 0;

	if (!native_door_is_wanted(spec, plan, NATIVE_DOOR_CAVEAT)) {
		return 0;
	}
	r = add(plan, PLAN_MOUNT_DIR, IMAGE_WHY_DIR, 0755);
	r = r < 0 ? r : add(plan, PLAN_MOUNT_DIR, IMAGE_WHY_BIN, 0755);
	r = r < 0 ? r : add(plan, PLAN_MOUNT_WHY, IMAGE_WHY_BIN "/why", 0555);
	r = r < 0 ? r : add(plan, PLAN_MOUNT_DOOR, IMAGE_WHY_SOCKET, 0666);
	if (r == 0 && plan->landlock.abi > 0) {
		r = plan_add_path_rule(
			plan, IMAGE_WHY_DIR, landlock_access_read(plan->landlock.abi));
	}
	return r < 0 ? r : native_door_note(plan, NATIVE_DOOR_CAVEAT);
}
