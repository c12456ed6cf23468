/*
 * The text that a definition was read from, kept with it: so that whoever names one of its keys
 * later can say where it stands, without every key having to remember. For config/ only; others ask
 * builder_position().
 */
#pragma once

#include "document.h"

struct source {
	char *text; /* owned; what the document points into */
	struct document doc;
};

/* source_make - parse a copy of the text. file: name for messages, must outlive it. Errors: as
 * document_parse() */
int source_make(const char *file, const char *text, size_t len, struct source **ret,
                struct error *err);
void source_free(struct source *source);
