/* A list that grows, and texts cut to their place: what is told must never fail a request. */
#include "rulings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "hatchd/config/config.h"
#include "lib/base/text.h"

void rulings_done(struct rulings *rulings)
{
	free(rulings->items);
	*rulings = (struct rulings){ 0 };
}

struct ruling *rulings_note(struct rulings *rulings, bool allowed, const char *key, size_t item)
{
	struct ruling *items;

	if (!rulings || rulings->failed)
		return NULL;
	items = reallocarray(rulings->items, rulings->n_items + 1, sizeof(*items));
	if (!items) {
		rulings->failed = true;
		return NULL;
	}
	rulings->items = items;
	items[rulings->n_items] = (struct ruling){ .key = key, .item = item, .allowed = allowed };
	return &items[rulings->n_items++];
}

void ruling_describe(struct ruling *ruling, const char *about, const char *fmt, ...)
{
	va_list ap;

	if (!ruling)
		return;
	(void)snprintf(ruling->about, sizeof(ruling->about), "%s", about);
	va_start(ap, fmt);
	(void)vsnprintf(ruling->text, sizeof(ruling->text), fmt, ap);
	va_end(ap);
}

void rulings_refuse(struct rulings *rulings, const char *key, const char *about)
{
	ruling_describe(rulings_note(rulings, false, key, POSITION_OF_KEY), about, "%s", "");
}

const char *ruling_show(const char *text, size_t len, char buf[RULING_SHOWN_LEN])
{
	text_escape(text, len, buf, RULING_SHOWN_LEN);
	return buf;
}
