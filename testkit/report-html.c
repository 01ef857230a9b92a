/*
 * One file for people: it fetches nothing, and its Content-Security-Policy lets nothing run but the
 * script below, by its hash. Whatever came from outside goes through report_put_xml() and stands only
 * in text and in quoted attributes. Without the script everything is shown; it only hides rows.
 */
#include <sodium.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "cloche-config.h"
#include "testkit/evidence.h"
#include "testkit/report.h"

static const char style[] =
	":root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--fg:#1d2126;--dim:#5d6670;"
	"--line:#dcdfe3;--good:#116b3a;--goodbg:#e2f3e8;--bad:#a3161d;--badbg:#fbe3e3;"
	"--warn:#7a4d00;--warnbg:#fbefd3;--wall:#39424d}"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--fg:#e4e7ea;"
	"--dim:#9aa4ae;--line:#343a41;--good:#7fd6a0;--goodbg:#173425;--bad:#ff9a94;"
	"--badbg:#451c1d;--warn:#efc36c;--warnbg:#3b2d10;--wall:#8f9aa6}}"
	"*{box-sizing:border-box}"
	"body{margin:0 auto;max-width:76rem;padding:1.5rem;background:var(--bg);color:var(--fg);"
	"font:15px/1.5 system-ui,sans-serif}"
	"h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .7rem}"
	"code,.id{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}"
	".dim{color:var(--dim)}.cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}"
	".card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;"
	"padding:.6rem 1rem;min-width:9rem}.card b{display:block;font-size:1.7rem;line-height:1.2}"
	"table{border-collapse:collapse;width:100%;background:var(--card);"
	"border:1px solid var(--line)}"
	"th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;"
	"border-bottom:1px solid var(--line);overflow-wrap:anywhere}"
	"thead th{font-size:.85rem;color:var(--dim)}tbody th{font-weight:600}th "
	".dim{font-weight:400}"
	".group th{background:var(--bg);text-transform:capitalize}"
	".v{display:inline-block;border-radius:.3rem;padding:0 .4rem;white-space:nowrap;"
	"font-size:.85rem;border:1px solid var(--line);overflow-wrap:normal}"
	".good{color:var(--good);background:var(--goodbg);border-color:transparent}"
	".bad{color:var(--bad);background:var(--badbg);border-color:transparent;font-weight:600}"
	".warn{color:var(--warn);background:var(--warnbg);border-color:transparent}"
	"summary{cursor:pointer}dl{margin:.4rem 0 .2rem;display:grid;"
	"grid-template-columns:6.5rem 1fr;gap:.1rem .6rem;font-size:.9rem}"
	"dt{color:var(--dim)}dd{margin:0}"
	"#f{margin:.5rem 0}#f[hidden]{display:none}"
	"#q{font:inherit;width:22rem;max-width:100%;padding:.3rem .5rem;color:inherit;"
	"background:var(--card);border:1px solid var(--line);border-radius:.3rem}"
	"figure{margin:0;overflow-x:auto;background:var(--card);border:1px solid var(--line);"
	"padding:.8rem}figcaption{color:var(--dim);font-size:.9rem}"
	"svg{display:block;margin:auto;width:100%;max-width:46rem;height:auto}"
	"svg text{fill:var(--fg);font-size:12px}"
	/* A telephone: what a probe is goes above its columns, and its evidence has the whole width. */
	"@media(max-width:40rem){body{padding:1rem}svg text{font-size:16px}"
	"table{display:block}thead,tbody{display:block}"
	"thead{position:sticky;top:0;background:var(--card);border-bottom:1px solid var(--line)}"
	"tr{display:flex;flex-wrap:wrap}tbody tr{border-bottom:1px solid var(--line)}"
	"tr[hidden],tbody[hidden]{display:none}"
	"th,td{border:0;flex:1 1 0;min-width:0}tr>:first-child{flex:1 0 100%}"
	"dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}"
	"svg .dim{fill:var(--dim)}svg .wall{fill:var(--wall)}svg .shut{fill:var(--good)}"
	"svg .free{fill:var(--warn)}svg .open{fill:var(--bad)}svg "
	".vague{fill:none;stroke:var(--dim)}"
	"svg .flow{stroke:var(--dim);stroke-width:1.5}svg .rule{stroke:var(--line)}"
	"@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--fg:#000;--dim:#444;"
	"--line:#bbb;--good:#0b5a2e;--goodbg:#fff;--bad:#8f0d14;--badbg:#fff;--warn:#5c3a00;"
	"--warnbg:#fff;--wall:#333}body{padding:0;max-width:none}#f{display:none}"
	"tr,figure{break-inside:avoid}"
	"details::details-content{content-visibility:visible;height:auto}}";

static const char script[] =
	"(function(){'use strict';var q=document.getElementById('q'),"
	"n=document.getElementById('n'),"
	"r=Array.prototype.slice.call(document.querySelectorAll('tr[data-k]')),"
	"b=Array.prototype.slice.call(document.querySelectorAll('tbody.group'));"
	"document.getElementById('f').hidden=false;"
	"function go(){var w=q.value.toLowerCase().split(/\\s+/).filter(Boolean),c=0;"
	"r.forEach(function(e){var k=e.getAttribute('data-k'),"
	"s=w.every(function(x){return k.indexOf(x)>=0});e.hidden=!s;if(s)c++});"
	"b.forEach(function(e){e.hidden=!e.querySelector('tr[data-k]:not([hidden])')});"
	"n.textContent=c+' of '+r.length+' probes'}"
	"function h(){var m=/^#filter=(.*)$/.exec(location.hash);"
	"if(m){try{q.value=decodeURIComponent(m[1])}catch(e){q.value=m[1]}}go()}"
	"q.addEventListener('input',go);addEventListener('hashchange',h);h()})();";

static void put_hash(const char *text, FILE *out)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char base64[sodium_base64_ENCODED_LEN(sizeof(hash), sodium_base64_VARIANT_ORIGINAL)];

	(void)crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
	(void)fprintf(out, "'sha256-%s'",
		sodium_bin2base64(base64, sizeof(base64), hash, sizeof(hash),
			sodium_base64_VARIANT_ORIGINAL));
}

static const char *class_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_PASS:
		return "v good";
	case VERDICT_FAIL:
	case VERDICT_OVER_RESTRICTED:
		return "v bad";
	case VERDICT_INCONCLUSIVE:
	case VERDICT_UNDECLARED_OPEN:
	case VERDICT_EXPECTED:
		return "v warn";
	default:
		return "v";
	}
}

static void put_head(const struct report *report, FILE *out)
{
	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		    "base-uri 'none'; form-action 'none'; style-src ",
		out);
	put_hash(style, out);
	(void)fputs("; script-src ", out);
	put_hash(script, out);
	(void)fputs("\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>", out);
	report_put_xml(report->columns[0].header.target, out);
	(void)fprintf(
		out, ": what it confines</title>\n<style>%s</style>\n</head>\n<body>\n", style);
}

static void put_card(const char *class, unsigned count, const char *text, FILE *out)
{
	(void)fprintf(out, "<div class=\"card\"><b><span class=\"%s\">%u</span></b>%s</div>\n",
		count ? class : "dim", count, text);
}

static void put_cards(const struct measurement *measurement, FILE *out)
{
	unsigned counts[VERDICT_COUNT] = {0};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		counts[measurement->judgement.capabilities[i].verdict]++;
	}
	(void)fputs("<div class=\"cards\">\n", out);
	put_card("good", counts[VERDICT_PASS], "as declared", out);
	put_card("bad", counts[VERDICT_FAIL] + counts[VERDICT_OVER_RESTRICTED], "violated", out);
	put_card("warn", counts[VERDICT_INCONCLUSIVE], "inconclusive", out);
	put_card("warn", counts[VERDICT_UNDECLARED_OPEN], "open, no promise", out);
	if (counts[VERDICT_EXPECTED]) {
		put_card("warn", counts[VERDICT_EXPECTED], "violated as expected", out);
	}
	(void)fputs("</div>\n", out);
}

/* What was known before: red where that fails by itself. */
static void put_known(const struct known_list *list, FILE *out)
{
	char text[500];

	for (size_t i = 0; i < list->count; i++) {
		const struct known *item = &list->items[i];
		(void)fprintf(out, "%s<li><span class=\"%s\">%s</span> <code>%s</code> ",
			i ? "" : "<p class=\"dim\">Known before:</p>\n<ul>\n",
			known_fails(item) ? "v bad" : "v", known_state_name(item->state),
			known_name(item));
		report_put_xml(known_describe(item, text, sizeof(text)), out);
		(void)fputs(i + 1 < list->count ? "</li>\n" : "</li>\n</ul>\n", out);
	}
}

static void put_column_summary(const struct report_column *column, FILE *out)
{
	const struct target *target = column->header.details;

	(void)fputs("<h2><code>", out);
	report_put_xml(column->header.target, out);
	(void)fputs("</code>", out);
	if (column->header.profile) {
		(void)fputs(", profile ", out);
		report_put_xml(column->header.profile, out);
	}
	(void)fputs("</h2>\n", out);
	put_cards(column->measurement, out);
	if (target->plan) {
		(void)fputs("<p class=\"dim\">plan <code>", out);
		report_put_xml(target->digest, out);
		(void)fputs("</code></p>\n", out);
	}
	if (column->measurement->client.fault[0]) {
		(void)fputs("<p>client: ", out);
		report_put_xml(column->measurement->client.fault, out);
		(void)fputs("</p>\n", out);
	}
	put_known(&column->measurement->known, out);
	STRV_FOREACH (item, target->additions) {
		(void)fputs("<p class=\"dim\">added: <code>", out);
		report_put_xml(*item, out);
		(void)fputs("</code></p>\n", out);
	}
}

static void put_targets(const struct report *report, FILE *out)
{
	for (size_t i = 0; i < report->count; i++) {
		(void)fputs("<th scope=\"col\">", out);
		report_put_xml(report->columns[i].header.target, out);
		(void)fputs(report->columns[i].automatic ? " (control)</th>" : "</th>", out);
	}
	(void)fputs("</tr></thead>\n", out);
}

/* ---- the picture: one wall a layer, what it stopped before it, what got through behind it ---- */

#define DOT 11
#define DOTS_A_LINE 16
#define WALL_AT 320
#define OPEN_A_LINE 12

enum side { SIDE_SHUT, SIDE_OPEN, SIDE_VAGUE, SIDE_NONE };

static enum side side_of(const struct report_column *column, size_t probe)
{
	switch (column->measurement->verdicts[probe].observed) {
	case OBSERVED_SHUT:
	case OBSERVED_KILLED:
	case OBSERVED_VIRTUAL:
		return SIDE_SHUT;
	case OBSERVED_OPEN:
	case OBSERVED_LEAK:
	case OBSERVED_CLAIM_OPEN:
		return SIDE_OPEN;
	case OBSERVED_NOT_RUN:
	case OBSERVED_ABSENT:
		return SIDE_NONE;
	default:
		return SIDE_VAGUE;
	}
}

/* A probe stands at the layer that should stop it first. */
static bool stands_at(const struct probe *probe, const char *layer)
{
	size_t size = strlen(layer);

	return strncmp(probe->layer, layer, size) == 0 && strchr(",", probe->layer[size]);
}

/* Doors that a promise wants open are no attack. */
static bool is_attack(const struct report_column *column, size_t probe)
{
	const struct probe_verdict *verdict = &column->measurement->verdicts[probe];

	return verdict->capability == CAPABILITY_COUNT || verdict->expectation == EXPECT_SHUT;
}

static void count_layer(const struct report_column *column, const char *layer, unsigned ret[4])
{
	memset(ret, 0, sizeof(unsigned) * 4);
	for (size_t i = 0; i < probe_count; i++) {
		if (stands_at(&probe_table[i], layer) && is_attack(column, i)) {
			ret[side_of(column, i)]++;
		}
	}
}

static unsigned lines_of(const unsigned counts[4])
{
	unsigned left = (counts[SIDE_SHUT] + counts[SIDE_VAGUE] + DOTS_A_LINE - 1) / DOTS_A_LINE;
	unsigned right = (counts[SIDE_OPEN] + OPEN_A_LINE - 1) / OPEN_A_LINE;
	unsigned lines = left > right ? left : right;

	return lines ? lines : 1;
}

/* What got through against a promise is one thing, what nobody promised to stop another. */
static const char *dot_class(const struct report_column *column, size_t probe, enum side side)
{
	if (side == SIDE_OPEN) {
		return report_speaks_against(column->measurement->verdicts[probe].verdict) ? "open"
											   : "free";
	}
	return side == SIDE_SHUT ? "shut" : "vague";
}

static void put_dot(
	const struct report_column *column, size_t probe, unsigned at, unsigned y, FILE *out)
{
	enum side side = side_of(column, probe);
	unsigned a_line = side == SIDE_OPEN ? OPEN_A_LINE : DOTS_A_LINE;
	unsigned step = DOT * (at % a_line);
	unsigned x = side == SIDE_OPEN ? WALL_AT + 40 + step : WALL_AT - 14 - step;

	(void)fprintf(out,
		"<a href=\"#%s\"><circle class=\"%s\" cx=\"%u\" cy=\"%u\" r=\"4\"><title>%s: ",
		probe_table[probe].id, dot_class(column, probe, side), x, y + DOT * (at / a_line),
		probe_table[probe].id);
	report_put_xml(probe_table[probe].what, out);
	(void)fputs("</title></circle></a>\n", out);
}

static unsigned put_layer(
	const struct report_column *column, const char *layer, unsigned y, FILE *out)
{
	unsigned counts[4];
	unsigned placed[3] = {0};

	count_layer(column, layer, counts);
	if (counts[SIDE_SHUT] + counts[SIDE_OPEN] + counts[SIDE_VAGUE] == 0) {
		return 0;
	}
	unsigned height = lines_of(counts) * DOT + 11;
	placed[SIDE_VAGUE] = counts[SIDE_SHUT];
	(void)fprintf(out,
		"<text x=\"8\" y=\"%u\">%s</text>"
		"<rect class=\"wall\" x=\"%d\" y=\"%u\" width=\"8\" height=\"%u\"/>\n",
		y + 15, layer, WALL_AT, y + 3, height - 6);
	if (counts[SIDE_OPEN]) {
		(void)fprintf(out,
			"<path class=\"flow\" d=\"M%d %u h30 m-6 -4 l6 4 l-6 4\" fill=\"none\"/>\n",
			WALL_AT - 2, y + 11);
	}
	for (size_t i = 0; i < probe_count; i++) {
		enum side side = side_of(column, i);
		if (side != SIDE_NONE && stands_at(&probe_table[i], layer) &&
			is_attack(column, i)) {
			put_dot(column, i, placed[side]++, y + 11, out);
		}
	}
	(void)fprintf(out, "<path class=\"rule\" d=\"M8 %u h494\"/>\n", y + height);
	return height;
}

static unsigned put_layers(
	const struct report_column *column, const char *const *names, unsigned y, FILE *out)
{
	for (size_t i = 0; names[i]; i++) {
		y += put_layer(column, names[i], y, out);
	}
	return y;
}

static unsigned height_of(const struct report_column *column, const char *const *names)
{
	unsigned height = 0;
	unsigned counts[4];

	for (size_t i = 0; names[i]; i++) {
		count_layer(column, names[i], counts);
		if (counts[SIDE_SHUT] + counts[SIDE_OPEN] + counts[SIDE_VAGUE] > 0) {
			height += lines_of(counts) * DOT + 11;
		}
	}
	return height;
}

static void put_picture(const struct report_column *column, FILE *out)
{
	unsigned height =
		40 + height_of(column, plan_layer_names) + height_of(column, probe_more_layers);

	(void)fprintf(out,
		"<figure><svg viewBox=\"0 0 510 %u\" role=\"img\" aria-label=\"Layers and what got "
		"through\">\n<text class=\"dim\" x=\"8\" y=\"16\">layer</text>"
		"<text class=\"dim\" x=\"%d\" y=\"16\" text-anchor=\"end\">tried inside, "
		"stopped</text>"
		"<text class=\"dim\" x=\"%d\" y=\"16\">reached the host</text>\n",
		height, WALL_AT - 10, WALL_AT + 40);
	(void)put_layers(
		column, probe_more_layers, put_layers(column, plan_layer_names, 26, out), out);
	(void)fputs("</svg>\n<figcaption>", out);
	report_put_xml(column->header.target, out);
	(void)fputs(
		": a dot is a probe, at the layer that should stop it first. Filled and left of "
		"the wall: stopped. Right of it: got through, red against a promise, amber where "
		"nothing was promised or it was expected. Hollow: undecided here. Doors that a "
		"promise wants open "
		"are left out.</figcaption></figure>\n",
		out);
}

/* ---- tables ---- */

static void put_capabilities(const struct report *report, FILE *out)
{
	(void)fputs("<h2>Capabilities</h2>\n<table>\n<thead><tr><th scope=\"col\">capability</th>",
		out);
	put_targets(report, out);
	(void)fputs("<tbody>\n", out);
	for (size_t c = 0; c < CAPABILITY_COUNT; c++) {
		(void)fprintf(out,
			"<tr><th scope=\"row\"><span class=\"id\">%s</span><br>"
			"<span class=\"dim\">",
			capability_name((enum capability)c));
		report_put_xml(capability_describe((enum capability)c), out);
		(void)fputs("</span></th>", out);
		for (size_t i = 0; i < report->count; i++) {
			const struct capability_verdict *result =
				&report->columns[i].measurement->judgement.capabilities[c];
			(void)fprintf(out, "<td><span class=\"%s\">%s</span> %s</td>",
				class_of(result->verdict), capability_state_name(result->observed),
				result->declared ? verdict_name(result->verdict) : "");
		}
		(void)fputs("</tr>\n", out);
	}
	(void)fputs("</tbody>\n</table>\n", out);
}

static void put_fact(const char *name, const char *text, FILE *out)
{
	(void)fprintf(out, "<dt>%s</dt><dd>", name);
	report_put_xml(text, out);
	(void)fputs("</dd>", out);
}

static void put_evidence(const struct report_column *column, size_t p, FILE *out)
{
	const struct outcome *inside = &column->measurement->inside[p];
	const struct probe_verdict *verdict = &column->measurement->verdicts[p];
	char text[600];
	char excuse[500];

	(void)snprintf(text, sizeof(text), "claim %s, host %s (E%d), control %s: %s, %s%s%s%s%s",
		probe_table[p].flags & PROBE_STATE ? "-" : claim_name(inside->claim),
		evidence_name(inside->evidence), (int)inside->level,
		observation_name(verdict->control), observation_name(verdict->observed),
		verdict_name(verdict->verdict),
		verdict->capability < CAPABILITY_COUNT ? " for " : "",
		verdict->capability < CAPABILITY_COUNT ? capability_name(verdict->capability) : "",
		inside->detail[0] ? "; " : "", inside->detail);
	(void)fputs("<dt>on ", out);
	report_put_xml(column->header.target, out);
	(void)fputs("</dt><dd>", out);
	report_put_xml(text, out);
	if (report_excuse(column->measurement, p, excuse, sizeof(excuse))[0]) {
		(void)fputs("; ", out);
		report_put_xml(excuse, out);
	}
	(void)fputs("</dd>", out);
}

static void put_keywords(const struct report *report, size_t p, FILE *out)
{
	char text[512];
	size_t used = 0;

	used = (size_t)snprintf(text, sizeof(text), "%s %s %s", probe_table[p].id,
		probe_group(&probe_table[p]), probe_table[p].layer);
	for (size_t i = 0; i < report->count && used < sizeof(text); i++) {
		const struct probe_verdict *verdict = &report->columns[i].measurement->verdicts[p];
		if (!report->columns[i].automatic) {
			used += (size_t)snprintf(text + used, sizeof(text) - used, " %s %s",
				verdict_name(verdict->verdict),
				observation_name(verdict->observed));
		}
	}
	for (char *c = text; *c; c++) {
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + ('a' - 'A')) : *c;
	}
	report_put_xml(text, out);
}

static void put_probe(const struct report *report, size_t p, FILE *out)
{
	const struct probe *probe = &probe_table[p];

	(void)fprintf(out, "<tr id=\"%s\" data-k=\"", probe->id);
	put_keywords(report, p, out);
	(void)fprintf(out, "\"><td><details><summary><span class=\"id\">%s</span> ", probe->id);
	report_put_xml(probe->what, out);
	(void)fputs("</summary><dl>", out);
	put_fact("why", probe->why, out);
	put_fact("evidence", evidence_text(probe), out);
	put_fact("layers", probe->layer, out);
	put_fact("read on", probe->reference, out);
	for (size_t i = 0; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			put_evidence(&report->columns[i], p, out);
		}
	}
	(void)fputs("</dl></details></td>", out);
	for (size_t i = 0; i < report->count; i++) {
		const struct probe_verdict *verdict = &report->columns[i].measurement->verdicts[p];
		(void)fprintf(out, "<td><span class=\"%s\">%s</span></td>",
			class_of(verdict->verdict), observation_name(verdict->observed));
	}
	(void)fputs("</tr>\n", out);
}

static void put_probes(const struct report *report, FILE *out)
{
	const char *group = NULL;

	(void)fputs("<h2>Probes</h2>\n<p id=\"f\" hidden><label>Filter <input id=\"q\" "
		    "type=\"search\" placeholder=\"network fail, K.userns, landlock\"></label> "
		    "<span id=\"n\" class=\"dim\" role=\"status\"></span></p>\n<table>\n"
		    "<thead><tr><th scope=\"col\">probe</th>",
		out);
	put_targets(report, out);
	for (size_t p = 0; p < probe_count; p++) {
		if (!report_shows(report, p)) {
			continue;
		}
		if (!group || strcmp(group, probe_group(&probe_table[p])) != 0) {
			(void)fprintf(out,
				"%s<tbody class=\"group\"><tr class=\"group\"><th colspan=\"%zu\" "
				"scope=\"rowgroup\">%s</th></tr>\n",
				group ? "</tbody>\n" : "", report->count + 1,
				probe_group(&probe_table[p]));
			group = probe_group(&probe_table[p]);
		}
		put_probe(report, p, out);
	}
	(void)fprintf(out, "%s</table>\n", group ? "</tbody>\n" : "");
}

int report_write_html(const struct report *report, FILE *out)
{
	struct utsname name = {0};

	(void)uname(&name);
	put_head(report, out);
	(void)fputs(
		"<h1>What was confined</h1>\n<p class=\"dim\">Declared against observed; a promise "
		"counts as kept only by evidence of the host's own. "
		"cloche-testkit-host " CLOCHE_VERSION ", Linux ",
		out);
	report_put_xml(name.release, out);
	(void)fputs("</p>\n", out);
	for (size_t i = 0; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			put_column_summary(&report->columns[i], out);
			put_picture(&report->columns[i], out);
		}
	}
	put_capabilities(report, out);
	put_probes(report, out);
	(void)fprintf(out, "<script>%s</script>\n</body>\n</html>\n", script);
	return 0;
}
