/*
 * What JSON cannot say: bytes that are not UTF-8. As an argument or a variable they are an object
 * with one member, "b64"; as a piece of an inline log they stand in a member of another name.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/encoding.h"
#include "lib/base/text.h"
#include "member.h"

#define cleanup_buffer cleanup_(buffer_done)

/* ---- text: any bytes but NUL ---- */

/* Base64 to bytes; -EINVAL if it is not base64. */
static int decode(json_t *json, struct text *ret)
{
	cleanup_buffer struct buffer buf = { 0 };
	int r = base64_decode(&buf, json_string_value(json), json_string_length(json));

	if (r == 0)
		r = buffer_reserve(&buf, 0); /* empty bytes are a pointer too */
	if (r < 0)
		return r;
	ret->len = buf.len;
	ret->data = take_ptr(&buf.data);
	ret->data[ret->len] = '\0';
	return 0;
}

static int encode(const struct text *text, json_t **ret)
{
	cleanup_buffer struct buffer buf = { 0 };
	int r = base64_encode(&buf, text->data, text->len);

	if (r < 0)
		return r;
	*ret = json_stringn(buf.data, buf.len);
	return *ret ? 0 : -ENOMEM;
}

static bool is_plain(const struct text *text)
{
	return !memchr(text->data, '\0', text->len) && text_is_utf8(text->data, text->len);
}

/* A string, or {"b64": "..."}. */
int wire_read_bytes(const struct member *member, json_t *json, struct text *ret, struct error *err)
{
	json_t *b64 = json_object_get(json, "b64");
	int r;

	if (json_is_string(json)) {
		ret->len = json_string_length(json);
		return wire_copy_string(json, &ret->data, err);
	}
	if (!json_is_string(b64))
		return member_refuse(member, err, "must hold strings or {\"b64\": \"...\"}");
	r = decode(b64, ret);
	if (r == -ENOMEM)
		return wire_no_memory(err);
	if (r < 0)
		return member_refuse(member, err, "holds something that is not padded base64");
	if (memchr(ret->data, '\0', ret->len))
		return member_refuse(member, err, "holds a NUL byte");
	return 0;
}

int wire_print_bytes(const struct text *text, json_t **ret)
{
	cleanup_json json_t *object = NULL;
	json_t *b64;
	int r;

	if (is_plain(text))
		return wire_print_text(text->data, text->len, ret);
	if (memchr(text->data, '\0', text->len))
		return -EINVAL;
	object = json_object();
	r = encode(text, &b64);
	if (r < 0)
		return r;
	if (json_object_set_new(object, "b64", b64) < 0)
		return -ENOMEM;
	*ret = take_ptr(&object);
	return 0;
}

/* ---- the data of inline replies: log bytes, NUL included ---- */

static int read_data(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct text *text = member_at(member, base);

	if (!json_is_string(json))
		return member_refuse(member, err, "must be a string");
	text->len = json_string_length(json);
	return wire_copy_string(json, &text->data, err);
}

static int print_data(const struct member *member, const void *base, json_t **ret)
{
	const struct text *text = member_at(member, base);

	*ret = NULL;
	return text->data && is_plain(text) ? wire_print_text(text->data, text->len, ret) : 0;
}

static void done_text(const struct member *member, void *base)
{
	struct text *text = member_at(member, base);

	freep(&text->data);
}

static int read_data_b64(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct text *text = member_at(member, base);
	int r;

	if (text->data)
		return member_refuse(member, err, "stands beside \"data\"");
	if (!json_is_string(json))
		return member_refuse(member, err, "must be a string");
	r = decode(json, text);
	if (r == -ENOMEM)
		return wire_no_memory(err);
	return r < 0 ? member_refuse(member, err, "must be padded base64") : 0;
}

static int print_data_b64(const struct member *member, const void *base, json_t **ret)
{
	const struct text *text = member_at(member, base);

	*ret = NULL;
	return text->data && !is_plain(text) ? encode(text, ret) : 0;
}

const struct kind data_kind = { read_data, print_data, done_text };
const struct kind data_b64_kind = { .read = read_data_b64, .print = print_data_b64 };
