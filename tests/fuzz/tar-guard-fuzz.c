/* The guard must say the same of a stream however it is cut into pieces. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/tree/tar-guard.h"

#include "tar-repair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int feed(const uint8_t *data, size_t len, size_t chunk, struct error *err)
{
	struct tar_guard guard;
	int r = 0;

	tar_guard_init(&guard);
	for (size_t at = 0; r == 0 && at < len; at += chunk)
		r = tar_guard_feed(&guard, data + at, len - at < chunk ? len - at : chunk, err);
	return r < 0 ? r : tar_guard_end(&guard, err);
}

static void compare(const uint8_t *data, size_t len)
{
	struct error whole = { 0 }, pieces = { 0 };

	assert(feed(data, len, len, &whole) == feed(data, len, 100, &pieces));
	assert(strcmp(whole.text, pieces.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *repaired = repair(data, len);

	if (len == 0)
		return 0;
	compare(data, len);
	if (repaired)
		compare(repaired, len);
	return 0;
}
