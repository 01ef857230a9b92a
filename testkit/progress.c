#include "testkit/progress.h"

#include <stdio.h>

#include "base/log.h"
#include "testkit/report.h"

static void show(struct progress *progress, const struct run_event *event)
{
	char name[40];

	if (event->probe) {
		progress->answered++;
	} else {
		progress->asked = event->asked;
		progress->answered = 0;
	}
	(void)fprintf(stderr, "\r\033[K%s, %s: %zu of %zu %.32s",
		log_escape(progress->target, name, sizeof(name)),
		event->control ? "control" : "inside", progress->answered, progress->asked,
		event->probe ? event->probe : "");
}

void progress_take(const struct run_event *event, void *context)
{
	struct progress *progress = context;
	const struct options *options = progress->options;

	for (size_t i = 0; i < options->output_count; i++) {
		if (options->outputs[i].format == report_format_find("ndjson")) {
			report_event(event, options->outputs[i].file);
		}
	}
	if (progress->terminal) {
		show(progress, event);
	}
}

void progress_end(const struct progress *progress)
{
	if (progress->terminal) {
		(void)fputs("\r\033[K", stderr);
	}
}
