/*
 * Looks for store paths in a file, in the pieces that the client reads from its socket; beside
 * `cat` in bench/run. Prints how many it found.
 *
 *     store-scan FILE
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/scan/store.h"

enum { PIECE_LEN = 128 * 1024 };

static void count(void *context, const char *path, size_t len)
{
	unsigned long *n = context;

	(void)path;
	(void)len;
	(*n)++;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	cleanup_fd int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	cleanup_free char *piece = malloc(PIECE_LEN);
	unsigned long found = 0;
	struct store_scan scan = { .found = count, .context = &found };
	double seconds = 0, bytes = 0;
	ssize_t n;

	if (fd < 0 || !piece) {
		fprintf(stderr, "usage: store-scan FILE\n");
		return EXIT_FAILURE;
	}
	while ((n = fd_read_some(fd, piece, PIECE_LEN)) > 0) {
		double begun = now();

		store_scan_add(&scan, piece, (size_t)n, false);
		seconds += now() - begun;
		bytes += (double)n;
	}
	store_scan_add(&scan, piece, 0, true);
	printf("%lu %.1f\n", found, seconds > 0 ? bytes / seconds / 1e9 : 0);
	return n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
