#include "backends/linux/netd/address.h"

#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A decimal number up to max, without leading zeros; how many bytes it took, or 0. */
static size_t take_number(const char *text, size_t length, unsigned max, unsigned *ret)
{
	size_t n = 0;
	unsigned value = 0;

	while (n < length && is_digit(text[n]) && n < 6) {
		value = value * 10 + (unsigned)(text[n++] - '0');
	}
	if (n == 0 || (n > 1 && text[0] == '0') || value > max) {
		return 0;
	}
	*ret = value;
	return n;
}

static bool parse4(const char *text, size_t length, struct address *ret)
{
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		unsigned value = 0;
		size_t n = take_number(text + at, length - at, 255, &value);
		if (n == 0) {
			return false;
		}
		ret->bytes[i] = (uint8_t)value;
		at += n;
		if (i < 3 && (at >= length || text[at++] != '.')) {
			return false;
		}
	}
	ret->family = 4;
	return at == length;
}

static int hex_digit(char c)
{
	if (is_digit(c)) {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One group of up to four hexadecimal digits; how many bytes it took, or 0. */
static size_t take_group(const char *text, size_t length, uint8_t out[2])
{
	unsigned value = 0;
	size_t n = 0;

	while (n < length && n < 4 && hex_digit(text[n]) >= 0) {
		value = value << 4 | (unsigned)hex_digit(text[n++]);
	}
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
	return n;
}

/* Groups up to "::" or the end, into out; the number of bytes written, or -1. */
static int take_groups(const char *text, size_t length, size_t *at, uint8_t out[16])
{
	int used = 0;

	while (*at < length && text[*at] != ':') {
		size_t n = used < 16 ? take_group(text + *at, length - *at, out + used) : 0;
		if (n == 0) {
			return -1;
		}
		used += 2;
		*at += n;
		if (*at == length) {
			break;
		}
		if (text[*at] != ':' || *at + 1 >= length) {
			return -1;
		}
		/* A single colon is followed by a group; of a double one the first is left. */
		if (text[*at + 1] == ':') {
			break;
		}
		*at += 1;
	}
	return used;
}

static bool parse6(const char *text, size_t length, struct address *ret)
{
	uint8_t head[16] = {0};
	uint8_t tail[16] = {0};
	size_t at = 0;
	int after = 0;
	int before = take_groups(text, length, &at, head);

	if (before < 0) {
		return false;
	}
	if (at < length) {
		if (length - at < 2 || text[at] != ':' || text[at + 1] != ':') {
			return false;
		}
		at += 2;
		after = take_groups(text, length, &at, tail);
		if (after < 0 || at != length || before + after > 14) {
			return false;
		}
	} else if (before != 16) {
		return false;
	}
	memset(ret->bytes, 0, sizeof(ret->bytes));
	memcpy(ret->bytes, head, (size_t)before);
	memcpy(ret->bytes + 16 - after, tail, (size_t)after);
	ret->family = 6;
	return true;
}

bool address_parse(const char *text, size_t length, struct address *ret)
{
	struct address address = {0};

	if (length == 0 || length > 45 ||
		(!parse4(text, length, &address) && !parse6(text, length, &address))) {
		return false;
	}
	*ret = address;
	return true;
}

bool address_is_within(const struct address *address, const struct address *network, unsigned bits)
{
	if (address->family != network->family) {
		return false;
	}
	for (unsigned i = 0; i < bits; i++) {
		uint8_t bit = (uint8_t)(0x80 >> i % 8);
		if ((address->bytes[i / 8] ^ network->bytes[i / 8]) & bit) {
			return false;
		}
	}
	return true;
}

bool address_is_denied(const struct address *address)
{
	/* The rules of native-net.c hold the same list for the kernel; a test compares them. */
	static const struct {
		uint8_t bytes[4];
		uint8_t bits;
	} denied4[] = {
		{{0}, 8},
		{{10}, 8},
		{{100, 64}, 10},
		{{127}, 8},
		{{169, 254}, 16},
		{{172, 16}, 12},
		{{192, 0, 0}, 24},
		{{192, 168}, 16},
		{{224}, 4},
		{{240}, 4},
	};
	/* Global unicast that wraps IPv4: Teredo, 6to4. NAT64 and mapped forms are outside 2000::/3. */
	static const struct address global = {.family = 6, .bytes = {0x20}};
	static const struct address teredo = {.family = 6, .bytes = {0x20, 0x01}};
	static const struct address six_to_four = {.family = 6, .bytes = {0x20, 0x02}};

	for (size_t i = 0; i < sizeof(denied4) / sizeof(denied4[0]); i++) {
		struct address network = {.family = 4};
		memcpy(network.bytes, denied4[i].bytes, 4);
		if (address_is_within(address, &network, denied4[i].bits)) {
			return true;
		}
	}
	return address->family != 4 &&
		(!address_is_within(address, &global, 3) ||
			address_is_within(address, &teredo, 32) ||
			address_is_within(address, &six_to_four, 16));
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One label from text up to a dot or the end, lower-cased into out; its length, or 0. */
static size_t take_label(const char *text, size_t length, char *out)
{
	size_t n = 0;

	for (; n < length && text[n] != '.'; n++) {
		if (n == 63 || !(is_letter(text[n]) || is_digit(text[n]) || text[n] == '-')) {
			return 0;
		}
		out[n] = (char)(is_letter(text[n]) ? text[n] | 0x20 : text[n]);
	}
	return n > 0 && out[0] != '-' && out[n - 1] != '-' ? n : 0;
}

bool name_parse(const char *text, size_t length, char out[NAME_SIZE])
{
	size_t at = 0;
	size_t label = 0;

	if (length > 0 && text[length - 1] == '.') {
		length--;
	}
	if (length == 0 || length > 253) {
		return false;
	}
	while (at < length) {
		size_t n = take_label(text + at, length - at, out + at);
		if (n == 0) {
			return false;
		}
		label = at;
		at += n;
		if (at < length) {
			out[at++] = '.';
			if (at == length) {
				return false; /* two dots at the end */
			}
		}
	}
	out[length] = '\0';
	return is_letter(out[label]);
}

bool name_is_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool name_is_below(const char *name, const char *parent)
{
	size_t length = strlen(name);
	size_t tail = strlen(parent);

	return length > tail + 1 && name[length - tail - 1] == '.' &&
		name_is_equal(name + length - tail, parent);
}

uint16_t port_parse(const char *text, size_t length)
{
	unsigned value = 0;

	return take_number(text, length, 65535, &value) == length && length > 0 ? (uint16_t)value
										: 0;
}
