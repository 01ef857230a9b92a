/*
 * Privileges, devices and the terminal: states that the host reads alone.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "testkit/look.h"

/* Bytes pushed come back from the slave's queue, bytes written from the master. */
static void terminal(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;
	bool seen = arg[0] == 'p' ? memchr(canary->pushed, arg[1], canary->pushed_size) != NULL
				  : memchr(canary->written, arg[1], canary->written_size) != NULL;

	if (look->context->ground->terminal_slave >= 0) {
		look_conclude(look, seen, LEVEL_EVENT);
	}
}

static void caps_state(struct look *look, const char *arg)
{
	static const char *const names[] = {
		"inheritable", "permitted", "effective", "bounding", "ambient"};
	const struct outside *theirs = &look->context->run->outside;
	bool seen = false;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(names) && !seen; i++) {
		seen = theirs->caps[i] != 0;
		if (seen) {
			look_detail(look, "%s %016" PRIx64, names[i], theirs->caps[i]);
		}
	}
	look_conclude(look, seen, LEVEL_STATE);
}

static void nnp_state(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.no_new_privs >= 0) {
		look_conclude(look, !look->context->run->outside.no_new_privs, LEVEL_STATE);
	}
}

static void map_state(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.maps_host_root >= 0) {
		look_conclude(look, look->context->run->outside.maps_host_root, LEVEL_STATE);
	}
}

static void group_state(struct look *look, const char *arg)
{
	(void)arg;
	if (geteuid() == 0 && !look->context->run->outside.elsewhere) {
		look_conclude(look, look->context->run->outside.launcher_group, LEVEL_STATE);
	}
}

static void user_state(struct look *look, const char *arg)
{
	(void)arg;
	look_conclude(look, look->context->run->outside.uid == 0, LEVEL_STATE);
	look_detail(look, "uid %u", look->context->run->outside.uid);
}

static void user_namespace_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	if (theirs->user_namespaces >= 0) {
		look_conclude(look, theirs->user_namespaces > 0, LEVEL_STATE);
		look_detail(look, "user.max_user_namespaces is %" PRId64, theirs->user_namespaces);
	}
}

static void device_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	look_conclude(look, theirs->devices > 0, LEVEL_STATE);
	if (theirs->devices) {
		look_detail(look, "%u: %.100s", theirs->devices, theirs->device_text);
	}
}

static void session_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	if (theirs->elsewhere) {
		return;
	}
	look_conclude(look,
		theirs->session == getsid(0) ||
			(look->context->own->terminal != 0 &&
				theirs->terminal == look->context->own->terminal),
		LEVEL_STATE);
}

static const struct evidence_row rows[] = {
	{"V.namespace", look_shares_namespace, "5"},
	{"V.caps", caps_state, NULL},
	{"V.nnp", nnp_state, NULL},
	{"V.host-root", map_state, NULL},
	{"V.same-user", user_state, NULL},
	{"V.groups", group_state, NULL},
	{"V.user-namespaces", user_namespace_state, NULL},
	{"D.list", device_state, NULL},
	{"D.planted", look_opened, NULL},
	{"D.push", terminal, "p\xa1"},
	{"D.push-high", terminal, "p\xa2"},
	{"D.tty", terminal, "w\xa3"},
	{"D.pts", terminal, "w\xa4"},
	{"D.push-door", look_filter_door, NULL},
	{"D.linux-door", look_filter_door, NULL},
	{"D.session", session_state, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{caps_state, "E3: its capability sets, read from outside", false},
	{nnp_state, "E3: the NoNewPrivs line of its status, read from outside", false},
	{map_state, "E3: its user namespace's map, read from outside", false},
	{user_state, "E3: its user, read from outside", false},
	{group_state, "E3: its groups, read from outside", false},
	{user_namespace_state, "E3: user.max_user_namespaces in its user namespace", false},
	{device_state, "E3: the nodes in its /dev, listed from outside", false},
	{terminal, "E2: bytes came out of the canary terminal", false},
	{session_state, "E3: its session number, read from outside", false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_state = {rows, kinds, NULL};
