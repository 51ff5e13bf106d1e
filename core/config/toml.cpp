/* TOML through toml++, whose own exceptions are off; what may still be thrown (std::bad_alloc, and
 * the broken assumptions below) stops at the one function that C calls.
 *
 * toml++ 3.3 aborts, or with NDEBUG optimizes on, where an assumption of its parser does not hold,
 * and hostile text reaches such places ("[!" for one). Here a broken assumption is an exception;
 * only the one about a key's first character is let through, because the parser goes on to report
 * that properly, with its place. */
#include <cstring>
#include <exception>

namespace
{
struct broken_assumption : std::exception {
};

inline void assumption_fails(const char *text)
{
	if (std::strncmp(text, "is_bare_key_character", 21) != 0)
		throw broken_assumption();
}
} // namespace

#undef NDEBUG /* or toml++ takes its assumptions for granted */
#define TOML_ASSERT(expr) (static_cast<bool>(expr) ? static_cast<void>(0) : assumption_fails(#expr))
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <cmath>
#include <cstdlib>
#include <new>
#include <string_view>

extern "C" {
#include "config/toml.h"
}

namespace
{

struct place {
	const char *name;
	sg_error *err;
};

int fail(const place &p, const toml::source_region &at, const char *what)
{
	return sg_error_set(p.err, SG_EINVALID, nullptr, "%s:%u:%u: %s", p.name, at.begin.line,
		at.begin.column, what);
}

int convert(const place &p, const toml::node &n, sg_mark *m, unsigned depth, json_t **ret);

sg_mark *add_mark(sg_mark *m, const toml::key *key)
{
	sg_mark *child = sg_mark_add(m);
	if (!child)
		throw std::bad_alloc();
	if (!key)
		return child;
	child->key_line = static_cast<int>(key->source().begin.line);
	child->key_column = static_cast<int>(key->source().begin.column);
	child->name = strndup(key->str().data(), key->str().size());
	if (!child->name)
		throw std::bad_alloc();
	return child;
}

int convert_table(const place &p, const toml::table &t, sg_mark *m, unsigned depth, json_t *object)
{
	for (auto &&[key, value] : t) {
		if (key.str().find('\0') != std::string_view::npos)
			return fail(p, key.source(), "a NUL character in a key");
		json_t *v;
		sg_mark *child = add_mark(m, &key);
		int r = convert(p, value, child, depth, &v);
		if (r < 0)
			return r;
		if (json_object_set_new(object, child->name, v) < 0)
			throw std::bad_alloc();
	}
	return 0;
}

int convert_array(const place &p, const toml::array &a, sg_mark *m, unsigned depth, json_t *array)
{
	for (auto &&value : a) {
		json_t *v;
		int r = convert(p, value, add_mark(m, nullptr), depth, &v);
		if (r < 0)
			return r;
		if (json_array_append_new(array, v) < 0)
			throw std::bad_alloc();
	}
	return 0;
}

int convert_string(const place &p, const toml::node &n, json_t **ret)
{
	const std::string &s = n.as_string()->get();
	if (s.find('\0') != std::string::npos)
		return fail(p, n.source(), "a NUL character in text");
	*ret = json_stringn(s.data(), s.size());
	return *ret ? 0 : fail(p, n.source(), "text is not valid UTF-8");
}

int convert_scalar(const place &p, const toml::node &n, json_t **ret)
{
	if (n.is_string())
		return convert_string(p, n, ret);
	if (n.is_integer())
		*ret = json_integer(n.as_integer()->get());
	else if (n.is_boolean())
		*ret = json_boolean(n.as_boolean()->get());
	else if (!n.is_floating_point())
		return fail(p, n.source(), "dates and times are not used here; write a string");
	else if (!std::isfinite(n.as_floating_point()->get()))
		return fail(p, n.source(), "infinities and NaN are not allowed");
	else
		*ret = json_real(n.as_floating_point()->get());
	if (!*ret)
		throw std::bad_alloc();
	return 0;
}

int convert(const place &p, const toml::node &n, sg_mark *m, unsigned depth, json_t **ret)
{
	m->line = static_cast<int>(n.source().begin.line);
	m->column = static_cast<int>(n.source().begin.column);
	if (depth > SG_TOML_MAX_DEPTH)
		return fail(p, n.source(), "nested too deeply");
	if (!n.is_table() && !n.is_array())
		return convert_scalar(p, n, ret);
	json_auto_t *v = n.is_table() ? json_object() : json_array();
	if (!v)
		throw std::bad_alloc();
	int r = n.is_table() ? convert_table(p, *n.as_table(), m, depth + 1, v)
			     : convert_array(p, *n.as_array(), m, depth + 1, v);
	if (r == 0)
		*ret = json_incref(v);
	return r;
}

int read_all(const place &p, std::string_view text, sg_mark *marks, json_t **ret_root)
{
	toml::parse_result result = toml::parse(text, std::string_view(p.name));
	if (!result) {
		const toml::parse_error &e = result.error();
		return sg_error_set(p.err, SG_EINVALID, nullptr, "%s:%u:%u: %.*s", p.name,
			e.source().begin.line, e.source().begin.column,
			static_cast<int>(e.description().size()), e.description().data());
	}
	return convert(p, result.table(), marks, 0, ret_root);
}

} // namespace

int sg_toml_read(const char *name, const char *text, size_t n, json_t **ret_root,
	sg_mark **ret_marks, sg_error *err)
{
	if (n > SG_TOML_MAX_BYTES)
		return sg_error_set(err, SG_ELIMIT, nullptr, "%s has %zu bytes, the limit is %u",
			name, n, SG_TOML_MAX_BYTES);
	sg_mark *marks = static_cast<sg_mark *>(calloc(1, sizeof(*marks)));
	if (!marks)
		return sg_error_nomem(err);
	int r;
	try {
		r = read_all({name, err}, {text, n}, marks, ret_root);
	} catch (const std::bad_alloc &) {
		r = sg_error_nomem(err);
	} catch (const std::exception &) {
		r = sg_error_set(err, SG_EINVALID, nullptr, "%s:1:1: not TOML", name);
	}
	if (r < 0)
		sg_mark_destroy(marks);
	else
		*ret_marks = marks;
	return r;
}
