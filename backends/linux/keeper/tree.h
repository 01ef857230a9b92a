/* Removing a tool's directory, whatever the tool left in it. */
#pragma once

/*
 * Removes what is in the open directory fd, and then the directory path itself. No symbolic link is
 * followed and no mount is entered. 0 or negative errno.
 */
int tree_remove(int fd, const char *path);
