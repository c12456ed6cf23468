/* What the caller asks for: the command line and nothing else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/wire/message.h"

enum command {
	COMMAND_RUN,
	COMMAND_LIST,
	COMMAND_PING,
	COMMAND_HELP,
	COMMAND_VERSION,
};

/* Everything points into argv. */
struct options {
	enum command command;
	const char *socket;  /* NULL: the usual places */
	const char *builder; /* NULL: the derivation names it */
	char **args;
	size_t n_args;
	const char *env[WIRE_ENV_MAX]; /* NAME or NAME=VALUE */
	size_t n_env;
	const char *outputs[WIRE_OUTPUTS_MAX]; /* NAME or NAME=PATH */
	size_t n_outputs;
	bool no_outputs;
	const char *inputs[WIRE_INPUTS_MAX]; /* NAME=PATH */
	size_t n_inputs;
	uint64_t timeout_sec;   /* 0: not given */
	uint64_t heartbeat_sec; /* the same */
	const char *request_id;
	enum wire_references references;
	bool quiet, raw;
};

/*
 * options_parse - argv into ret
 *
 * A program name other than "hatch" is the name of a builder, and every argument is the builder's.
 *
 * Errors  BLAME_PEER -EINVAL, with a hint
 */
int options_parse(int argc, char **argv, struct options *ret, struct error *err);

/* options_help - the text of --help */
const char *options_help(void);
