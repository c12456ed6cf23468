/* What a builder finds open, and whether any of it is more than a stream of its own. */
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* FD3, FD4 */
static void only_four_descriptors_are_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		char target[256] = "";
		long fd = strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		n++;
		if (fd > 3) {
			(void)!readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
			broke("descriptor %ld is open: %s", fd, target);
		}
	}
	expect(n == 4, "0 to 3 are open");
	/* /proc might lie; the table itself cannot. */
	for (int fd = 4; fd < 4096; fd++)
		if (fd != dirfd(dir) && fcntl(fd, F_GETFD) >= 0)
			broke("descriptor %d is open", fd);
}

/* FD3: none of them is the connection, or any other socket */
static void no_descriptor_is_a_socket(void)
{
	char byte;
	struct iovec part = { &byte, 1 };
	char control[256];

	for (int fd = 0; fd < 4; fd++) {
		struct msghdr message = { .msg_iov = &part,
			                  .msg_iovlen = 1,
			                  .msg_control = control,
			                  .msg_controllen = sizeof(control) };

		if (recvmsg(fd, &message, MSG_DONTWAIT) >= 0 || errno != ENOTSOCK)
			broke("descriptor %d is a socket", fd);
	}
}

/* FD3: what is written to the streams cannot be read from them, by this request or another */
static void streams_go_one_way(void)
{
	struct stat st;
	char byte;

	expect(read(0, &byte, 1) == 0, "standard input is at its end");
	expect(fstat(0, &st) == 0 && S_ISCHR(st.st_mode), "standard input is /dev/null");
	for (int fd = 1; fd < 4; fd++) {
		expect(fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode), "a stream is a pipe");
		expect((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY,
		       "a stream is for writing only");
	}
}

static const struct attack attacks[] = {
	ATTACK(only_four_descriptors_are_open),
	ATTACK(no_descriptor_is_a_socket),
	ATTACK(streams_go_one_way),
};

ATTACK_MAIN(attacks)
