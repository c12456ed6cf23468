/* Where the keys of a definition stand. */
#include "source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

void source_free(struct source *source)
{
	if (!source)
		return;
	document_done(&source->doc);
	free(source->text);
	free(source);
}

static void source_freep(struct source **source)
{
	source_free(*source);
}

int source_make(const char *file, const char *text, size_t len, struct source **ret,
                struct error *err)
{
	cleanup_(source_freep) struct source *source = calloc(1, sizeof(*source));
	int r;

	if (source)
		source->text = malloc(len + 1);
	if (!source || !source->text)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to read %s", file);
	memcpy(source->text, text, len);
	source->text[len] = '\0';
	r = document_parse(file, source->text, len, &source->doc, err);
	if (r == 0)
		*ret = take_ptr(&source);
	return r;
}

/* The value at "allow.users", or NULL. */
static const struct value *find(const struct value *object, const char *key)
{
	while (object) {
		const char *end = strchrnul(key, '.');
		const struct value *found = NULL;

		for (size_t i = 0; object->kind == VALUE_OBJECT && i < object->n_items; i++)
			if (strlen(object->items[i].key) == (size_t)(end - key) &&
			    memcmp(object->items[i].key, key, (size_t)(end - key)) == 0)
				found = &object->items[i];
		if (*end == '\0')
			return found;
		object = found;
		key = end + 1;
	}
	return NULL;
}

struct position builder_position(const struct builder *builder, const char *key, size_t item)
{
	const struct value *value = builder->source ? find(&builder->source->doc.root, key) : NULL;
	struct position position = { 0, 0 };

	if (!value)
		return position;
	if (item == POSITION_OF_KEY)
		document_place(&builder->source->doc, value->key_at, &position.line,
		               &position.column);
	else if (item == POSITION_OF_VALUE)
		document_place(&builder->source->doc, value->at, &position.line, &position.column);
	else if (item < value->n_items)
		document_place(&builder->source->doc, value->items[item].at, &position.line,
		               &position.column);
	return position;
}

int builder_fail(const struct builder *builder, const char *key, size_t item, const char *what,
                 const struct error *why, struct error *err)
{
	struct position at = builder_position(builder, key, item);
	char place[48] = "";

	if (at.line)
		(void)snprintf(place, sizeof(place), ":%zu:%zu", at.line, at.column);
	(void)error_set(err, BLAME_HOST, why->code, "%s%s: the %s of builder `%s`: %s",
	                builder->file, place, what, builder->name, why->text);
	if (why->hint[0])
		(void)error_hint(err, "%s", why->hint);
	return -why->code;
}
