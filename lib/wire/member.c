/* Objects by table, and the kinds of member that know nothing about messages. */
#include "member.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/text.h"

enum { ERROR_CODE_LEN = 32 };

int member_refuse(const struct member *member, struct error *err, const char *fmt, ...)
{
	char text[COMPLAINT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set(err, BLAME_PEER, EBADMSG, "member \"%s\" %s", member->name, text);
}

void *member_at(const struct member *member, const void *base)
{
	return (char *)(uintptr_t)base + member->at;
}

/* ---- objects by table ---- */

int members_read(const struct member *members, size_t n, json_t *object, void *base,
                 struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		json_t *json = json_object_get(object, members[i].name);
		int r;

		if (!json && members[i].must)
			return member_refuse(&members[i], err, "is missing");
		if (!json)
			continue;
		r = members[i].kind->read(&members[i], json, base, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int members_print(const struct member *members, size_t n, const void *base, json_t *object,
                  struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		json_t *json;
		int r = members[i].kind->print(&members[i], base, &json);

		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot print member \"%s\"",
			                   members[i].name);
		if (json && json_object_set_new(object, members[i].name, json) < 0)
			return wire_no_memory(err);
	}
	return 0;
}

void members_done(const struct member *members, size_t n, void *base)
{
	for (size_t i = 0; i < n; i++)
		if (members[i].kind->done)
			members[i].kind->done(&members[i], base);
}

int members_to_json(const struct member *members, size_t n, const void *base, json_t **ret)
{
	cleanup_json json_t *object = json_object();
	struct error err;
	int r;

	if (!object)
		return -ENOMEM;
	r = members_print(members, n, base, object, &err);
	if (r < 0)
		return r;
	*ret = take_ptr(&object);
	return 0;
}

/* ---- numbers and truth ---- */

static int read_number(const struct member *member, json_t *json, uint64_t *ret, struct error *err)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < 0 || (uint64_t)value < member->min ||
	    (uint64_t)value > member->max)
		return member_refuse(member, err, "must be a whole number from %llu to %llu",
		                     (unsigned long long)member->min,
		                     (unsigned long long)member->max);
	*ret = (uint64_t)value;
	return 0;
}

static int print_number(const struct member *member, uint64_t value, json_t **ret)
{
	*ret = NULL;
	if (value == 0 && !member->must)
		return 0;
	if (value < member->min || value > member->max)
		return -ERANGE;
	*ret = json_integer((json_int_t)value);
	return *ret ? 0 : -ENOMEM;
}

static int read_u32(const struct member *member, json_t *json, void *base, struct error *err)
{
	uint64_t value = 0;
	int r = read_number(member, json, &value, err);

	if (r == 0)
		*(uint32_t *)member_at(member, base) = (uint32_t)value;
	return r;
}

static int print_u32(const struct member *member, const void *base, json_t **ret)
{
	return print_number(member, *(const uint32_t *)member_at(member, base), ret);
}

static int read_u64(const struct member *member, json_t *json, void *base, struct error *err)
{
	return read_number(member, json, member_at(member, base), err);
}

static int print_u64(const struct member *member, const void *base, json_t **ret)
{
	return print_number(member, *(const uint64_t *)member_at(member, base), ret);
}

static int read_bool(const struct member *member, json_t *json, void *base, struct error *err)
{
	if (!json_is_boolean(json))
		return member_refuse(member, err, "must be true or false");
	*(bool *)member_at(member, base) = json_is_true(json);
	return 0;
}

static int print_bool(const struct member *member, const void *base, json_t **ret)
{
	*ret = *(const bool *)member_at(member, base) ? json_true() : NULL;
	return 0;
}

const struct kind u32_kind = { .read = read_u32, .print = print_u32 };
const struct kind u64_kind = { .read = read_u64, .print = print_u64 };
const struct kind bool_kind = { .read = read_bool, .print = print_bool };

/* ---- strings ---- */

char *wire_copy_bytes(const char *bytes, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

int wire_copy_string(json_t *json, char **ret, struct error *err)
{
	*ret = wire_copy_bytes(json_string_value(json), json_string_length(json));
	return *ret ? 0 : wire_no_memory(err);
}

int wire_print_text(const char *text, size_t len, json_t **ret)
{
	if (!text_is_utf8(text, len))
		return -EILSEQ;
	*ret = json_stringn(text, len);
	return *ret ? 0 : -ENOMEM;
}

static int read_string(const struct member *member, json_t *json, void *base, struct error *err)
{
	if (!json_is_string(json))
		return member_refuse(member, err, "must be a string");
	if (member->fits && !member->fits(json_string_value(json), json_string_length(json)))
		return member_refuse(member, err, "must match %s", member->pattern);
	return wire_copy_string(json, member_at(member, base), err);
}

static int print_string(const struct member *member, const void *base, json_t **ret)
{
	const char *text = *(char *const *)member_at(member, base);

	*ret = NULL;
	if (!text)
		return member->must ? -EINVAL : 0;
	return wire_print_text(text, strlen(text), ret);
}

static void done_pointer(const struct member *member, void *base)
{
	freep(member_at(member, base));
}

const struct kind string_kind = {
	.read = read_string,
	.print = print_string,
	.done = done_pointer,
};

/* ---- lists of names ---- */

static void done_names(const struct member *member, void *base)
{
	char ***names = member_at(member, base);

	for (char **name = *names; name && *name; name++)
		free(*name);
	freep(names);
}

static int read_names(const struct member *member, json_t *json, void *base, struct error *err)
{
	char ***names = member_at(member, base);
	size_t n = json_array_size(json);

	if (!json_is_array(json) || n > member->max)
		return member_refuse(member, err, "must be a list of at most %d names",
		                     (int)member->max);
	*names = calloc(n + 1, sizeof(**names));
	if (!*names)
		return wire_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		json_t *name = json_array_get(json, i);

		if (!json_is_string(name) ||
		    !member->fits(json_string_value(name), json_string_length(name)))
			return member_refuse(member, err, "must hold names that match %s",
			                     member->pattern);
		if (wire_copy_string(name, &(*names)[i], err) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int print_names(const struct member *member, const void *base, json_t **ret)
{
	char *const *const *names = member_at(member, base);
	cleanup_json json_t *list = NULL;

	*ret = NULL;
	if (!*names)
		return 0;
	list = json_array();
	for (char *const *name = *names; *name; name++) {
		json_t *json;
		int r = wire_print_text(*name, strlen(*name), &json);

		if (r < 0)
			return r;
		if (json_array_append_new(list, json) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&list);
	return 0;
}

const struct kind names_kind = { read_names, print_names, done_names };

/* ---- what texts look like ---- */

static bool is_hex(const char *text, size_t len, size_t want)
{
	return len == want && strspn(text, "0123456789abcdef") == len;
}

bool wire_is_id(const char *text, size_t len)
{
	return is_hex(text, len, WIRE_ID_LEN);
}

bool wire_is_sha256(const char *text, size_t len)
{
	return is_hex(text, len, DIGEST_HEX_LEN);
}

bool wire_is_error_code(const char *text, size_t len)
{
	return len >= 1 && len <= ERROR_CODE_LEN &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz-") == len;
}

bool wire_is_request_id(const char *text, size_t len)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";

	return len >= 1 && len <= WIRE_REQUEST_ID_MAX && strspn(text, allowed) == len;
}

bool wire_is_phase(const char *text, size_t len)
{
	return len >= 1 && len <= WIRE_PHASE_MAX && text_is_plain(text, len);
}
