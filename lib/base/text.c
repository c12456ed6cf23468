/* Byte-wise checks and escapes; the C locale is never consulted. */
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at p, or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
	static const struct {
		unsigned char first_min, first_max, second_min, second_max, n;
	} forms[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first_min || p[0] > forms[i].first_max)
			continue;
		if (len < forms[i].n)
			return 0;
		if (forms[i].n > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].n; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].n;
	}
	return 0;
}

bool text_is_utf8(const void *text, size_t len)
{
	const unsigned char *p = text;

	while (len > 0) {
		size_t n = utf8_sequence(p, len);

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static bool is_control(const unsigned char *p, size_t n)
{
	if (n == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	return n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

bool text_is_plain(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	while (len > 0) {
		size_t n = utf8_sequence(p, len);

		if (n == 0 || is_control(p, n))
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* Write the escaped form of the character at p into out (at most 16 bytes); returns its length and
 * sets how many input bytes it stands for. */
static size_t escape_one(const unsigned char *p, size_t len, char out[16], size_t *ret_used)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "\nn\rr\tt\\\\";
	size_t n = utf8_sequence(p, len);

	*ret_used = n ? n : 1;
	for (size_t i = 0; n == 1 && i < sizeof(letters) - 1; i += 2)
		if (p[0] == (unsigned char)letters[i]) {
			out[0] = '\\';
			out[1] = letters[i + 1];
			return 2;
		}
	if (n && !is_control(p, n)) {
		memcpy(out, p, n);
		return n;
	}
	for (size_t i = 0; i < *ret_used; i++)
		memcpy(out + 4 * i, (char[]){ '\\', 'x', hex[p[i] >> 4], hex[p[i] & 15] }, 4);
	return 4 * *ret_used;
}

void text_escape(const char *text, size_t len, char *ret, size_t ret_len)
{
	size_t done = 0, cut = 0; /* where the mark goes if the rest does not fit */

	while (len > 0) {
		char one[16];
		size_t used, n = escape_one((const unsigned char *)text, len, one, &used);

		if (done + n + 1 > ret_len) {
			memcpy(ret + cut, "...", 3);
			done = cut + 3;
			break;
		}
		memcpy(ret + done, one, n);
		done += n;
		text += used;
		len -= used;
		if (done + 3 + 1 <= ret_len)
			cut = done;
	}
	ret[done] = '\0';
}

int text_to_u64(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	if (value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

/* Divides by the largest unit that leaves no rest, and returns its letter; NUL: none does. */
static char take_unit(uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *unit = units;

	for (; *unit && *bytes >= 1024 && *bytes % 1024 == 0; unit++)
		*bytes /= 1024;
	return unit > units ? unit[-1] : '\0';
}

const char *text_size(uint64_t bytes, char ret[TEXT_SIZE_LEN])
{
	char unit = take_unit(&bytes);

	if (unit)
		(void)snprintf(ret, TEXT_SIZE_LEN, "%" PRIu64 "%c", bytes, unit);
	else
		(void)snprintf(ret, TEXT_SIZE_LEN, "%" PRIu64 " byte%s", bytes,
		               bytes == 1 ? "" : "s");
	return ret;
}

const char *text_size_json(uint64_t bytes, char ret[TEXT_SIZE_LEN])
{
	char unit = take_unit(&bytes);

	if (unit)
		(void)snprintf(ret, TEXT_SIZE_LEN, "\"%" PRIu64 "%c\"", bytes, unit);
	else
		(void)snprintf(ret, TEXT_SIZE_LEN, "%" PRIu64, bytes);
	return ret;
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool text_is_name(const char *text, size_t len)
{
	if (len < 1 || len > 64 || !(is_lower(text[0]) || is_digit(text[0])))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '.' && text[i] != '_' &&
		    text[i] != '-')
			return false;
	return true;
}

bool text_is_variable(const char *text, size_t len)
{
	if (len < 1 || len > 128 || !(is_letter(text[0]) || text[0] == '_'))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '_')
			return false;
	return true;
}

bool text_is_output(const char *text, size_t len)
{
	if (len < 1 || len > 64 || !is_lower(text[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '_' && text[i] != '-')
			return false;
	return true;
}

bool text_is_input(const char *text, size_t len)
{
	if (len < 1 || len > 64 || text[0] == '.' || text[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '.' && text[i] != '_' &&
		    text[i] != '-')
			return false;
	return true;
}

static bool is_made_of(const char *text, size_t len, const char *letters)
{
	for (size_t i = 0; i < len; i++)
		if (!text[i] || !strchr(letters, text[i]))
			return false;
	return true;
}

bool text_is_store_name(const char *text, size_t len)
{
	enum { HASH_LEN = 32, NAME_MAX_LEN = 211 };
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ+._?=-";

	if (len <= HASH_LEN + 1 || len > HASH_LEN + 1 + NAME_MAX_LEN || text[HASH_LEN] != '-')
		return false;
	return is_made_of(text, HASH_LEN, digits) &&
	       is_made_of(text + HASH_LEN + 1, len - HASH_LEN - 1, letters);
}

bool path_is_inner(const char *path, size_t len)
{
	const char *end = path + len, *slash;

	if (memchr(path, '\0', len))
		return false;
	for (const char *name = path;; name = slash + 1) {
		size_t n;

		slash = memchr(name, '/', (size_t)(end - name));
		n = (size_t)((slash ? slash : end) - name);
		if (n == 0 || (n <= 2 && memcmp(name, "..", n) == 0))
			return false;
		if (!slash)
			return true;
	}
}

bool path_is_below(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	return strcmp(outer, "/") == 0 ||
	       (strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0'));
}
