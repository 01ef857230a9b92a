#include "sshd/forward-address.h"

#include <arpa/inet.h>
#include <string.h>

bool forward_read_address(
	const char *number, uint16_t port, union forward_address *ret, socklen_t *ret_size)
{
	*ret = (union forward_address){0};
	if (inet_pton(AF_INET, number, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(port);
		*ret_size = sizeof(ret->v4);
		return true;
	}
	if (inet_pton(AF_INET6, number, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(port);
		*ret_size = sizeof(ret->v6);
		return true;
	}
	return false;
}

bool forward_is_number(const char *host)
{
	union forward_address address;
	socklen_t size = 0;

	return forward_read_address(host, 1, &address, &size);
}

bool forward_is_name(const char *host)
{
	return *host && *host != '-' && *host != '.' && strlen(host) < 254 &&
		!host[strspn(host,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			"0123456789-._")];
}

bool forward_take_address(char *answer, char ret[static INET6_ADDRSTRLEN])
{
	char *line = answer;

	while (*line) {
		size_t length = strcspn(line, "\n");
		size_t word = strcspn(line, " \t\n");
		size_t size = word < INET6_ADDRSTRLEN ? word : 0;
		memcpy(ret, line, size);
		ret[size] = '\0';
		line += length + (line[length] == '\n');
		if (forward_is_number(ret)) {
			memmove(answer, line, strlen(line) + 1);
			return true;
		}
	}
	*answer = '\0';
	return false;
}
