/* cc run.c $(pkg-config --cflags --libs cloche); ./a.out 'id; ls /': without network, to be thrown away. */
#include <cloche.h>
#include <stdlib.h>
#include <sys/wait.h>

static const char what[] =
	"{\"args\": [\"sh\", \"-c\"], \"net\": \"disable\", \"timeout\": \"30s\","
	" \"write\": \"ephemeral\", \"env\": [\"PATH=/usr/bin:/bin\"],"
	" \"readable\": [\"/usr\", \"/bin\", \"/lib\", \"/lib64\"]}";

int main(int argc, char **argv)
{
	const int fds[3] = {0, 1, 2};
	struct cloche_error error = {0, "out of memory"};
	struct cloche_spec *spec = NULL;
	struct cloche_host *host = NULL;
	struct cloche_plan *plan = NULL;
	struct cloche_sandbox *sandbox = NULL;
	int status = 0;

	if (cloche_spec_parse(what, &spec, &error) < 0 ||
		cloche_spec_add_argument(spec, argc > 1 ? argv[1] : "id") < 0 ||
		cloche_host_new(&host, &error) < 0 ||
		cloche_plan_new(spec, host, &plan, &error) < 0) {
		(void)fprintf(stderr, "refused: %s\n", error.message);
		return 125;
	}
	cloche_plan_print(plan, stdout);
	(void)fflush(stdout);
	if (cloche_start(plan, host, fds, &sandbox, &error) < 0) {
		(void)fprintf(stderr, "not started: %s\n", error.message);
		return 125;
	}
	int r = cloche_wait(sandbox, -1, &status);
	cloche_sandbox_free(sandbox);
	cloche_plan_free(plan);
	cloche_host_free(host);
	cloche_spec_free(spec);
	return r == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}
