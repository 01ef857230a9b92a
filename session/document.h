/*
 * YAML read strictly into a tree: one document; no tags, anchors, aliases or duplicate keys; bounded
 * in size, depth and number of parts. Scalars are text; what they mean is the schema's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "session/report.h"

#define DOCUMENT_MAX_SIZE (1 << 20) /* bytes */
#define DOCUMENT_MAX_DEPTH 8
#define DOCUMENT_MAX_NODES 65536

enum node_kind {
	NODE_BAD, /* complained about already; to be passed over */
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP,
};

struct node {
	enum node_kind kind;
	struct place start, end;
	char *text; /* of a scalar */
	bool empty; /* a scalar that was not written at all, as in "key:" */
	struct node **items; /* of a list; of a map: key, value, key, value; keys are scalars */
	size_t count; /* of items: twice the number of keys in a map */
};

struct node *node_free(struct node *node); /* with all below; accepts NULL; returns NULL */
DEFINE_CLEANUP(struct node *, node_free);

/*
 * Reads report->text, which has a NUL behind its end. Mistakes go to report; *ret_root is the tree
 * without them, or NULL where the syntax is lost. The caller frees it. 0 or -ENOMEM.
 */
int document_parse(struct report *report, struct node **ret_root);

/* Writes a text as a scalar on one line that is read back as the same text. */
void document_print_text(const char *text, FILE *out);
