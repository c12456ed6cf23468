/*
 * A request on both sides of the trust line: struct record is what the speaker says that the
 * client said, struct request is what the policy made of it.
 */
#pragma once

#include "hatchd/config/config.h"
#include "peer.h"
#include "record.h"
#include "rulings.h"

/* Where one output is to be. */
struct request_output {
	const char *name;
	const char *path; /* as the builder sees it: the store path, or OUTPUT_DIR/NAME */
	const char *base; /* last component of path */
	bool in_store;
};

/* What one input is. */
struct request_input {
	const char *name;
	/* from the store's directory, where the client says that it is there: a store path, or
	 * inside of one; NULL: it is not */
	const char *path;
};

/*
 * A request that passed every check. Code that acts takes only this, const. Everything it points to
 * belongs to the record, the builder and the configuration, which outlive it, but for the owned
 * arrays.
 */
struct request {
	const struct config *config;
	const struct builder *builder;
	const struct peer *peer;
	char **argv;          /* owned array, NULL-terminated: command and arguments */
	struct variable *env; /* owned array: what the client may set, name and value borrowed */
	size_t n_env;
	struct request_output *outputs; /* owned array; so are the paths outside the store */
	size_t n_outputs;
	struct request_input *inputs; /* owned array */
	size_t n_inputs;
	uint64_t time_limit_sec;
};

/* The directory for outputs that are not store paths, as the builder sees it. */
#define OUTPUT_DIR "/build/outputs"

/* The directory for inputs, as the builder sees it. */
#define INPUT_DIR "/build/inputs"

#define cleanup_request cleanup_(request_done)

void request_done(struct request *request);

/*
 * request_check - may this peer have this builder run with these words? The one place that decides.
 *
 * socket_class  FileDescriptorName= of the socket that the peer used
 * builder       NULL if there is none of that name: the peer is told the same as for one that it
 *               may not use (error_peer_text())
 * record        of kind RECORD_REQUEST; its texts are borrowed by *ret
 * ret           set on success; release with request_done()
 * Errors        BLAME_POLICY -EACCES, with the rule, its file and what would allow it; BLAME_PEER
 *               -EINVAL for words that no builder could take (a path that is no output); BLAME_HOST
 *               -ENOMEM, or what the store's file system says
 */
int request_check(const struct config *config, const struct builder *builder,
                  const struct peer *peer, const char *socket_class, const struct record *record,
                  struct request *ret, struct error *err);

/*
 * request_explain - the same, telling which keys of the definition decided, for hatchctl(1)
 *
 * rulings  gets one for each comparison in their order, also on failure: a refusal by a rule is the
 *          last one
 */
int request_explain(const struct config *config, const struct builder *builder,
                    const struct peer *peer, const char *socket_class, const struct record *record,
                    struct rulings *rulings, struct request *ret, struct error *err);

/* policy_needs_features - is all that is left to decide what the peer's derivation requires? Only
 * then is a stranger's text worth reading */
bool policy_needs_features(const struct config *config, const struct builder *builder,
                           const struct peer *peer, const char *socket_class);

/* policy_allows - the first half of request_check(): may this peer use the builder at all? For
 * listings too. 0, or -EACCES with err set, concealed from the peer */
int policy_allows(const struct config *config, const struct builder *builder,
                  const struct peer *peer, const char *socket_class, struct error *err);
