#include "session/ahead.h"

void session_prepare(const struct session_context *context)
{
	const struct backend *backend = context->gate->backend;

	/* One that is chosen for each session is not known yet. */
	if (backend && backend->begin) {
		backend->begin();
	}
	if (backend && backend->prepare && context->login.profile) {
		backend->prepare(&context->login.profile->spec, context->host, 0);
	}
}

void session_forget(const struct session_context *context)
{
	/* Before the login there is no gate. */
	const struct backend *backend = context->gate ? context->gate->backend : NULL;

	if (backend && backend->forget) {
		backend->forget();
	}
}
