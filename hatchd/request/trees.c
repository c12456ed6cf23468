/* What a client says of paths is only compared with their form, and an output's with what the
 * host's store has; whether an input is the caller's own is looked at later (inputs.h). */
#include "trees.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/text.h"
#include "words.h"

/* What follows STORE/ in the path, *ret_len bytes, or NULL. */
static const char *below_store(const struct config *config, const struct record_text *path,
                               size_t *ret_len)
{
	size_t dir_len = strlen(config->store_dir);

	if (path->len <= dir_len + 1 || memcmp(path->data, config->store_dir, dir_len) != 0 ||
	    path->data[dir_len] != '/')
		return NULL;
	*ret_len = path->len - dir_len - 1;
	return path->data + dir_len + 1;
}

/* The last component of a path that is exactly STORE/HASH-NAME, or NULL. */
static const char *store_base(const struct config *config, const struct record_text *path)
{
	size_t len;
	const char *base = below_store(config, path, &len);

	return base && text_is_store_name(base, len) ? base : NULL;
}

/* HASH-NAME of a path that is exactly STORE/HASH-NAME or leads inside of it, with the way there; or
 * NULL. */
static const char *store_inner(const struct config *config, const struct record_text *path)
{
	size_t len;
	const char *inner = below_store(config, path, &len);

	if (!inner || !path_is_inner(inner, len))
		return NULL;
	return text_is_store_name(inner, strcspn(inner, "/")) ? inner : NULL;
}

/* The builder makes it in a layer over the store; what is there already would be in its way. */
static int check_absent(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) == 0) {
		(void)error_set(err, BLAME_PEER, EINVAL, "%s is in the host's store already", path);
		(void)error_hint(err, "an output must not exist; a rebuild by nix-build --check of "
		                      "a path that the host has cannot be done through hatch");
		return -EINVAL;
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return error_errno(err, BLAME_HOST, errno, "cannot look for %s", path);
	return 0;
}

static int place_in_store(const struct config *config, const struct record_tree *output,
                          struct request_output *ret, struct error *err)
{
	char buf[RULING_SHOWN_LEN];
	const char *base = store_base(config, &output->path);

	if (!base) {
		(void)error_set(err, BLAME_PEER, EINVAL,
		                "the output %.64s is to be at `%s`, which is no store path",
		                output->name.data,
		                ruling_show(output->path.data, output->path.len, buf));
		(void)error_hint(err, "expected %s/<32 characters of base 32>-<name>, or no path",
		                 config->store_dir);
		return -EINVAL;
	}
	*ret = (struct request_output){
		.name = output->name.data, .path = output->path.data, .base = base, .in_store = true
	};
	return check_absent(output->path.data, err);
}

static int place_outside(const struct record_tree *output, struct request_output *ret,
                         struct error *err)
{
	char *path;

	if (asprintf(&path, "%s/%s", OUTPUT_DIR, output->name.data) < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for an output");
	*ret = (struct request_output){ .name = output->name.data,
		                        .path = path,
		                        .base = path + strlen(OUTPUT_DIR "/") };
	return 0;
}

/* The name becomes a variable of the builder, whose value is the path. */
static int check_output_name(const struct builder *builder, const struct record *record, size_t i,
                             struct rulings *rulings, struct error *err)
{
	const struct record_tree *output = &record->outputs[i];

	if (!text_is_output(output->name.data, output->name.len))
		return error_set(err, BLAME_PEER, EINVAL, "output %zu has a name that is none",
		                 i + 1);
	/* This one names all of them. */
	if (record_text_is(&output->name, "outputs"))
		return error_set(err, BLAME_PEER, EINVAL, "an output cannot be named outputs");
	if (words_have_variable(builder, &output->name)) {
		rulings_refuse(rulings, "environment", "output");
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the output %.64s has the name of a variable of the builder `%s` "
		                "(environment in %s)",
		                output->name.data, builder->name, builder->file);
		(void)error_hint(err, "name one of the two differently");
		return -EACCES;
	}
	for (size_t k = 0; k < i; k++)
		if (record_text_same(&record->outputs[k].name, &output->name) ||
		    (output->path.len > 0 &&
		     record_text_same(&record->outputs[k].path, &output->path)))
			return error_set(err, BLAME_PEER, EINVAL,
			                 "the outputs %.64s and %.64s are one and the same",
			                 record->outputs[k].name.data, output->name.data);
	return 0;
}

int trees_check_outputs(const struct record *record, struct request *request,
                        struct rulings *rulings, struct error *err)
{
	if (record->n_outputs > 0 && record->inline_reply)
		return error_set(err, BLAME_PEER, EINVAL,
		                 "an inline reply cannot carry outputs; ask for a stream");
	if (record->n_outputs == 0)
		return 0;
	request->outputs = calloc(record->n_outputs, sizeof(*request->outputs));
	if (!request->outputs)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
	for (size_t i = 0; i < record->n_outputs; i++) {
		const struct record_tree *output = &record->outputs[i];
		struct request_output *place = &request->outputs[i];
		int r = check_output_name(request->builder, record, i, rulings, err);

		if (r < 0)
			return r;
		request->n_outputs++;
		r = output->path.len > 0 ? place_in_store(request->config, output, place, err)
		                         : place_outside(output, place, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse_inputs(const struct builder *builder, struct rulings *rulings, struct error *err)
{
	rulings_refuse(rulings, "inputs", "inputs");
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "the builder `%s` takes no inputs: \"inputs\" is not true in %s",
	                builder->name, builder->file);
	(void)error_hint(err, "ask without any, or have \"inputs\": true written there");
	return -EACCES;
}

static int check_input(const struct config *config, const struct record *record, size_t i,
                       struct request_input *ret, struct error *err)
{
	const struct record_tree *input = &record->inputs[i];
	char buf[RULING_SHOWN_LEN];

	if (!text_is_input(input->name.data, input->name.len))
		return error_set(err, BLAME_PEER, EINVAL, "input %zu has a name that is none",
		                 i + 1);
	for (size_t k = 0; k < i; k++)
		if (record_text_same(&record->inputs[k].name, &input->name))
			return error_set(err, BLAME_PEER, EINVAL, "the input %.64s is given twice",
			                 input->name.data);
	ret->name = input->name.data;
	if (input->path.len == 0)
		return 0;
	ret->path = store_inner(config, &input->path);
	if (ret->path)
		return 0;
	(void)error_set(err, BLAME_PEER, EINVAL,
	                "the input %.64s is said to be `%s`, which is no "
	                "store path, nor inside of one",
	                input->name.data, ruling_show(input->path.data, input->path.len, buf));
	return error_hint(err,
	                  "expected %s/<32 characters of base 32>-<name>, a path inside of "
	                  "it without dots, or no path",
	                  config->store_dir);
}

int trees_check_inputs(const struct record *record, struct request *request,
                       struct rulings *rulings, struct error *err)
{
	const struct builder *builder = request->builder;
	int r = 0;

	if (record->n_inputs == 0)
		return 0;
	if (!builder->inputs)
		return refuse_inputs(builder, rulings, err);
	ruling_describe(rulings_note(rulings, true, "inputs", POSITION_OF_KEY), "inputs", "%zu",
	                record->n_inputs);
	request->inputs = calloc(record->n_inputs, sizeof(*request->inputs));
	if (!request->inputs)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for inputs");
	for (; r == 0 && request->n_inputs < record->n_inputs; request->n_inputs++)
		r = check_input(request->config, record, request->n_inputs,
		                &request->inputs[request->n_inputs], err);
	return r;
}
