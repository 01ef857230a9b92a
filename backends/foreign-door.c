#include "backends/foreign-door.h"

#include <errno.h>

#include "backends/keeper-door.h"
#include "backends/linux/image-make.h"
#include "backends/native-door.h"

#define PROGRAM_FILE "why"

static int add(struct plan *plan, enum plan_mount_kind kind, const char *source, const char *target,
	uint32_t flags, mode_t mode)
{
	struct plan_mount *mount = plan_add_mount(plan, kind, source, target, flags);

	if (!mount) {
		return -ENOMEM;
	}
	mount->mode = mode;
	return 0;
}

static int add_program(struct plan *plan, enum foreign_door_program program)
{
	static const char target[] = IMAGE_WHY_BIN "/why";
	int r = 0;

	if (program == FOREIGN_DOOR_BOUND) {
		r = plan_add_bytes(plan, PROGRAM_FILE, image_why_program, image_why_size, 0555);
		return r < 0 ? r
			     : add(plan, PLAN_MOUNT_WHY, "{dir}/" PROGRAM_FILE, target,
				       PLAN_READ_ONLY, 0555);
	}
	r = add(plan, PLAN_MOUNT_DIR, NULL, IMAGE_WHY_DIR, 0, 0755);
	r = r < 0 ? r : add(plan, PLAN_MOUNT_DIR, NULL, IMAGE_WHY_BIN, 0, 0755);
	return r < 0 ? r : add(plan, PLAN_MOUNT_WHY, NULL, target, 0, 0555);
}

bool foreign_door_has_page(const struct spec *spec, const struct plan *plan)
{
	return native_door_is_wanted(spec, plan, NATIVE_DOOR_PAGE_CAVEAT);
}

static int add_page(const struct spec *spec, struct plan *plan)
{
	int r = 0;

	if (!foreign_door_has_page(spec, plan)) {
		return 0;
	}
	r = add(plan, PLAN_MOUNT_PAGE, "{dir}/" KEEPER_PAGE_DIR, IMAGE_WHY_DIR, PLAN_READ_ONLY,
		0755);
	return r < 0 ? r : native_door_note(plan, NATIVE_DOOR_PAGE_CAVEAT);
}

int foreign_door_compile(
	const struct spec *spec, struct plan *plan, enum foreign_door_program program)
{
	if (program == FOREIGN_DOOR_PAGE) {
		return add_page(spec, plan);
	}
	if (!native_door_is_wanted(spec, plan, NATIVE_DOOR_CAVEAT)) {
		return 0;
	}
	int r = add_program(plan, program);

	r = r < 0 ? r
		  : add(plan, PLAN_MOUNT_DOOR, "{dir}/" KEEPER_DOOR_NAME, IMAGE_WHY_SOCKET,
			    PLAN_READ_ONLY | PLAN_USER, 0600);
	return r < 0 ? r : native_door_note(plan, NATIVE_DOOR_CAVEAT);
}

bool foreign_door_is_in(const struct plan *plan)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (plan->mounts[i].kind == PLAN_MOUNT_DOOR ||
			plan->mounts[i].kind == PLAN_MOUNT_PAGE) {
			return true;
		}
	}
	return false;
}
