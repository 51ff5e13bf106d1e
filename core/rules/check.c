/* What rule text may say: known templates and slots, allowed functions, no sequence variables, no
 * globals, and no more `or` branches and patterns than the limits. CLIPS checks the same text
 * again; these checks exist to close what CLIPS leaves open and to name the nearest right word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/suggest.h"
#include "rules/internal.h"

/* Sorted. Nothing here reads the outside, keeps state between steps, loops, or builds multifields;
 * the ones that could grow, trap or explode are replaced in sandbox.c. */
static const char *const allowed[] = {"*", "**", "+", "-", "/", "<", "<=", "<>", "=", ">",
	">=", "abs", "and", "assert", "bind", "div", "eq", "evenp", "exp", "fact-existp",
	"fact-index", "fact-relation", "fathom-matches", "float", "floatp", "has-card-number",
	"has-iban", "if", "integer", "integerp", "lexemep", "log", "log10", "lowcase", "max", "min",
	"mod", "modify", "neq", "not", "numberp", "oddp", "or", "retract", "round", "sqrt",
	"str-cat", "str-compare", "str-index", "str-length", "stringp", "sub-string", "sym-cat",
	"symbolp", "upcase"};

static int compare_words(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

bool sg_function_allowed(const char *name)
{
	return bsearch(name, allowed, SG_ARRAY_LEN(allowed), sizeof(allowed[0]), compare_words) !=
	       NULL;
}

static int at_line(const struct sg_sx *sx, int node)
{
	return node == SG_SX_NONE ? 1 : sx->nodes[node].line;
}

static int refuse(struct sg_error *err, const struct sg_sx *sx, int node, const char *what,
	const char *word, const char *const *known, size_t n_known)
{
	const char *near = sg_suggest(word, known, n_known);
	return sg_error_set(err, SG_EINVALID, NULL, "line %d: %s \"%.64s\"%s%s%s",
		at_line(sx, node), what, word, near ? "; did you mean \"" : "", near ? near : "",
		near ? "\"?" : "");
}

/* Variables: ?x and ? only. $?x would let a rule build multifields, ?*x* keeps state. */
static int check_atom(const struct sg_sx *sx, int node, struct sg_error *err)
{
	const struct sg_sx_node *n = &sx->nodes[node];
	if (n->kind != SG_SX_ATOM || n->len < 2)
		return 0;
	if (n->text[0] == '$' && n->text[1] == '?')
		return sg_error_set(err, SG_EINVALID, NULL,
			"line %d: sequence variables ($?x) are not allowed in rules", n->line);
	if (n->text[0] == '?' && n->text[1] == '*')
		return sg_error_set(err, SG_EINVALID, NULL,
			"line %d: global variables (?*x*) are not allowed in rules", n->line);
	return 0;
}

static int check_slots(
	const struct sg_sx *sx, int fact, const struct sg_template *t, struct sg_error *err);
static int check_call(
	const struct sg_sx *sx, int node, const struct sg_templates *t, struct sg_error *err);

static int check_arguments(
	const struct sg_sx *sx, int from, const struct sg_templates *t, struct sg_error *err)
{
	for (int at = from; at != SG_SX_NONE; at = sx->nodes[at].next) {
		int r = sx->nodes[at].kind == SG_SX_LIST ? check_call(sx, at, t, err)
							 : check_atom(sx, at, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* (modify ?f (slot expression)…): the slots are CLIPS's to check, the expressions ours. */
static int check_modify(
	const struct sg_sx *sx, int first, const struct sg_templates *t, struct sg_error *err)
{
	if (first == SG_SX_NONE || sx->nodes[first].kind != SG_SX_ATOM ||
		sx->nodes[first].text[0] != '?')
		return sg_error_set(err, SG_EINVALID, NULL,
			"line %d: modify needs a variable that a pattern bound, (modify ?f …)",
			at_line(sx, first));
	for (int at = sx->nodes[first].next; at != SG_SX_NONE; at = sx->nodes[at].next) {
		if (sx->nodes[at].kind != SG_SX_LIST || sx->nodes[at].first == SG_SX_NONE)
			return sg_error_set(err, SG_EINVALID, NULL,
				"line %d: modify needs (slot value)", sx->nodes[at].line);
		int r = check_arguments(sx, sx->nodes[sx->nodes[at].first].next, t, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_call(
	const struct sg_sx *sx, int node, const struct sg_templates *t, struct sg_error *err)
{
	char head[128];
	sg_sx_head(sx, node, head);
	if (!sg_function_allowed(head))
		return refuse(
			err, sx, node, "rules may not call", head, allowed, SG_ARRAY_LEN(allowed));
	bool acts = strcmp(head, "assert") == 0 || strcmp(head, "retract") == 0 ||
		    strcmp(head, "modify") == 0 || strcmp(head, "bind") == 0;
	if (acts && !t)
		return sg_error_set(err, SG_EINVALID, NULL,
			"line %d: \"%s\" belongs to a rule's right-hand side", at_line(sx, node),
			head);
	int first = sx->nodes[sx->nodes[node].first].next;
	if (strcmp(head, "modify") == 0)
		return check_modify(sx, first, t, err);
	if (strcmp(head, "assert") != 0)
		return check_arguments(sx, first, t, err);
	for (int at = first; at != SG_SX_NONE; at = sx->nodes[at].next) {
		int r = sg_check_fact(sx, at, t, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int sg_check_expression(const struct sg_sx *sx, int node, struct sg_error *err)
{
	return sx->nodes[node].kind == SG_SX_LIST ? check_call(sx, node, NULL, err)
						  : check_atom(sx, node, err);
}

int sg_check_actions(
	const struct sg_sx *sx, int from, const struct sg_templates *t, struct sg_error *err)
{
	for (int at = from; at != SG_SX_NONE; at = sx->nodes[at].next) {
		if (sx->nodes[at].kind != SG_SX_LIST)
			return sg_error_set(err, SG_EINVALID, NULL,
				"line %d: an action is a parenthesised call", sx->nodes[at].line);
		int r = check_call(sx, at, t, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct sg_template *known_template(
	const struct sg_sx *sx, int node, const struct sg_templates *t, struct sg_error *err)
{
	char head[128];
	sg_autofree char *name = sg_rules_mangle(sg_sx_head(sx, node, head));
	const struct sg_template *found = name ? sg_templates_find(t, name) : NULL;
	if (found)
		return found;
	sg_autofree const char **names = calloc(t->n + 1, sizeof(*names));
	for (size_t i = 0; names && i < t->n; i++)
		names[i] = t->all[i].name;
	(void)refuse(
		err, sx, node, "no fact is called", name ? name : head, names, names ? t->n : 0);
	return NULL;
}

/* Inside (slot …): any list is an expression after ':' or '=', or in a fact an expression itself.
 */
static int check_slot(
	const struct sg_sx *sx, int slot, const struct sg_template *t, struct sg_error *err)
{
	char head[128];
	sg_sx_head(sx, slot, head);
	bool known = false;
	for (size_t i = 0; i < t->n_slots; i++)
		known = known || strcmp(t->slots[i], head) == 0;
	if (!known) {
		char what[192];
		(void)snprintf(what, sizeof(what), "%.100s has no slot", t->name);
		return refuse(err, sx, slot, what, head, (const char *const *)t->slots, t->n_slots);
	}
	return check_arguments(sx, sx->nodes[sx->nodes[slot].first].next, NULL, err);
}

static int check_slots(
	const struct sg_sx *sx, int fact, const struct sg_template *t, struct sg_error *err)
{
	for (int at = sx->nodes[sx->nodes[fact].first].next; at != SG_SX_NONE;
		at = sx->nodes[at].next) {
		if (sx->nodes[at].kind != SG_SX_LIST)
			return sg_error_set(err, SG_EINVALID, NULL,
				"line %d: (%s …) is made of slots, (slot value)",
				sx->nodes[at].line, t->name);
		int r = check_slot(sx, at, t, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int sg_check_fact(
	const struct sg_sx *sx, int node, const struct sg_templates *t, struct sg_error *err)
{
	if (sx->nodes[node].kind != SG_SX_LIST)
		return sg_error_set(err, SG_EINVALID, NULL,
			"line %d: expected a fact, (name (slot value)…)", sx->nodes[node].line);
	const struct sg_template *found = known_template(sx, node, t, err);
	return found ? check_slots(sx, node, found, err) : -SG_EINVALID;
}

/* ---- left-hand sides ---- */

struct lhs {
	const struct sg_sx *sx;
	const struct sg_templates *t;
	int patterns;
	int64_t branches;
	struct sg_error *err;
};

static int check_element(struct lhs *l, int node);

/* `or` becomes one rule a branch, and branches multiply. */
static int count_or(struct lhs *l, int node)
{
	int n = 0;
	for (int at = l->sx->nodes[l->sx->nodes[node].first].next; at != SG_SX_NONE;
		at = l->sx->nodes[at].next)
		n++;
	l->branches *= n > 0 ? n : 1;
	if (l->branches > SG_RULE_OR_MAX)
		return sg_error_set(l->err, SG_EINVALID, NULL,
			"line %d: the (or …)s of this rule multiply to more than %d rules",
			at_line(l->sx, node), SG_RULE_OR_MAX);
	return 0;
}

static int check_elements(struct lhs *l, int from, int end)
{
	for (int at = from; at != SG_SX_NONE && at != end; at = l->sx->nodes[at].next) {
		const struct sg_sx_node *n = &l->sx->nodes[at];
		int r = check_atom(l->sx, at, l->err);
		if (r < 0)
			return r;
		if (n->kind == SG_SX_LIST) {
			r = check_element(l, at);
			if (r < 0)
				return r;
			continue;
		}
		bool binding = n->kind == SG_SX_ATOM && n->text[0] == '?' && n->len > 1 &&
			       sg_sx_is(l->sx, n->next, "<-");
		int pattern = binding ? l->sx->nodes[n->next].next : SG_SX_NONE;
		if (pattern == SG_SX_NONE || pattern == end ||
			l->sx->nodes[pattern].kind != SG_SX_LIST)
			return sg_error_set(l->err, SG_EINVALID, NULL,
				"line %d: expected a pattern, (name (slot value)…) or ?f <- (name "
				"…), at \"%.*s\"",
				n->line, (int)(n->len > 40 ? 40 : n->len), n->text);
		at = n->next; /* the loop goes on to the pattern */
	}
	return 0;
}

/* (declare (salience N)): a literal, so that salience depends on nothing. */
static int check_declare(struct lhs *l, int node)
{
	int one = l->sx->nodes[l->sx->nodes[node].first].next;
	char head[128];
	if (one != SG_SX_NONE && l->sx->nodes[one].next == SG_SX_NONE &&
		strcmp(sg_sx_head(l->sx, one, head), "salience") == 0) {
		int value = l->sx->nodes[l->sx->nodes[one].first].next;
		if (value != SG_SX_NONE && l->sx->nodes[value].kind == SG_SX_ATOM &&
			strspn(l->sx->nodes[value].text, "-0123456789") >= l->sx->nodes[value].len)
			return 0;
	}
	return sg_error_set(l->err, SG_EINVALID, NULL,
		"line %d: only (declare (salience N)) with a whole number is allowed",
		at_line(l->sx, node));
}

static int check_element(struct lhs *l, int node)
{
	static const char *const groups[] = {"and", "exists", "forall", "logical", "not", "or"};
	char head[128];
	sg_sx_head(l->sx, node, head);
	if (l->sx->nodes[node].first == SG_SX_NONE)
		return sg_error_set(l->err, SG_EINVALID, NULL, "line %d: an empty pattern ()",
			at_line(l->sx, node));
	int rest = l->sx->nodes[l->sx->nodes[node].first].next;
	if (strcmp(head, "test") == 0)
		return check_arguments(l->sx, rest, NULL, l->err);
	if (strcmp(head, "declare") == 0)
		return check_declare(l, node);
	if (strcmp(head, "or") == 0) {
		int r = count_or(l, node);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < SG_ARRAY_LEN(groups); i++)
		if (strcmp(head, groups[i]) == 0)
			return check_elements(l, rest, SG_SX_NONE);
	if (++l->patterns > SG_RULE_PATTERNS_MAX)
		return sg_error_set(l->err, SG_EINVALID, NULL,
			"line %d: more than %d patterns in one rule", at_line(l->sx, node),
			SG_RULE_PATTERNS_MAX);
	return sg_check_fact(l->sx, node, l->t, l->err);
}

int sg_check_lhs(const struct sg_sx *sx, int list, int from, int end, const struct sg_templates *t,
	struct sg_error *err)
{
	struct lhs l = {.sx = sx, .t = t, .branches = 1, .err = err};
	for (int at = from; at != SG_SX_NONE && at != end; at = sx->nodes[at].next)
		if (sg_sx_is(sx, at, "=>"))
			return sg_error_set(err, SG_EINVALID, NULL,
				"line %d: \"=>\" belongs to a whole rule, not to its conditions",
				at_line(sx, at));
	if (from == SG_SX_NONE)
		return sg_error_set(err, SG_EINVALID, NULL, "line %d: a rule needs a pattern",
			at_line(sx, list));
	return check_elements(&l, from, end);
}
