/*
 * Ownership visible at the declaration.
 *
 * A local that owns something starts empty and says how it is let go:
 *
 *	cleanup_close int fd = -1;
 *	cleanup_free char *text = NULL;
 *	cleanup(plan_freep) struct plan *plan = NULL;
 *
 * and is handed on with take_fd(&fd) or take_ptr(&text).
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(function) __attribute__((cleanup(function)))

static inline void close_fdp(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		(void)close(*fd);
		errno = saved;
		*fd = -1;
	}
}

static inline void free_ptrp(void *ptr)
{
	free(*(void **)ptr);
	*(void **)ptr = NULL;
}

static inline void fclose_ptrp(FILE **file)
{
	if (*file) {
		(void)fclose(*file);
		*file = NULL;
	}
}

#define cleanup_close cleanup(close_fdp)
#define cleanup_free cleanup(free_ptrp)
#define cleanup_fclose cleanup(fclose_ptrp)

/* Gives the descriptor away: returns it and leaves -1 behind. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* Gives the pointer away: yields it and leaves NULL behind. */
#define take_ptr(ptr)                                                                              \
	__extension__({                                                                            \
		__typeof__(*(ptr)) taken_ = *(ptr);                                                \
		*(ptr) = NULL;                                                                     \
		taken_;                                                                            \
	})

/* Defines <function>p for use with cleanup(): frees *ptr, accepts NULL. */
#define DEFINE_CLEANUP(type, function)                                                             \
	static inline void function##p(type *ptr)                                                  \
	{                                                                                          \
		if (*ptr) {                                                                        \
			(void)function(*ptr);                                                      \
			*ptr = NULL;                                                               \
		}                                                                                  \
	}                                                                                          \
	static inline void function##p(type *ptr)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
