/* Merges two sources of one request. Nothing is sent and nothing is written here. */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "nix.h"

static int no_memory(struct error *err)
{
	return error_set(err, BLAME_HOST, ENOMEM, "no memory for the request");
}

static int set_string(char **string, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*string);
	*string = copy;
	return 0;
}

static int set_text(struct text *text, const char *value)
{
	int r = set_string(&text->data, value);

	if (r == 0)
		text->len = strlen(value);
	return r;
}

/* ---- builder, arguments, marks ---- */

/* The attribute "hatch" is about another builder: only the outputs stay. */
static void forget_request(struct message *derivation)
{
	struct message outputs = { .type = MESSAGE_REQUEST };

	outputs.request.version = derivation->request.version;
	outputs.request.outputs = take_ptr(&derivation->request.outputs);
	outputs.request.n_outputs = derivation->request.n_outputs;
	derivation->request.n_outputs = 0;
	message_done(derivation);
	*derivation = outputs;
}

static int take_builder(const struct options *options, struct message *request, struct error *err)
{
	const char *name = options->builder;

	if (!name && !request->request.builder) {
		(void)error_set(err, BLAME_PEER, EINVAL, "no builder named");
		return error_hint(err, "hatch run BUILDER; hatch list tells which there are");
	}
	if (!name)
		return 0;
	if (!text_is_name(name, strlen(name)))
		return error_set(err, BLAME_PEER, EINVAL,
		                 "\"%s\" cannot be a builder: names match "
		                 "[a-z0-9][a-z0-9._-]{0,63}",
		                 name);
	return set_string(&request->request.builder, name) < 0 ? no_memory(err) : 0;
}

static void drop_args(struct message *request)
{
	for (size_t i = 0; i < request->request.n_args; i++)
		free(request->request.args[i].data);
	request->request.n_args = 0;
	freep(&request->request.args);
}

static int take_args(const struct options *options, struct message *request, struct error *err)
{
	if (options->n_args == 0)
		return 0;
	if (options->n_args > WIRE_ARGS_MAX)
		return error_set(err, BLAME_PEER, E2BIG, "%zu arguments are more than %d",
		                 options->n_args, WIRE_ARGS_MAX);
	drop_args(request);
	request->request.args = calloc(options->n_args, sizeof(struct text));
	if (!request->request.args)
		return no_memory(err);
	for (size_t i = 0; i < options->n_args; i++)
		if (set_text(&request->request.args[request->request.n_args++], options->args[i]) <
		    0)
			return no_memory(err);
	return 0;
}

static int take_marks(const struct options *options, struct message *request, struct error *err)
{
	if (options->timeout_sec > 0)
		request->request.timeout_sec = options->timeout_sec;
	if (options->references != REFERENCES_UNSAID)
		request->request.references = options->references;
	if (options->heartbeat_sec > 0)
		request->request.heartbeat_sec = options->heartbeat_sec;
	if (!options->request_id)
		return 0;
	return set_string(&request->request.request_id, options->request_id) < 0 ? no_memory(err)
	                                                                         : 0;
}

/* ---- variables ---- */

/* The variable of that name, or a new one; the list has room for WIRE_ENV_MAX. */
static int find_variable(struct message *request, const char *name, size_t len,
                         struct wire_variable **ret, struct error *err)
{
	struct wire_variable *env = request->request.env;
	size_t n = request->request.n_env;

	for (size_t i = 0; i < n; i++)
		if (strlen(env[i].name) == len && memcmp(env[i].name, name, len) == 0) {
			*ret = &env[i];
			return 0;
		}
	if (n == WIRE_ENV_MAX)
		return error_set(err, BLAME_PEER, E2BIG, "more than %d variables", WIRE_ENV_MAX);
	env[n] = (struct wire_variable){ .name = strndup(name, len) };
	if (!env[n].name)
		return no_memory(err);
	request->request.n_env++;
	*ret = &env[n];
	return 0;
}

static int take_variable(const char *option, struct message *request, struct error *err)
{
	size_t len = strcspn(option, "=");
	const char *value = option[len] ? option + len + 1 : getenv(option);
	struct wire_variable *variable;
	int r;

	if (!text_is_variable(option, len))
		return error_set(err, BLAME_PEER, EINVAL,
		                 "--env %.100s: no name of a variable; those match "
		                 "[A-Za-z_][A-Za-z0-9_]{0,127}",
		                 option);
	if (!value) {
		(void)error_set(err, BLAME_PEER, EINVAL, "--env %s: the variable is not set",
		                option);
		return error_hint(err, "set it, or give its value: --env %s=VALUE", option);
	}
	r = find_variable(request, option, len, &variable, err);
	if (r < 0)
		return r;
	return set_text(&variable->value, value) < 0 ? no_memory(err) : 0;
}

static int take_env(const struct options *options, struct message *request, struct error *err)
{
	struct wire_variable *env;

	if (options->n_env == 0)
		return 0;
	env = reallocarray(request->request.env, WIRE_ENV_MAX, sizeof(*env));
	if (!env)
		return no_memory(err);
	request->request.env = env;
	for (size_t i = 0; i < options->n_env; i++) {
		int r = take_variable(options->env[i], request, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- inputs ---- */

/* The derivation's or a new one of that name; the list has room for WIRE_INPUTS_MAX. */
static int find_input(struct message *request, const char *name, size_t len, struct wire_tree **ret,
                      struct error *err)
{
	struct wire_tree *inputs = request->request.inputs;
	size_t n = request->request.n_inputs;

	for (size_t i = 0; i < n; i++)
		if (strlen(inputs[i].name) == len && memcmp(inputs[i].name, name, len) == 0) {
			*ret = &inputs[i];
			return 0;
		}
	if (n == WIRE_INPUTS_MAX)
		return error_set(err, BLAME_PEER, E2BIG, "more than %d inputs", WIRE_INPUTS_MAX);
	inputs[n] = (struct wire_tree){ .name = strndup(name, len) };
	if (!inputs[n].name)
		return no_memory(err);
	request->request.n_inputs++;
	*ret = &inputs[n];
	return 0;
}

static int take_input(const char *option, struct message *request, struct error *err)
{
	size_t len = strcspn(option, "=");
	struct wire_tree *input;
	int r;

	if (!text_is_input(option, len))
		return error_set(err, BLAME_PEER, EINVAL,
		                 "--input %.100s: no name of an input; those match "
		                 "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}",
		                 option);
	if (!option[len] || !option[len + 1])
		return error_set(err, BLAME_PEER, EINVAL,
		                 "--input %s: no path; expected --input NAME=PATH", option);
	r = find_input(request, option, len, &input, err);
	if (r < 0)
		return r;
	return set_string(&input->path, option + len + 1) < 0 ? no_memory(err) : 0;
}

static int take_inputs(const struct options *options, struct message *request, struct error *err)
{
	struct wire_tree *inputs;

	if (options->n_inputs == 0)
		return 0;
	inputs = reallocarray(request->request.inputs, WIRE_INPUTS_MAX, sizeof(*inputs));
	if (!inputs)
		return no_memory(err);
	request->request.inputs = inputs;
	for (size_t i = 0; i < options->n_inputs; i++) {
		int r = take_input(options->inputs[i], request, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Finds them here, and leaves of their paths what the server may have too. */
static int find_trees(struct message *request, struct inputs *inputs, struct error *err)
{
	for (size_t i = 0; i < request->request.n_inputs; i++) {
		struct wire_tree *input = &request->request.inputs[i];
		int r;

		if (!input->path)
			return error_set(err, BLAME_PEER, EINVAL, "the input %s has no path",
			                 input->name);
		r = inputs_add(inputs, input->name, input->path, err);
		if (r < 0)
			return r;
		if (!nix_is_in_store(input->path))
			free(take_ptr(&input->path));
	}
	return 0;
}

/* ---- outputs ---- */

static const struct wire_tree *find_output(const struct message *derivation, const char *name)
{
	for (size_t i = 0; i < derivation->request.n_outputs; i++)
		if (strcmp(derivation->request.outputs[i].name, name) == 0)
			return &derivation->request.outputs[i];
	return NULL;
}

static int add_option(const char *option, const struct message *derivation, struct outputs *outputs,
                      struct error *err)
{
	size_t len = strcspn(option, "=");
	cleanup_free char *name = strndup(option, len);
	const struct wire_tree *output;

	if (!name)
		return no_memory(err);
	if (!text_is_output(option, len))
		return error_set(err, BLAME_PEER, EINVAL,
		                 "--output %.100s: no name of an output; those match "
		                 "[a-z][A-Za-z0-9_-]{0,63}",
		                 option);
	if (option[len])
		return outputs_add(outputs, name, option + len + 1, err);
	output = find_output(derivation, name);
	if (output && output->path)
		return outputs_add(outputs, name, output->path, err);
	(void)error_set(err, BLAME_PEER, EINVAL, "--output %s: where is it to go?", name);
	return error_hint(err,
	                  "--output %s=PATH; only outputs of the derivation that is being "
	                  "built need no path",
	                  name);
}

static int find_places(const struct options *options, const struct message *derivation,
                       struct outputs *outputs, struct error *err)
{
	for (size_t i = 0; i < derivation->request.n_outputs; i++) {
		const char *path = derivation->request.outputs[i].path;
		int r = path ? outputs_add_own(outputs, path, err) : 0;

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < options->n_outputs; i++) {
		int r = add_option(options->outputs[i], derivation, outputs, err);

		if (r < 0)
			return r;
	}
	if (options->n_outputs > 0 || options->no_outputs)
		return 0;
	for (size_t i = 0; i < derivation->request.n_outputs; i++) {
		const struct wire_tree *output = &derivation->request.outputs[i];
		int r = outputs_add(outputs, output->name, output->path ? output->path : "", err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void drop_outputs(struct message *request)
{
	for (size_t i = 0; i < request->request.n_outputs; i++) {
		free(request->request.outputs[i].name);
		free(request->request.outputs[i].path);
	}
	request->request.n_outputs = 0;
	freep(&request->request.outputs);
}

/* What the server hears of the places: the path where it must be the builder's too. */
static int tell_outputs(const struct outputs *outputs, struct message *request, struct error *err)
{
	drop_outputs(request);
	request->request.outputs = calloc(WIRE_OUTPUTS_MAX, sizeof(struct wire_tree));
	if (!request->request.outputs)
		return no_memory(err);
	for (size_t i = 0; i < outputs->n; i++) {
		struct wire_tree *output = &request->request.outputs[i];
		const struct output *place = &outputs->items[i];

		request->request.n_outputs++;
		output->name = strdup(place->name);
		if (!output->name)
			return no_memory(err);
		if (!nix_is_store_path(place->path))
			continue;
		output->path = strdup(place->path);
		if (!output->path)
			return no_memory(err);
	}
	return 0;
}

/* Our own parser says what the server's would: before anything is sent, and about our words. */
static int check_request(const struct message *request, struct error *err)
{
	cleanup_message struct message again = { 0 };
	cleanup_(buffer_done) struct buffer line = { 0 };
	int r = message_print(request, &line, err);

	if (r < 0)
		return r;
	r = message_parse(line.data, line.len - 1, &again, err);
	return r < 0 ? error_hint(err, "the request would not be understood") : 0;
}

/* ---- all of it ---- */

static int read_derivation(const struct options *options, struct message *ret, struct error *err)
{
	const char *name = options->builder;
	int r;

	ret->type = MESSAGE_REQUEST;
	ret->request.version = WIRE_VERSION;
	if (!nix_is_build())
		return 0;
	r = nix_read_derivation(ret, err);
	if (r == 0 && name && ret->request.builder && strcmp(name, ret->request.builder) != 0)
		forget_request(ret);
	return r;
}

int request_make(const struct options *options, struct message *ret, struct inputs *ret_inputs,
                 struct outputs *ret_outputs, struct error *err)
{
	cleanup_message struct message request = { 0 };
	static int (*const steps[])(const struct options *, struct message *, struct error *) = {
		read_derivation, take_builder, take_args, take_marks, take_env, take_inputs,
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++)
		r = steps[i](options, &request, err);
	if (r == 0)
		r = find_trees(&request, ret_inputs, err);
	if (r == 0)
		r = find_places(options, &request, ret_outputs, err);
	if (r == 0)
		r = tell_outputs(ret_outputs, &request, err);
	if (r == 0)
		r = check_request(&request, err);
	if (r < 0)
		return r;
	*ret = request;
	request = (struct message){ 0 };
	return 0;
}
