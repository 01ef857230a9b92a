/*
 * A rule of egress: accepted or refused with a reason, and one that is accepted permits what it says.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backends/linux/netd/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rule rule;
	char name[NAME_SIZE];
	char *text = malloc(size + 1);
	const char *problem = NULL;

	if (!text) {
		return 0;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	problem = rule_parse(text, &rule);
	if (problem) {
		assert(*problem);
	} else if (rule.kind == RULE_NETWORK) {
		assert(rule.bits <= (rule.network.family == 4 ? 32 : 128));
		assert(rules_permit_address(&rule, 1, &rule.network, rule.port ? rule.port : 1));
		assert(!rules_permit_name(&rule, 1, "a.example", rule.port ? rule.port : 1));
	} else {
		assert(rule.kind == RULE_NAME || rule.kind == RULE_SUBDOMAINS);
		assert(name_parse(rule.name, strlen(rule.name), name) &&
			name_is_equal(name, rule.name));
		assert(rules_permit_name(&rule, 1, rule.name, rule.port ? rule.port : 1) ==
			(rule.kind == RULE_NAME));
	}
	free(text);
	return 0;
}
