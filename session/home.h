/*
 * "~/" at the beginning of a denied path: the home directory of whoever runs us.
 */
#pragma once

/*
 * What text stands for. Without "~/" at its beginning that is itself. Else it is the rest below the
 * home directory of the password file and, if it is another one, below $HOME: a denial rather has one
 * path too many. The caller frees *ret with strv_free(). 0, -ENOENT when there is no home directory,
 * or -ENOMEM.
 */
int home_expand(const char *text, char ***ret);
