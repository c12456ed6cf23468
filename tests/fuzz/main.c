/*
 * Runs a fuzz target over the files of its corpus, without a fuzzer: so each input that ever
 * mattered is a unit test, with any compiler. With -Dfuzz=true libFuzzer's main takes its place.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"

enum { INPUT_MAX = 16 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(int dir_fd, const char *name)
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	cleanup_free char *data = NULL;
	size_t len;

	if (fd < 0 || fd_read_file(fd, INPUT_MAX, &data, &len) < 0) {
		printf("FAIL %s: it cannot be read\n", name);
		return -1;
	}
	/* Said before, so that an input that ends the process is known. */
	printf("input %s\n", name);
	fflush(stdout);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	int n_files = 0, failed = 0;

	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return EXIT_FAILURE;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		n_files++;
		failed |= run_file(dirfd(dir), entry->d_name);
	}
	closedir(dir);
	if (n_files == 0)
		printf("FAIL takes_every_input_of_its_corpus: %s is empty\n", argv[1]);
	else if (!failed)
		printf("ok takes_every_input_of_its_corpus\n");
	return failed || n_files == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
