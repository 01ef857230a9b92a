/*
 * libyaml gives events; the tree is ours, because libyaml's own has lost the anchors and tags that
 * are to be refused. Reading goes on after whatever does not confuse the structure, so that one run
 * finds all mistakes; a mistake in the syntax itself ends it, and then there is no tree, because half a
 * tree would only give complaints about what is missing.
 */
#include "session/document.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <yaml.h>

#include "base/parse.h"

struct node *node_free(struct node *node)
{
	if (node) {
		for (size_t i = 0; i < node->count; i++) {
			(void)node_free(node->items[i]);
		}
		free(node->items);
		free(node->text);
		free(node);
	}
	return NULL;
}

struct parsing {
	yaml_parser_t parser;
	struct report *report;
	size_t nodes;
};

/* Negative results of the readers below: -ENOMEM, or this: the syntax is lost, stop. */
#define STOP (-EINVAL)

static struct place place_of(yaml_mark_t mark)
{
	return (struct place){mark.line, mark.column};
}

static int complain_syntax(struct parsing *parsing)
{
	const yaml_parser_t *parser = &parsing->parser;
	struct place place = place_of(parser->problem_mark);
	const char *problem = parser->problem ? parser->problem : "not YAML";

	if (parser->error == YAML_MEMORY_ERROR) {
		return -ENOMEM;
	}
	if (parser->error == YAML_READER_ERROR) {
		place = report_place_of(parsing->report, parser->problem_offset);
	}
	if (strstr(problem, "cannot start any token")) {
		problem =
			"a character that cannot stand here; text that begins so needs quotes, and "
			"lines are indented with blanks, not tabs";
	}
	report_add(parsing->report, place, (struct place){place.line, place.column + 1}, "%s%s%s%s",
		problem, parser->context ? " (" : "", parser->context ? parser->context : "",
		parser->context ? ")" : "");
	return STOP;
}

static int next_event(struct parsing *parsing, yaml_event_t *event)
{
	return yaml_parser_parse(&parsing->parser, event) ? 0 : complain_syntax(parsing);
}

/* A node, counted; NULL with *ret_error. */
static struct node *make_node(
	struct parsing *parsing, enum node_kind kind, const yaml_event_t *event, int *ret_error)
{
	struct node *node = NULL;

	if (++parsing->nodes > DOCUMENT_MAX_NODES) {
		struct place place = place_of(event->start_mark);
		report_add(parsing->report, place, place, "more than %d keys and values",
			DOCUMENT_MAX_NODES);
		*ret_error = STOP;
		return NULL;
	}
	node = calloc(1, sizeof(*node));
	if (!node) {
		*ret_error = -ENOMEM;
		return NULL;
	}
	node->kind = kind;
	node->start = place_of(event->start_mark);
	node->end = place_of(event->end_mark);
	return node;
}

/* Appends item, which is consumed. */
static int append(struct node *node, struct node *item)
{
	/* Room grows by doubling: it is full whenever the count is a power of two. */
	if ((node->count & (node->count - 1)) == 0) {
		size_t room = node->count ? 2 * node->count : 1;
		struct node **grown = reallocarray(node->items, room, sizeof(struct node *));
		if (!grown) {
			(void)node_free(item);
			return -ENOMEM;
		}
		node->items = grown;
	}
	node->items[node->count++] = item;
	return 0;
}

static void refuse_extras(struct parsing *parsing, const yaml_event_t *event,
	const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor) {
		report_add(parsing->report, place_of(event->start_mark), place_of(event->end_mark),
			"anchors (&%s) are not accepted here", (const char *)anchor);
	}
	if (tag) {
		report_add(parsing->report, place_of(event->start_mark), place_of(event->end_mark),
			"tags (%s) are not accepted here", (const char *)tag);
	}
}

static int read_scalar(struct parsing *parsing, const yaml_event_t *event, struct node **ret)
{
	const char *text = (const char *)event->data.scalar.value;
	int r = 0;
	cleanup(node_freep) struct node *node = make_node(parsing, NODE_SCALAR, event, &r);

	if (!node) {
		return r;
	}
	refuse_extras(parsing, event, event->data.scalar.anchor, event->data.scalar.tag);
	if (strlen(text) != event->data.scalar.length) {
		report_add(parsing->report, node->start, node->end, "a NUL byte in a text");
	}
	node->text = strdup(text);
	if (!node->text) {
		return -ENOMEM;
	}
	node->empty = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && *text == '\0';
	*ret = take_ptr(&node);
	return 0;
}

static int read_node(
	struct parsing *parsing, const yaml_event_t *event, unsigned depth, struct node **ret);

/* Reads the parts of a list or map up to its end. */
static int read_items(
	struct parsing *parsing, yaml_event_type_t last, unsigned depth, struct node *node)
{
	for (;;) {
		yaml_event_t event;
		struct node *item = NULL;
		int r = next_event(parsing, &event);

		if (r < 0) {
			return r;
		}
		if (event.type == last) {
			yaml_event_delete(&event);
			return 0;
		}
		r = read_node(parsing, &event, depth + 1, &item);
		yaml_event_delete(&event);
		r = r < 0 ? r : append(node, item);
		if (r < 0) {
			return r;
		}
	}
}

static int compare_keys(const void *a, const void *b)
{
	const struct node *one = *(struct node *const *)a;
	const struct node *two = *(struct node *const *)b;
	int order = strcmp(one->text, two->text);

	if (order != 0) {
		return order;
	}
	if (one->start.line != two->start.line) {
		return one->start.line < two->start.line ? -1 : 1;
	}
	return (one->start.column > two->start.column) - (one->start.column < two->start.column);
}

/* Complains about keys that are there twice. Sorted first, so that many keys cost little. */
static int check_duplicates(struct parsing *parsing, const struct node *map)
{
	size_t count = map->count / 2;
	cleanup_free const struct node **keys = calloc(count ? count : 1, sizeof(*keys));

	if (!keys) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		keys[i] = map->items[2 * i];
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(keys[i - 1]->text, keys[i]->text) == 0) {
			report_add(parsing->report, keys[i]->start, keys[i]->end,
				"the key \"%s\" is here twice; it was on line %zu before",
				keys[i]->text, keys[i - 1]->start.line + 1);
		}
	}
	return 0;
}

/* Makes sure that all keys are texts, taking out those that are not. */
static int check_keys(struct parsing *parsing, struct node *map)
{
	size_t kept = 0;

	for (size_t i = 0; i + 1 < map->count; i += 2) {
		struct node *key = map->items[i];
		if (key->kind == NODE_SCALAR && !key->empty) {
			map->items[kept] = key;
			map->items[kept + 1] = map->items[i + 1];
			kept += 2;
			continue;
		}
		if (key->kind != NODE_BAD) {
			report_add(parsing->report, key->start, key->end, "a key is a word");
		}
		(void)node_free(key);
		(void)node_free(map->items[i + 1]);
	}
	map->count = kept;
	return check_duplicates(parsing, map);
}

static int read_collection(
	struct parsing *parsing, const yaml_event_t *event, unsigned depth, struct node **ret)
{
	bool list = event->type == YAML_SEQUENCE_START_EVENT;
	int r = 0;
	cleanup(node_freep) struct node *node =
		make_node(parsing, list ? NODE_LIST : NODE_MAP, event, &r);

	if (!node) {
		return r;
	}
	if (list) {
		refuse_extras(parsing, event, event->data.sequence_start.anchor,
			event->data.sequence_start.tag);
	} else {
		refuse_extras(parsing, event, event->data.mapping_start.anchor,
			event->data.mapping_start.tag);
	}
	if (depth > DOCUMENT_MAX_DEPTH) {
		report_add(parsing->report, node->start, node->end, "nested deeper than %d levels",
			DOCUMENT_MAX_DEPTH);
		return STOP;
	}
	r = read_items(
		parsing, list ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT, depth, node);
	r = r < 0 || list ? r : check_keys(parsing, node);
	if (r == 0) {
		*ret = take_ptr(&node);
	}
	return r;
}

static int read_alias(struct parsing *parsing, const yaml_event_t *event, struct node **ret)
{
	int r = 0;
	struct node *node = make_node(parsing, NODE_BAD, event, &r);

	if (node) {
		report_add(parsing->report, node->start, node->end,
			"aliases (*%s) are not accepted here",
			(const char *)event->data.alias.anchor);
		*ret = node;
	}
	return r;
}

/* Reads what event begins. */
static int read_node(
	struct parsing *parsing, const yaml_event_t *event, unsigned depth, struct node **ret)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(parsing, event, ret);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return read_collection(parsing, event, depth, ret);
	case YAML_ALIAS_EVENT:
		return read_alias(parsing, event, ret);
	default:
		break;
	}
	return STOP;
}

/* Reads the events up to and with one of this type; anything else is passed over with a complaint. */
static int expect(struct parsing *parsing, yaml_event_type_t type, const char *otherwise)
{
	yaml_event_t event;
	int r = next_event(parsing, &event);

	if (r == 0 && event.type != type) {
		report_add(parsing->report, place_of(event.start_mark), place_of(event.end_mark),
			"%s", otherwise);
		r = STOP;
	}
	if (r == 0 && type == YAML_DOCUMENT_START_EVENT &&
		event.data.document_start.tag_directives.start !=
			event.data.document_start.tag_directives.end) {
		report_add(parsing->report, place_of(event.start_mark), place_of(event.end_mark),
			"tags are not accepted here");
	}
	yaml_event_delete(&event);
	return r;
}

static int read_document(struct parsing *parsing, struct node **ret_root)
{
	yaml_event_t event;
	int r = expect(parsing, YAML_STREAM_START_EVENT, "not YAML");

	r = r < 0 ? r : expect(parsing, YAML_DOCUMENT_START_EVENT, "there is nothing in this file");
	r = r < 0 ? r : next_event(parsing, &event);
	if (r < 0) {
		return r;
	}
	r = read_node(parsing, &event, 1, ret_root);
	yaml_event_delete(&event);
	r = r < 0 ? r : expect(parsing, YAML_DOCUMENT_END_EVENT, "not YAML");
	return r < 0 ? r : expect(parsing, YAML_STREAM_END_EVENT, "a second document begins here");
}

/* Only UTF-8, which libyaml would else guess at, and no file larger than is reasonable. */
static bool check_text(struct report *report)
{
	if (report->size > DOCUMENT_MAX_SIZE) {
		report_add(report, (struct place){0, 0}, (struct place){0, 0},
			"the file is larger than %d bytes", DOCUMENT_MAX_SIZE);
		return false;
	}
	for (size_t at = 0; at < report->size;) {
		size_t length = parse_utf8_length(report->text + at);
		if (length == 0 || report->text[at] == '\0') {
			struct place place = report_place_of(report, at);
			report_add(report, place, place, "byte 0x%02x is not UTF-8 text",
				(unsigned)(unsigned char)report->text[at]);
			return false;
		}
		at += length;
	}
	return true;
}

int document_parse(struct report *report, struct node **ret_root)
{
	struct parsing parsing = {.report = report};
	struct node *root = NULL;
	int r = 0;

	if (!check_text(report)) {
		*ret_root = NULL;
		return 0;
	}
	if (!yaml_parser_initialize(&parsing.parser)) {
		return -ENOMEM;
	}
	yaml_parser_set_encoding(&parsing.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
		&parsing.parser, (const unsigned char *)report->text, report->size);
	r = read_document(&parsing, &root);
	yaml_parser_delete(&parsing.parser);
	if (r < 0) {
		root = node_free(root);
	}
	*ret_root = root;
	return r == -ENOMEM ? r : 0;
}

/* ---- and back ---- */

static bool is_plain(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+";

	/* Not what begins like a sign of YAML's. */
	return *text && text[strspn(text, plain)] == '\0' && *text != '-' && *text != '.' &&
		*text != '+';
}

static uint32_t character_of(const char *text, size_t length)
{
	static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t value = (uint8_t)text[0] & masks[length];

	for (size_t i = 1; i < length; i++) {
		value = value << 6 | ((uint8_t)text[i] & 0x3f);
	}
	return value;
}

/* Characters that YAML may not see raw, or that a reader could not see, are written by number. */
static bool is_printable(uint32_t character)
{
	return (character >= 0x20 && character < 0x7f) ||
		(character >= 0xa1 && character < 0x2000) ||
		(character >= 0x3000 && character < 0xd800);
}

void document_print_text(const char *text, FILE *out)
{
	if (is_plain(text)) {
		(void)fputs(text, out);
		return;
	}
	(void)fputc('"', out);
	while (*text) {
		size_t length = parse_utf8_length(text);
		uint32_t character =
			length ? character_of(text, length) : (uint32_t)(unsigned char)*text;
		if (character == '"' || character == '\\') {
			(void)fprintf(out, "\\%c", (int)character);
		} else if (character == '\n') {
			(void)fputs("\\n", out);
		} else if (is_printable(character)) {
			(void)fwrite(text, 1, length, out);
		} else if (character > 0xffff) {
			(void)fprintf(out, "\\U%08x", character);
		} else {
			(void)fprintf(out, "\\u%04x", character);
		}
		text += length ? length : 1;
	}
	(void)fputc('"', out);
}
