/* Four threads with objects of their own, and one host that they share, start sandboxes at once. */
#include <cloche.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#define THREADS 4
#define ROUNDS 5

static struct cloche_host *host;

/* Runs "exit number" and says whether that came back. */
static bool run(int number)
{
	const int fds[3] = {-1, -1, -1};
	struct cloche_error error = {0, ""};
	struct cloche_spec *spec = NULL;
	struct cloche_plan *plan = NULL;
	struct cloche_sandbox *sandbox = NULL;
	char json[160];
	int status = -1;

	(void)snprintf(json, sizeof(json),
		"{\"args\":[\"sh\",\"-c\",\"exit %d\"],\"env\":[\"PATH=/usr/bin:/bin\"]}", number);
	int r = cloche_spec_parse(json, &spec, &error);
	r = r < 0 ? r : cloche_plan_new(spec, host, &plan, &error);
	r = r < 0 ? r : cloche_start(plan, host, fds, &sandbox, &error);
	r = r < 0 ? r : cloche_wait(sandbox, 30000, &status);
	if (r < 0) {
		(void)fprintf(stderr, "%d: %d %s\n", number, r, error.message);
	}
	cloche_sandbox_free(sandbox);
	cloche_plan_free(plan);
	cloche_spec_free(spec);
	return r == 0 && WIFEXITED(status) && WEXITSTATUS(status) == number;
}

static void *work(void *argument)
{
	int first = (int)(intptr_t)argument;

	for (int i = 0; i < ROUNDS; i++) {
		if (!run(first + i)) {
			return "failed";
		}
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	void *result = NULL;
	int failed = 0;

	if (cloche_host_new(&host, NULL) < 0) {
		return 1;
	}
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)(10 * i)) != 0) {
			return 1;
		}
	}
	for (int i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], &result);
		failed += result != NULL;
	}
	cloche_host_free(host);
	return failed ? 1 : 0;
}
