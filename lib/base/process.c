/* One's own process, and one's children. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "cleanup.h"
#include "digest.h"

void process_open_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		while (fcntl(fd, F_GETFD) < 0)
			/* It is to stay open. NOLINTNEXTLINE(android-cloexec-open) */
			if (open("/dev/null", O_RDWR) < 0)
				_exit(EX_OSERR);
}

size_t process_seed(void)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	struct digest digest;
	char hex[DIGEST_HEX_LEN + 1];

	if (!random)
		return 0;
	/* Sixteen random bytes that the kernel gave this process. They are also the stack
	 * protector's, so what is used here is a digest. */
	digest_init(&digest);
	digest_add(&digest, random, 16);
	digest_final(&digest, hex);
	hex[8] = '\0';
	return strtoul(hex, NULL, 16) | 1;
}

pid_t process_fork(int *ret_fd, struct error *err)
{
	cleanup_fd int read_fd = -1, write_fd = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	read_fd = ends[0];
	write_fd = ends[1];
	pid = fork();
	if (pid < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot fork");
	*ret_fd = take_fd(pid == 0 ? &write_fd : &read_fd);
	return pid;
}

int process_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}
