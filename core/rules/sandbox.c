/* The environment behind the wall: what is not on the list is gone before any text is read, the
 * functions that can trap, grow or explode are our own, and what CLIPS prints is kept as the error.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/internal.h"
#include "rules/matches.h"
#include "rules/numbers.h"

/* CLIPS keeps every function as int (*)(void) and calls it by its declared return type. */
#define ANY_FN(f) ((int (*)(void *))(void (*)(void))(f))

static struct sg_rules *rules_of(void *env)
{
	return GetEnvironmentContext(env);
}

/* ---- what CLIPS prints ---- */

/* Only output names: claiming the input names as well would make CLIPS read from us. */
static int router_knows(void *env SG_UNUSED, const char *name)
{
	static const char *const names[] = {
		WERROR, WWARNING, WDISPLAY, WDIALOG, WTRACE, WPROMPT, STDOUT};
	for (size_t i = 0; i < SG_ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return TRUE;
	return FALSE;
}

static int router_print(void *env, const char *name, const char *text)
{
	struct sg_rules *r = rules_of(env);
	size_t n = strlen(text);
	if (strcmp(name, WERROR) == 0 && r && r->said.len + n < SG_RULE_ERROR_MAX)
		sg_buf_add(&r->said, text, n);
	return TRUE;
}

/* ---- functions of ours ---- */

/* CLIPS looks at no clock inside of an assert, where it joins; the functions whose cost grows with
 * their texts do. After the first that is late all others return at once. */
static bool late(void *env)
{
	struct sg_rules *r = rules_of(env);
	if (!r->failure) /* while building: constants are folded */
		return false;
	if (r->failure->code == 0 && sg_network_late(r, r->failure) == 0)
		return false;
	SetHaltExecution(env, TRUE); /* not as an evaluation error: each would be printed */
	return true;
}

static void set_failed(void *env, const char *text)
{
	EnvPrintRouter(env, WERROR, text);
	SetEvaluationError(env, TRUE);
}

static void result_false(void *env, DATA_OBJECT_PTR ret)
{
	SetpType(ret, SYMBOL);
	SetpValue(ret, EnvFalseSymbol(env));
}

static bool whole_arguments(void *env, const char *name, long long ret_values[], int n)
{
	for (int i = 1; i <= n; i++) {
		DATA_OBJECT v;
		if (EnvArgTypeCheck(env, name, i, INTEGER_OR_FLOAT, &v) == FALSE)
			return false;
		double d = v.type == FLOAT ? ValueToDouble(v.value) : 0.0;
		if (v.type == FLOAT && !(d > -9.2e18 && d < 9.2e18)) {
			set_failed(env, "a number too large for whole-number division");
			return false;
		}
		ret_values[i - 1] = v.type == FLOAT ? (long long)d : ValueToLong(v.value);
	}
	return true;
}

/* CLIPS's own dies of SIGFPE on (div -9223372036854775808 -1). */
static long long fn_div(void *env)
{
	long long v[8] = {0};
	int n = EnvRtnArgCount(env);
	if (n > 8) {
		set_failed(env, "div takes at most 8 arguments");
		return 1;
	}
	if (!whole_arguments(env, "div", v, n))
		return 1;
	for (int i = 1; i < n; i++) {
		if (v[i] == 0) {
			set_failed(env, "Attempt to divide by zero in div function.");
			return 1;
		}
		v[0] = v[i] == -1 ? (long long)(0ULL - (unsigned long long)v[0]) : v[0] / v[i];
	}
	return v[0];
}

static void fn_mod(void *env, DATA_OBJECT_PTR ret)
{
	DATA_OBJECT a, b;
	result_false(env, ret);
	if (EnvArgTypeCheck(env, "mod", 1, INTEGER_OR_FLOAT, &a) == FALSE ||
		EnvArgTypeCheck(env, "mod", 2, INTEGER_OR_FLOAT, &b) == FALSE)
		return;
	double divisor = b.type == FLOAT ? ValueToDouble(b.value) : (double)ValueToLong(b.value);
	if (divisor == 0.0) {
		set_failed(env, "Attempt to divide by zero in mod function.");
		return;
	}
	if (a.type == FLOAT || b.type == FLOAT) {
		double x = a.type == FLOAT ? ValueToDouble(a.value) : (double)ValueToLong(a.value);
		SetpType(ret, FLOAT);
		SetpValue(ret, EnvAddDouble(env, fmod(x, divisor)));
		return;
	}
	long long y = ValueToLong(b.value);
	SetpType(ret, INTEGER);
	SetpValue(ret, EnvAddLong(env, y == -1 ? 0 : ValueToLong(a.value) % y));
}

static void cat(void *env, DATA_OBJECT_PTR ret, const char *name, int type)
{
	sg_autobuf out = SG_BUF_INIT(SG_RULE_CAT_MAX);
	int n = EnvRtnArgCount(env);
	result_false(env, ret);
	if (late(env))
		return;
	for (int i = 1; i <= n; i++) {
		DATA_OBJECT v;
		EnvRtnUnknown(env, i, &v);
		if (v.type == STRING || v.type == SYMBOL)
			sg_buf_adds(&out, ValueToString(v.value));
		else if (v.type == INTEGER)
			sg_buf_addf(&out, "%lld", ValueToLong(v.value));
		else if (v.type == FLOAT)
			sg_buf_adds(&out, FloatToString(env, ValueToDouble(v.value)));
		else {
			ExpectedTypeError1(env, name, i, "string, symbol, float, or integer");
			SetEvaluationError(env, TRUE);
			return;
		}
	}
	if (out.failed) {
		set_failed(env, "str-cat made a text of more than 65536 bytes");
		return;
	}
	SetpType(ret, type);
	SetpValue(ret, EnvAddSymbol(env, out.data ? out.data : ""));
}

static void fn_str_cat(void *env, DATA_OBJECT_PTR ret)
{
	cat(env, ret, "str-cat", STRING);
}

static void fn_sym_cat(void *env, DATA_OBJECT_PTR ret)
{
	cat(env, ret, "sym-cat", SYMBOL);
}

/* CLIPS's own is quadratic; strstr is not. */
static void fn_str_index(void *env, DATA_OBJECT_PTR ret)
{
	DATA_OBJECT needle, text;
	result_false(env, ret);
	if (late(env))
		return;
	if (EnvArgTypeCheck(env, "str-index", 1, SYMBOL_OR_STRING, &needle) == FALSE ||
		EnvArgTypeCheck(env, "str-index", 2, SYMBOL_OR_STRING, &text) == FALSE)
		return;
	const char *all = ValueToString(text.value);
	const char *at = strstr(all, ValueToString(needle.value));
	if (!at)
		return;
	long long characters = 1; /* as CLIPS counts them: UTF-8 sequences */
	for (const char *p = all; p < at; p++)
		characters += ((unsigned char)*p & 0xC0) != 0x80;
	SetpType(ret, INTEGER);
	SetpValue(ret, EnvAddLong(env, characters));
}

static void fn_matches(void *env, DATA_OBJECT_PTR ret)
{
	DATA_OBJECT text, pattern;
	result_false(env, ret);
	if (late(env))
		return;
	if (EnvArgTypeCheck(env, "fathom-matches", 1, SYMBOL_OR_STRING, &text) == FALSE ||
		EnvArgTypeCheck(env, "fathom-matches", 2, SYMBOL_OR_STRING, &pattern) == FALSE)
		return;
	struct sg_error err = {0};
	int m = sg_rules_matches(ValueToString(pattern.value), ValueToString(text.value), &err);
	if (m < 0)
		set_failed(env, err.text);
	else if (m == 1)
		SetpValue(ret, EnvTrueSymbol(env));
}

static void has_number(
	void *env, DATA_OBJECT_PTR ret, const char *name, bool (*find)(const char *text))
{
	DATA_OBJECT text;
	result_false(env, ret);
	if (late(env) || EnvArgTypeCheck(env, name, 1, SYMBOL_OR_STRING, &text) == FALSE)
		return;
	if (find(ValueToString(text.value)))
		SetpValue(ret, EnvTrueSymbol(env));
}

static void fn_has_card(void *env, DATA_OBJECT_PTR ret)
{
	has_number(env, ret, "has-card-number", sg_rules_has_card);
}

static void fn_has_iban(void *env, DATA_OBJECT_PTR ret)
{
	has_number(env, ret, "has-iban", sg_rules_has_iban);
}

static void fn_upcase(void *env, DATA_OBJECT_PTR ret)
{
	result_false(env, ret);
	if (!late(env))
		UpcaseFunction(env, ret);
}

static void fn_lowcase(void *env, DATA_OBJECT_PTR ret)
{
	result_false(env, ret);
	if (!late(env))
		LowcaseFunction(env, ret);
}

static void *fn_sub_string(void *env)
{
	return late(env) ? EnvAddSymbol(env, "") : SubStringFunction(env);
}

static long long fn_str_length(void *env)
{
	return late(env) ? 0 : StrLengthFunction(env);
}

static long long fn_str_compare(void *env)
{
	return late(env) ? 0 : StrCompareFunction(env);
}

/* ---- asserts from right-hand sides: the join product is bounded before it happens ---- */

static struct expr *first_argument(void *env)
{
	return EvaluationData(env)->CurrentExpression->argList;
}

static bool admitted(void *env, struct deftemplate *t)
{
	struct sg_rules *r = rules_of(env);
	if (!r->failure) /* while building: deffacts and defaults are not asserted yet */
		return true;
	if (r->failure->code == 0 && sg_network_admit(r, t, r->failure) == 0)
		return true;
	SetEvaluationError(env, TRUE);
	SetHaltExecution(env, TRUE);
	return false;
}

static void count_result(void *env, DATA_OBJECT_PTR ret)
{
	if (GetpType(ret) == FACT_ADDRESS)
		sg_network_added(rules_of(env), GetpValue(ret));
}

static void fn_assert(void *env, DATA_OBJECT_PTR ret)
{
	struct expr *first = first_argument(env);
	result_false(env, ret);
	if (!admitted(env, first->value))
		return;
	AssertCommand(env, ret);
	count_result(env, ret);
}

static void fn_modify(void *env, DATA_OBJECT_PTR ret)
{
	DATA_OBJECT fact;
	result_false(env, ret);
	EvaluateExpression(env, first_argument(env), &fact); /* a variable: no side effect */
	if (fact.type == FACT_ADDRESS &&
		!admitted(env, ((struct fact *)fact.value)->whichDeftemplate))
		return;
	ModifyCommand(env, ret);
	count_result(env, ret);
}

/* ---- the wall ---- */

static int no_memory(void *env SG_UNUSED, size_t n SG_UNUSED)
{
	abort(); /* CLIPS cannot unwind; memory is bounded far below this */
}

/* CLIPS's own parsers look these up; the checks keep rule text from calling them. */
static bool kept(const char *name)
{
	static const char *const internal[] = {"progn", "create$", "expand$", "(expansion-call)"};
	for (size_t i = 0; i < SG_ARRAY_LEN(internal); i++)
		if (strcmp(name, internal[i]) == 0)
			return true;
	return sg_function_allowed(name);
}

static void remove_functions(void *env)
{
	struct FunctionDefinition *next;
	for (struct FunctionDefinition *f = ExternalFunctionData(env)->ListOfFunctions; f;
		f = next) {
		next = f->next;
		if (!kept(ValueToString(f->callFunctionName)))
			(void)UndefineFunction(env, ValueToString(f->callFunctionName));
	}
}

/* Every reset would make (initial-object), by messages; nothing here has objects. */
static void remove_initial_object(void *env)
{
	void *it = EnvFindDefinstances(env, "initial-object");
	if (it)
		(void)EnvUndefinstances(env, it);
}

static void remove_constructs(void *env)
{
	static const char *const names[] = {"defmodule", "defglobal", "deffunction", "defgeneric",
		"defmethod", "defclass", "defmessage-handler", "definstances"};
	for (size_t i = 0; i < SG_ARRAY_LEN(names); i++)
		(void)RemoveConstruct(env, names[i]);
}

static void replace_function(
	void *env, const char *name, int type, int (*fn)(void *), const char *restrictions)
{
	(void)UndefineFunction(env, name);
	(void)EnvDefineFunction2(env, name, type, fn, name, restrictions);
}

int sg_sandbox_open(struct sg_rules *r, struct sg_error *err)
{
	void *env = CreateEnvironment();
	if (!env)
		return sg_error_nomem(err);
	SetEnvironmentContext(env, r);
	(void)EnvSetOutOfMemoryFunction(env, no_memory);
	remove_initial_object(env);
	remove_functions(env);
	remove_constructs(env);
	replace_function(env, "div", 'l', ANY_FN(fn_div), "2*n");
	replace_function(env, "mod", 'u', ANY_FN(fn_mod), "22n");
	replace_function(env, "upcase", 'u', ANY_FN(fn_upcase), "11j");
	replace_function(env, "lowcase", 'u', ANY_FN(fn_lowcase), "11j");
	replace_function(env, "sub-string", 's', ANY_FN(fn_sub_string), "33*iik");
	replace_function(env, "str-length", 'g', ANY_FN(fn_str_length), "11j");
	replace_function(env, "str-compare", 'g', ANY_FN(fn_str_compare), "23*jji");
	replace_function(env, "str-cat", 'u', ANY_FN(fn_str_cat), "1*");
	replace_function(env, "sym-cat", 'u', ANY_FN(fn_sym_cat), "1*");
	replace_function(env, "str-index", 'u', ANY_FN(fn_str_index), "22k");
	replace_function(env, "fathom-matches", 'u', ANY_FN(fn_matches), "22k");
	replace_function(env, "has-card-number", 'u', ANY_FN(fn_has_card), "11k");
	replace_function(env, "has-iban", 'u', ANY_FN(fn_has_iban), "11k");
	/* these have parsers of their own, so only what they call changes */
	FindFunction(env, "assert")->functionPointer = (int (*)(void))(void (*)(void))fn_assert;
	FindFunction(env, "modify")->functionPointer = (int (*)(void))(void (*)(void))fn_modify;
	(void)EnvAddRouter(env, "stargraph", 40, router_knows, router_print, NULL, NULL, NULL);
	EnvSetFactDuplication(env, FALSE);
	r->env = env;
	return 0;
}

void sg_sandbox_close(struct sg_rules *r)
{
	if (r->env) {
		sg_computed_drop_code(r);
		DestroyEnvironment(r->env);
	}
	r->env = NULL;
}
