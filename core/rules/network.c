/* Join work, bounded before it happens. CLIPS computes all partial matches inside an assert, where
 * no limit of EnvRun reaches: 80 facts under one four-pattern rule take 28 s and 9 GB. So the
 * number of facts in each alpha memory (one distinct pattern) is counted here, and an assert that
 * would let any rule's product of counts exceed the limit is refused.
 *
 * A retract is not seen; counts then stand too high, and are taken again before refusing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rules/internal.h"

static size_t slot_of(const struct sg_network *n, const struct patternNodeHeader *node)
{
	size_t at = ((uintptr_t)node >> 4) * 2654435761U % n->n_alpha_slots;
	while (n->alpha_slots[at] >= 0 && n->alphas[n->alpha_slots[at]].node != node)
		at = (at + 1) % n->n_alpha_slots;
	return at;
}

static int alpha_of(const struct sg_network *n, const struct patternNodeHeader *node)
{
	return n->n_alpha_slots ? n->alpha_slots[slot_of(n, node)] : -1;
}

/* All nodes of a template's pattern network that facts can come to rest at. Collecting needs no
 * recursion: the tree has parent links. */
static struct factPatternNode *next_node(struct factPatternNode *p)
{
	if (p->nextLevel)
		return p->nextLevel;
	while (p && !p->rightNode)
		p = p->lastLevel;
	return p ? p->rightNode : NULL;
}

static int collect_alphas(struct sg_network *n, struct sg_error *err)
{
	for (size_t t = 0; t < n->n_templates; t++)
		for (struct factPatternNode *p = n->templates[t].clips->patternNetwork; p;
			p = next_node(p)) {
			if (!p->header.entryJoin)
				continue;
			struct sg_alpha *grown =
				realloc(n->alphas, (n->n_alphas + 1) * sizeof(*grown));
			if (!grown)
				return sg_error_nomem(err);
			n->alphas = grown;
			n->alphas[n->n_alphas++] = (struct sg_alpha){&p->header, (int)t, 0};
		}
	n->n_alpha_slots = n->n_alphas * 2 + 1;
	n->alpha_slots = malloc(n->n_alpha_slots * sizeof(*n->alpha_slots));
	if (!n->alpha_slots)
		return sg_error_nomem(err);
	memset(n->alpha_slots, -1, n->n_alpha_slots * sizeof(*n->alpha_slots));
	for (size_t i = 0; i < n->n_alphas; i++)
		n->alpha_slots[slot_of(n, n->alphas[i].node)] = (int)i;
	return 0;
}

static int add_rule_of_template(
	struct sg_network *n, int template_index, int rule, struct sg_error *err)
{
	size_t have = n->templates[template_index].n_rules;
	int *list = n->templates[template_index].rules;
	if (have && list[have - 1] == rule)
		return 0;
	list = realloc(list, (have + 1) * sizeof(*list));
	if (!list)
		return sg_error_nomem(err);
	list[have] = rule;
	n->templates[template_index].rules = list;
	n->templates[template_index].n_rules = have + 1;
	return 0;
}

static int add_pattern(struct sg_network *n, int rule, int alpha, struct sg_error *err)
{
	struct sg_rule_patterns *p = &n->rules[rule];
	int *grown = realloc(p->alphas, (p->n + 1) * sizeof(*grown));
	if (!grown)
		return sg_error_nomem(err);
	grown[p->n] = alpha;
	p->alphas = grown;
	p->n++;
	return 0;
}

/* What one combination of facts costs: the parts of the expressions that joins evaluate. */
static size_t weigh(const struct expr *e)
{
	size_t n = 0;
	for (; e; e = e->nextArg) /* rule text is at most SG_SX_MAX_DEPTH deep */
		n += 1 + weigh(e->argList);
	return n;
}

static size_t weigh_join(const struct joinNode *j)
{
	return weigh(j->networkTest) + weigh(j->secondaryNetworkTest) + weigh(j->leftHash) +
	       weigh(j->rightHash);
}

/* Joins of one rule, last to first; a group under not or exists hangs on the right side. */
static int collect_patterns(
	struct sg_network *n, int rule, const struct joinNode *last, struct sg_error *err)
{
	for (const struct joinNode *j = last; j; j = j->lastLevel) {
		int e = 0;
		n->rules[rule].weight += weigh_join(j);
		if (j->joinFromTheRight)
			e = collect_patterns(n, rule, j->rightSideEntryStructure, err);
		else if (j->rightSideEntryStructure) {
			int alpha = alpha_of(n, j->rightSideEntryStructure);
			if (alpha >= 0)
				e = add_pattern(n, rule, alpha, err);
		}
		if (e < 0)
			return e;
	}
	return 0;
}

static int collect_rules(struct sg_rules *r, struct sg_error *err)
{
	struct sg_network *n = &r->network;
	for (struct defrule *d = EnvGetNextDefrule(r->env, NULL); d;
		d = EnvGetNextDefrule(r->env, d))
		for (struct defrule *one = d; one; one = one->disjunct) {
			struct sg_rule_patterns *grown =
				realloc(n->rules, (n->n_rules + 1) * sizeof(*grown));
			if (!grown)
				return sg_error_nomem(err);
			n->rules = grown;
			n->rules[n->n_rules++] = (struct sg_rule_patterns){0};
			int rule = (int)n->n_rules - 1;
			int e = collect_patterns(n, rule, one->lastJoin, err);
			if (e < 0)
				return e;
		}
	for (size_t rule = 0; rule < n->n_rules; rule++)
		for (size_t i = 0; i < n->rules[rule].n; i++) {
			int t = n->alphas[n->rules[rule].alphas[i]].template_index;
			if (add_rule_of_template(n, t, (int)rule, err) < 0)
				return -SG_ENOMEM;
		}
	return 0;
}

/* bsaveID is free for our use: binary saving is not part of the sandbox. */
static int collect_templates(struct sg_rules *r, struct sg_error *err)
{
	struct sg_network *n = &r->network;
	for (struct deftemplate *t = EnvGetNextDeftemplate(r->env, NULL); t;
		t = EnvGetNextDeftemplate(r->env, t)) {
		void *grown = realloc(n->templates, (n->n_templates + 1) * sizeof(*n->templates));
		if (!grown)
			return sg_error_nomem(err);
		n->templates = grown;
		memset(&n->templates[n->n_templates], 0, sizeof(*n->templates));
		n->templates[n->n_templates].clips = t;
		t->header.bsaveID = (long)n->n_templates++;
	}
	return 0;
}

int sg_network_make(struct sg_rules *r, struct sg_error *err)
{
	int e = collect_templates(r, err);
	if (e == 0)
		e = collect_alphas(&r->network, err);
	return e == 0 ? collect_rules(r, err) : e;
}

void sg_network_finish(struct sg_network *n)
{
	for (size_t i = 0; i < n->n_rules; i++)
		free(n->rules[i].alphas);
	for (size_t i = 0; i < n->n_templates; i++)
		free(n->templates[i].rules);
	free(n->rules);
	free(n->templates);
	free(n->alphas);
	free(n->alpha_slots);
	*n = (struct sg_network){0};
}

void sg_network_added(struct sg_rules *r, const struct fact *f)
{
	for (const struct patternMatch *m = f->list; m; m = m->next) {
		int alpha = alpha_of(&r->network, m->matchingPattern);
		if (alpha < 0)
			continue;
		struct sg_alpha *a = &r->network.alphas[alpha];
		int64_t *busiest = &r->network.templates[a->template_index].busiest;
		if (++a->count > *busiest)
			*busiest = a->count;
	}
}

void sg_network_recount(struct sg_rules *r)
{
	for (size_t i = 0; i < r->network.n_alphas; i++)
		r->network.alphas[i].count = 0;
	for (size_t i = 0; i < r->network.n_templates; i++)
		r->network.templates[i].busiest = 0;
	for (struct fact *f = EnvGetNextFact(r->env, NULL); f; f = EnvGetNextFact(r->env, f))
		sg_network_added(r, f);
}

/* An empty memory counts as one: what stands before it is joined all the same. So the first fact of
 * a template changes no product, and most facts of a step are first ones. */
static bool within(const struct sg_rules *r, int template_index)
{
	const struct sg_network *n = &r->network;
	if (n->templates[template_index].busiest == 0)
		return true;
	for (size_t i = 0; i < n->templates[template_index].n_rules; i++) {
		const struct sg_rule_patterns *p = &n->rules[n->templates[template_index].rules[i]];
		int64_t product = 1;
		for (size_t k = 0; k < p->n; k++) {
			const struct sg_alpha *a = &n->alphas[p->alphas[k]];
			int64_t facts = a->count + (a->template_index == template_index);
			product *= facts > 1 ? facts : 1;
			if (product > r->limits.join_product)
				return false;
		}
		if (product > 1 &&
			product * (1 + (int64_t)p->weight / SG_RULE_LIGHT) > r->limits.join_product)
			return false;
	}
	return true;
}

int sg_network_late(struct sg_rules *r, struct sg_error *err)
{
	if (!sg_rules_late(r))
		return 0;
	return sg_error_set(err, SG_ELIMIT, "rule-timeout",
		"the rules of one step took longer than %lld ms",
		(long long)(r->limits.wall_us / 1000));
}

int sg_network_admit(struct sg_rules *r, struct deftemplate *t, struct sg_error *err)
{
	int at = (int)t->header.bsaveID;
	if ((int64_t)FactData(r->env)->NumberOfFacts >= r->limits.facts)
		return sg_error_set(err, SG_ELIMIT, "rule-facts", "more than %lld facts",
			(long long)r->limits.facts);
	if (sg_network_late(r, err) < 0)
		return -SG_ELIMIT;
	if (within(r, at))
		return 0;
	sg_network_recount(r);
	if (within(r, at))
		return 0;
	return sg_error_set(err, SG_ELIMIT, "rule-explosion",
		"one more fact \"%s\" and a rule would have to look at more than %lld combinations "
		"of facts",
		ValueToString(t->header.name), (long long)r->limits.join_product);
}
