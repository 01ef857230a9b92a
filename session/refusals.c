#include "session/refusals.h"

#include <string.h>

#include "base/cleanup.h"
#include "session/config-schema.h"

/* Which of the profile's keys keeps it. */
static const struct {
	const char *what, *key;
} behind[] = {
	{"res.memory", "memory"},
	{"res.pids", "pids"},
	{"res.time", "timeout"},
	{"accept_env", "accept_env"},
	{"home_quota", "home_quota"},
};

void refusals_add(struct refusals *refusals, uint32_t channel, const char *what, uint64_t times,
	const char *text)
{
	struct refusal *last = NULL;

	if (!refusals) {
		return;
	}
	last = refusals->count ? &refusals->list[refusals->count - 1] : NULL;
	if (last && last->channel == channel && strcmp(last->what, what) == 0 &&
		strncmp(last->text, text, sizeof(last->text) - 1) == 0) {
		last->times += times;
		last->at = time(NULL);
		return;
	}
	if (refusals->count == REFUSALS_KEPT) {
		memmove(refusals->list, refusals->list + 1,
			(REFUSALS_KEPT - 1) * sizeof(*refusals->list));
		refusals->count--;
	}
	last = &refusals->list[refusals->count++];
	*last = (struct refusal){.at = time(NULL), .channel = channel, .times = times};
	(void)snprintf(last->what, sizeof(last->what), "%s", what);
	(void)snprintf(last->text, sizeof(last->text), "%s", text);
}

static void print_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		(void)fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, out);
	}
}

static const char *find_key(const char *what)
{
	for (size_t i = 0; i < ARRAY_SIZE(behind); i++) {
		if (strcmp(behind[i].what, what) == 0) {
			return behind[i].key;
		}
	}
	return NULL;
}

static void print_key(const struct config_profile *profile, const char *what, FILE *out)
{
	const char *name = find_key(what);
	const struct config_key *own = name ? config_key_find(config_profile_keys, name) : NULL;

	if (own) {
		(void)fprintf(out, " (profile %s, %s: ", profile->name, name);
		config_key_print(own, profile, out);
		(void)fputc(')', out);
	}
	for (const struct spec_key *key = spec_keys; name && key->name; key++) {
		if (strcmp(key->name, name) == 0 && config_spec_key_is_set(key, &profile->spec)) {
			(void)fprintf(out, " (profile %s, %s: ", profile->name, name);
			config_spec_key_print(key, &profile->spec, out);
			(void)fputc(')', out);
		}
	}
}

static void print_one(
	const struct refusal *refusal, const struct config_profile *profile, FILE *out)
{
	struct tm tm;
	char when[16] = "";

	if (localtime_r(&refusal->at, &tm)) {
		(void)strftime(when, sizeof(when), "%H:%M:%S", &tm);
	}
	(void)fprintf(out, "%s  session %u  %s: ", when, (unsigned)refusal->channel, refusal->what);
	print_text(refusal->text, out);
	print_key(profile, refusal->what, out);
	if (refusal->times > 1) {
		(void)fprintf(out, ", %llu times", (unsigned long long)refusal->times);
	}
	(void)fputc('\n', out);
}

void refusals_print(const struct refusals *refusals, uint32_t channel,
	const struct config_profile *profile, FILE *out)
{
	size_t count = 0;

	for (size_t i = 0; i < refusals->count; i++) {
		if (channel == REFUSALS_ALL || refusals->list[i].channel == channel) {
			print_one(&refusals->list[i], profile, out);
			count++;
		}
	}
	if (count == 0) {
		(void)fprintf(out, "nothing was refused %s\n",
			channel == REFUSALS_ALL ? "on this connection" : "in this session");
	}
	if (channel != REFUSALS_ALL) {
		(void)fprintf(out,
			"Of the whole connection, forwardings too: ssh -s HOST cloche-why, over "
			"the\n"
			"same connection (ControlMaster).\n");
	}
	(void)fprintf(out,
		"Not seen here: what the kernel refuses a program inside (files, system calls,\n"
		"addresses, a full disk); the program is told, as EACCES, EPERM, EROFS,\n"
		"ECONNREFUSED or ENOSPC.\n");
}
