/*
 * What failed, in words.
 *
 * A struct err is a plain value that counts only when a function has failed. It owns nothing, so it
 * can be made between clone and exec and sent through a pipe in one write.
 */
#pragma once

struct err {
	int code; /* a positive errno value */
	char msg[508]; /* always terminated; may be cut short */
};

/*
 * Fills err (which may be NULL) with code and a sentence. The sentence says what was being
 * attempted; ": " and the text of code are added. A code of 0 adds nothing and returns -EINVAL.
 *
 * Returns -code, so that a failing function can return it at once.
 */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Like err_set(), but the sentence stands alone: for refusals that are ours and not the kernel's.
 */
int err_refuse(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Puts "<context>: " before the sentence that is in err already. Returns -err->code.
 */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
