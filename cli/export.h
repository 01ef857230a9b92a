/*
 * What `plan --format` prints.
 */
#pragma once

#include "backends/backend.h"
#include "cli/cli.h"

/* CLI_OK when there is a format of this name, else the exit code when all was said. */
int cli_export_check(const char *name);

/*
 * Prints plan in a format that cli_export_check() knows. Where the plan has nothing of the kind it
 * is refused, with the backends whose plan for spec has. Returns the exit code.
 */
int cli_export(const char *name, const struct plan *plan, const struct spec *spec,
	const struct host *host);
