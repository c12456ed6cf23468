/*
 * Run while hatch is built: prints the builder's filters as tables in C, for filter.c. One for
 * every combination of groups, so that no request waits for libseccomp.
 */
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "filter-builder.h"
#include "lib/base/cleanup.h"

enum { INSTRUCTIONS_MAX = 4096 /* BPF_MAXINSNS */ };

static ssize_t make(enum builder_filter filter, unsigned groups,
                    struct sock_filter code[INSTRUCTIONS_MAX])
{
	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : builder_filter_export(filter, groups, fd);
	ssize_t len;

	if (r < 0) {
		fprintf(stderr, "filter-generate: groups %u: %s\n", groups, strerror(-r));
		return r;
	}
	len = pread(fd, code, INSTRUCTIONS_MAX * sizeof(*code), 0);
	return len < 0 ? -errno : len / (ssize_t)sizeof(*code);
}

/* One array of instructions. */
static int print_code(const char *name, unsigned index, enum builder_filter filter, unsigned groups)
{
	static struct sock_filter code[INSTRUCTIONS_MAX];
	ssize_t n = make(filter, groups, code);

	if (n <= 0)
		return -1;
	printf("static const struct sock_filter %s_%u[] = {\n", name, index);
	for (ssize_t i = 0; i < n; i++)
		printf("{%u,%u,%u,%u},\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
	printf("};\n");
	return 0;
}

static void print_table(const char *name, unsigned n_programs)
{
	printf("static const struct sock_fprog %s[] = {\n", name);
	for (unsigned i = 0; i < n_programs; i++)
		printf("{ sizeof(%s_%u) / sizeof(%s_%u[0]), (struct sock_filter *)%s_%u },\n", name,
		       i, name, i, name, i);
	printf("};\n");
}

int main(void)
{
	if (print_code("known", 0, BUILDER_KNOWN, 0) < 0 ||
	    print_code("known", 1, BUILDER_KNOWN, SECCOMP_I386) < 0)
		return EXIT_FAILURE;
	print_table("known", 2);
	for (unsigned groups = 0; groups < SECCOMP_COMBINATIONS; groups++)
		if (print_code("refused", groups, BUILDER_REFUSED, groups) < 0)
			return EXIT_FAILURE;
	print_table("refused", SECCOMP_COMBINATIONS);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
