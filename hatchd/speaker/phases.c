/* Lines of a stranger; see phases.h. */
#include "phases.h"

#include <string.h>

#include "lib/base/text.h"

static const char word[] = "phase ";

/* A cut line may end in a part of a character, which would make all of it no text. */
static size_t whole_characters(const char *text, size_t len)
{
	size_t n = len;

	while (n > 0 && len - n < 3 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
		n--;
	return n > 0 && (unsigned char)text[n - 1] >= 0xc0 ? n - 1 : len;
}

static void take_text(struct phases *phases, const char *text, size_t len)
{
	if (len == 0)
		return;
	if (text_is_plain(text, len)) {
		memcpy(phases->text, text, len);
		phases->text[len] = '\0';
	} else {
		text_escape(text, len, phases->text, sizeof(phases->text));
	}
	phases->waits = true;
}

/* What is no phase is for releases to come. */
static void end_line(struct phases *phases)
{
	size_t len = phases->len, skip = sizeof(word) - 1;

	phases->len = 0;
	if (len == PHASES_LINE_MAX)
		len = whole_characters(phases->line, len);
	if (len > skip && memcmp(phases->line, word, skip) == 0)
		take_text(phases, phases->line + skip, len - skip);
}

void phases_feed(struct phases *phases, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline - bytes) : len;
		size_t room = PHASES_LINE_MAX - phases->len;

		memcpy(phases->line + phases->len, bytes, n < room ? n : room);
		phases->len += n < room ? n : room;
		if (newline)
			end_line(phases);
		n += newline ? 1 : 0;
		bytes += n;
		len -= n;
	}
}

const char *phases_take(struct phases *phases, int64_t now_ms)
{
	if (!phases->waits)
		return NULL;
	phases->waits = false;
	if (strcmp(phases->text, phases->said) == 0)
		return NULL;
	memcpy(phases->said, phases->text, sizeof(phases->said));
	phases->n_said += phases->n_said < PHASES_MANY;
	phases->next_ms = now_ms +
	                  (phases->n_said < PHASES_MANY ? PHASES_PAUSE_MS : PHASES_LONG_PAUSE_MS);
	return phases->text;
}
