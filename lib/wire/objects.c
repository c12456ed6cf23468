/* What a server's messages hold that has members of its own: a receipt, and a list of builders. */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/text.h"
#include "member.h"

#define RECEIPT(m) offsetof(struct wire_receipt, m)
#define BUILDER(m) offsetof(struct wire_builder, m)

/* ---- receipt ---- */

static const struct member receipt_members[] = {
	{ "id", &string_kind, RECEIPT(id), .must = true, IS_ID },
	{ "builder", &string_kind, RECEIPT(builder), .must = true, IS_NAME },
	{ "derivation", &string_kind, RECEIPT(derivation) },
	{ "peer_uid", &u32_kind, RECEIPT(peer_uid), .max = UINT32_MAX, .must = true },
	{ "peer_gid", &u32_kind, RECEIPT(peer_gid), .max = UINT32_MAX, .must = true },
	{ "user", &string_kind, RECEIPT(user), .must = true },
	{ "queued_ms", &u64_kind, RECEIPT(queued_ms), ANY_NUMBER },
	{ "run_ms", &u64_kind, RECEIPT(run_ms), ANY_NUMBER },
	{ "total_ms", &u64_kind, RECEIPT(total_ms), ANY_NUMBER },
	{ "stdout_bytes", &u64_kind, RECEIPT(stdout_bytes), ANY_NUMBER },
	{ "stderr_bytes", &u64_kind, RECEIPT(stderr_bytes), ANY_NUMBER },
	{ "outputs", &u64_kind, RECEIPT(outputs), ANY_NUMBER },
	{ "inputs", &u64_kind, RECEIPT(inputs), .max = INT64_MAX },
	{ "inputs_bound", &u64_kind, RECEIPT(inputs_bound), .max = INT64_MAX },
	{ "input_bytes", &u64_kind, RECEIPT(input_bytes), .max = INT64_MAX },
	{ "memory_peak", &u64_kind, RECEIPT(memory_peak), .max = INT64_MAX },
	{ "cpu_user_us", &u64_kind, RECEIPT(cpu_user_us), .max = INT64_MAX },
	{ "cpu_system_us", &u64_kind, RECEIPT(cpu_system_us), .max = INT64_MAX },
	{ "io_read_bytes", &u64_kind, RECEIPT(io_read_bytes), .max = INT64_MAX },
	{ "io_write_bytes", &u64_kind, RECEIPT(io_write_bytes), .max = INT64_MAX },
	{ "pids_peak", &u64_kind, RECEIPT(pids_peak), .max = INT64_MAX },
};

static int read_receipt(const struct member *member, json_t *json, void *base, struct error *err)
{
	if (!json_is_object(json))
		return member_refuse(member, err, "must be an object");
	return members_read(receipt_members, ARRAY_SIZE(receipt_members), json,
	                    member_at(member, base), err);
}

static int print_receipt(const struct member *member, const void *base, json_t **ret)
{
	return members_to_json(receipt_members, ARRAY_SIZE(receipt_members),
	                       member_at(member, base), ret);
}

static void done_receipt(const struct member *member, void *base)
{
	members_done(receipt_members, ARRAY_SIZE(receipt_members), member_at(member, base));
}

const struct kind receipt_kind = { read_receipt, print_receipt, done_receipt };

/* ---- builders ---- */

static const struct member builder_members[] = {
	{ "name", &string_kind, BUILDER(name), .must = true, IS_NAME },
	{ "description", &string_kind, BUILDER(description), .must = true },
};

static int read_builders(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct message *message = base;
	size_t n = json_array_size(json);

	if (!json_is_array(json))
		return member_refuse(member, err, "must be a list");
	message->builders.items = calloc(n ? n : 1, sizeof(struct wire_builder));
	if (!message->builders.items)
		return wire_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		struct wire_builder *item = &message->builders.items[message->builders.n_items++];
		int r = members_read(builder_members, ARRAY_SIZE(builder_members),
		                     json_array_get(json, i), item, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int print_builders(const struct member *member, const void *base, json_t **ret)
{
	const struct message *message = base;
	cleanup_json json_t *list = json_array();

	for (size_t i = 0; i < message->builders.n_items; i++) {
		json_t *json;
		int r = members_to_json(builder_members, ARRAY_SIZE(builder_members),
		                        &message->builders.items[i], &json);

		if (r < 0)
			return r;
		if (json_array_append_new(list, json) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&list);
	return *ret ? 0 : -ENOMEM;
}

static void done_builders(const struct member *member, void *base)
{
	struct message *message = base;

	for (size_t i = 0; i < message->builders.n_items; i++)
		members_done(builder_members, ARRAY_SIZE(builder_members),
		             &message->builders.items[i]);
	freep(&message->builders.items);
}

const struct kind builders_kind = { read_builders, print_builders, done_builders };
