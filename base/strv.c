#include "base/strv.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t strv_length(char *const *list)
{
	size_t count = 0;

	while (list && list[count]) {
		count++;
	}
	return count;
}

int strv_consume(char ***list, char *text)
{
	size_t count = strv_length(*list);
	char **grown = NULL;

	if (!text) {
		return -ENOMEM;
	}
	grown = reallocarray(*list, count + 2, sizeof(char *));
	if (!grown) {
		free(text);
		return -ENOMEM;
	}
	grown[count] = text;
	grown[count + 1] = NULL;
	*list = grown;
	return 0;
}

int strv_append(char ***list, const char *text)
{
	return strv_consume(list, strdup(text));
}

int strv_appendf(char ***list, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
	}
	va_end(args);
	return strv_consume(list, text);
}

int strv_copy(char *const *list, char ***ret)
{
	cleanup(strv_freep) char **copy = NULL;

	for (size_t i = 0; list && list[i]; i++) {
		int r = strv_append(&copy, list[i]);
		if (r < 0) {
			return r;
		}
	}
	*ret = take_ptr(&copy);
	return 0;
}

bool strv_contains(char *const *list, const char *text)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (strcmp(list[i], text) == 0) {
			return true;
		}
	}
	return false;
}

bool strv_matches(char *const *list, const char *text)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (fnmatch(list[i], text, 0) == 0) {
			return true;
		}
	}
	return false;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **list)
{
	if (list) {
		qsort(list, strv_length(list), sizeof(char *), compare_strings);
	}
}

char *strv_join(char *const *list, const char *separator)
{
	size_t size = 1;
	char *joined = NULL;
	char *end = NULL;

	for (size_t i = 0; list && list[i]; i++) {
		size += strlen(list[i]) + strlen(separator);
	}
	joined = end = malloc(size);
	if (!joined) {
		return NULL;
	}
	*end = '\0';
	for (size_t i = 0; list && list[i]; i++) {
		end = stpcpy(end, i ? separator : "");
		end = stpcpy(end, list[i]);
	}
	return joined;
}

char **strv_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++) {
		free(list[i]);
	}
	free(list);
	return NULL;
}

static char **find_variable(char *const *list, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; list && list[i]; i++) {
		if (strncmp(list[i], name, length) == 0 && list[i][length] == '=') {
			return (char **)(size_t)&list[i];
		}
	}
	return NULL;
}

const char *strv_getenv(char *const *list, const char *name)
{
	char **found = find_variable(list, name);

	return found ? *found + strlen(name) + 1 : NULL;
}

int strv_setenv(char ***list, const char *name, const char *value)
{
	char **found = find_variable(*list, name);
	char *text = NULL;

	if (asprintf(&text, "%s=%s", name, value) < 0) {
		return -ENOMEM;
	}
	if (!found) {
		return strv_consume(list, text);
	}
	free(*found);
	*found = text;
	return 0;
}
