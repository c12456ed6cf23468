/* references.h: what is told of paths that Nix would not keep. */
#include "references.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit.h"

/* What references_judge() writes of what it says, and what it returns. */
static int judge(struct references *references, bool quiet, char *ret, size_t size)
{
	static struct relay relay;
	struct error err = { 0 };
	ssize_t n;
	int fds[2], r;

	if (pipe(fds) < 0)
		return -errno;
	relay_init(&relay, false, true);
	relay.lanes[RELAY_STDERR].fd = fds[1];
	r = references_judge(references, &relay, quiet, &err);
	(void)close(fds[1]);
	n = read(fds[0], ret, size - 1);
	ret[n > 0 ? n : 0] = '\0';
	(void)close(fds[0]);
	return r;
}

static void a_list_without_memory_for_all_of_it_says_so(void)
{
	struct references references = { .policy = REFERENCES_WARN, .no_memory = true };
	char told[1024];

	check(judge(&references, false, told, sizeof(told)) == 0);
	check(strstr(told, "no memory"));
	check(judge(&references, true, told, sizeof(told)) == 0 && !*told);
	references.no_memory = false;
	check(judge(&references, false, told, sizeof(told)) == 0 && !*told);
}

static void a_check_without_memory_for_all_of_it_fails(void)
{
	struct references references = { .policy = REFERENCES_FAIL, .no_memory = true };
	char told[1024];

	check(judge(&references, false, told, sizeof(told)) == -ENOMEM);
}

static const struct unit_case cases[] = {
	CASE(a_list_without_memory_for_all_of_it_says_so),
	CASE(a_check_without_memory_for_all_of_it_fails),
};

UNIT_MAIN(cases)
