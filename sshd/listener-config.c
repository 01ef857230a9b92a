#include "sshd/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "cloche-config.h"

static const char usual_path[] = CLOCHE_SYSCONFDIR "/cloche.yaml";

const char *listener_config_path(const struct options *options)
{
	if (options->config) {
		return strcmp(options->config, "none") == 0 ? NULL : options->config;
	}
	return access(usual_path, F_OK) == 0 ? usual_path : NULL;
}

/* -p: the port of every configured address is replaced; several -p give each address each port. */
static int replace_ports(struct config *config, char *const *ports)
{
	cleanup(strv_freep) char **list = NULL;

	STRV_FOREACH (address, config->listen) {
		for (char *const *port = ports; *port; port++) {
			const char *colon = strrchr(*address, ':');
			int host = colon ? (int)(colon - *address) : (int)strlen(*address);
			cleanup_free char *text = NULL;
			if (asprintf(&text, "%.*s:%s", host, *address, *port) < 0) {
				text = NULL;
				return -ENOMEM;
			}
			if (!strv_contains(list, text) && strv_append(&list, text) < 0) {
				return -ENOMEM;
			}
		}
	}
	strv_free(config->listen);
	config->listen = take_ptr(&list);
	return 0;
}

static int apply_options(const struct options *options, FILE *out, struct config *config)
{
	struct err err = {0};

	STRV_FOREACH (assignment, options->overrides) {
		int r = config_override(config, *assignment, &err);
		if (r < 0) {
			(void)fprintf(out, "-o %s: %s\n", *assignment, err.msg);
			return r;
		}
	}
	if (options->host_keys) {
		strv_free(config->host_keys);
		config->host_keys = NULL;
		int r = strv_copy(options->host_keys, &config->host_keys);
		if (r < 0) {
			return r;
		}
	}
	return options->ports ? replace_ports(config, options->ports) : 0;
}

int listener_load(const struct options *options, FILE *out, struct config *ret)
{
	struct config config = {0};
	int r = config_load(listener_config_path(options), out, &config);

	if (r < 0) {
		return r;
	}
	r = apply_options(options, out, &config);
	if (r < 0) {
		config_fini(&config);
		return r;
	}
	*ret = config;
	return 0;
}
