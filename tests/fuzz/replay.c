/*
 * Feeds every file of the directories named on the command line to a fuzz target, then each file
 * again cut short at every length and with each of its first bytes changed: what a fuzzer would try first.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_input(const char *data, size_t size)
{
	/* Its own allocation, so that a sanitizer sees a read past the end. */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy) {
		abort();
	}
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void try_variants(char *data, size_t size)
{
	size_t limit = size < 2048 ? size : 2048;

	try_input(data, size);
	for (size_t i = 0; i < limit; i++) {
		char kept = data[i];
		try_input(data, i);
		data[i] = (char)(kept ^ 0x80);
		try_input(data, size);
		data[i] = (char)(kept + 1);
		try_input(data, size);
		data[i] = kept;
	}
}

static size_t try_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry = NULL;
	size_t count = 0;

	if (!directory) {
		perror(path);
		exit(1);
	}
	while ((entry = readdir(directory))) {
		cleanup_free char *data = NULL;
		size_t size = 0;
		if (entry->d_name[0] == '.' ||
			io_read_file(dirfd(directory), entry->d_name, 1 << 20, &data, &size) < 0) {
			continue;
		}
		try_variants(data, size);
		count++;
	}
	(void)closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++) {
		count += try_directory(argv[i]);
	}
	printf("%zu corpus files replayed\n", count);
	return count > 0 ? 0 : 1; /* an empty corpus is a test that cannot fail */
}
