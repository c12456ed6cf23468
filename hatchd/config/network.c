/* "network": whom a builder reaches. */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "builder.h"
#include "items.h"
#include "lib/base/text.h"
#include "trusted-path.h"

static const char netns_dir[] = "/run/netns/";
static const char tun[] = "/dev/net/tun";

static const char *const names[] = {
	[NETWORK_NONE] = "none",
	[NETWORK_HOST] = "host",
	[NETWORK_PRIVATE] = "private",
	[NETWORK_NAMESPACE] = "namespace",
};

const char *network_name(const struct network *network)
{
	return names[network->kind];
}

bool network_has_names(const struct network *network)
{
	return network->kind == NETWORK_HOST || network->kind == NETWORK_NAMESPACE ||
	       (network->kind == NETWORK_PRIVATE && network->n_ports == 0);
}

/* --- a namespace --- */

static int read_namespace(struct reading *in, const struct value *value, const struct member *row,
                          void *object)
{
	struct network *network = object;
	size_t len = sizeof(netns_dir) - 1;
	char shown[SHOW_LEN];
	int r = expect_path(in, value);

	if (r < 0)
		return r;
	if (strncmp(value->string, netns_dir, len) != 0 || strchr(value->string + len, '/'))
		return reading_fail(in, value, EINVAL,
		                    "\"%s\"; expected %sNAME, as ip-netns(8) makes it",
		                    show(value->string, shown), netns_dir);
	network->kind = NETWORK_NAMESPACE;
	network->path = strdup(value->string);
	if (asprintf(&network->resolv_conf, "/etc/netns/%s/resolv.conf", value->string + len) < 0)
		network->resolv_conf = NULL;
	return network->path && network->resolv_conf ? 0 : reading_no_memory(in);
}

/* --- a private one with destinations --- */

static const struct family {
	const char *prefix;
	size_t bit;
} families[] = {
	{ "127.0.0.1:", NETWORK_IPV4 },
	{ "[::1]:", NETWORK_IPV6 },
};

/* A destination as of one family and one port: only this machine's own can be told apart. */
static int read_destination(struct reading *in, const struct value *item, size_t *ret_family,
                            uint64_t *ret_port)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		size_t len = strlen(families[i].prefix);

		if (strncmp(item->string, families[i].prefix, len) == 0 &&
		    text_to_u64(item->string + len, UINT16_MAX, ret_port) == 0 && *ret_port > 0) {
			*ret_family = families[i].bit;
			return 0;
		}
	}
	return reading_fail(
		in, item, EINVAL,
		"\"%s\"; expected \"127.0.0.1:PORT\" or \"[::1]:PORT\": pasta can limit a "
		"builder to ports of this machine's loopback, and to nothing else",
		show(item->string, shown));
}

static int add_port(struct network *network, size_t family, uint16_t port)
{
	struct port *ports;

	for (size_t i = 0; i < network->n_ports; i++)
		if (network->ports[i].number == port) {
			network->ports[i].families |= (unsigned)family;
			return 0;
		}
	ports = reallocarray(network->ports, network->n_ports + 1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	network->ports = ports;
	ports[network->n_ports++] = (struct port){ port, (unsigned)family };
	return 0;
}

static int read_tcp(struct reading *in, const struct value *value, const struct member *row,
                    void *object)
{
	struct network *network = object;
	int r = expect_list(in, value, 1);

	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++) {
		uint64_t port;
		size_t family;

		if (read_destination(in, &value->items[i], &family, &port) == 0 &&
		    add_port(network, family, (uint16_t)port) < 0)
			return reading_no_memory(in);
	}
	if (r < 0 || in->first < 0)
		return in->first;
	/* pasta forwards a port for every family that it has. */
	for (size_t i = 1; i < network->n_ports; i++)
		if (network->ports[i].families != network->ports[0].families)
			return reading_fail(
				in, value, EINVAL,
				"port %u is not there for the same addresses as port %u; "
				"expected each port for 127.0.0.1, or each for ::1, or "
				"each for both",
				network->ports[i].number, network->ports[0].number);
	return 0;
}

static const struct member private_members[] = {
	{ "tcp", read_tcp, .required = true },
};

static int read_private(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	static const struct member private_object = { INSIDE(private_members) };
	struct network *network = object;

	network->kind = NETWORK_PRIVATE;
	return read_members(in, value, &private_object, network);
}

/* --- the key --- */

static const struct member network_members[] = {
	{ "namespace", read_namespace },
	{ "private", read_private },
};

static int read_object(struct reading *in, const struct value *value, struct network *network)
{
	static const struct member network_object = { INSIDE(network_members) };

	if (value->n_items != 1)
		return reading_fail(in, value, EINVAL,
		                    "%zu keys; expected \"namespace\" or \"private\"",
		                    value->n_items);
	return read_members(in, value, &network_object, network);
}

static int read_kind(struct reading *in, const struct value *value, struct network *network)
{
	size_t chosen = 0;
	int r = read_word(in, value, names, NETWORK_NAMESPACE,
	                  "\"none\", \"host\", \"private\", {\"namespace\": path} or {\"private\": "
	                  "{\"tcp\": list}}",
	                  &chosen);

	if (r == 0)
		network->kind = (enum network_kind)chosen;
	return r;
}

int read_network(struct reading *in, const struct value *value, const struct member *row,
                 void *object)
{
	struct network *network = &((struct builder *)object)->network;
	int r = value->kind == VALUE_OBJECT ? read_object(in, value, network)
	                                    : read_kind(in, value, network);

	if (r == 0 && network->kind == NETWORK_NAMESPACE && !in->config->pool)
		return reading_fail(in, value, EINVAL,
		                    "without root nobody can enter %s; expected another network",
		                    network->path);
	return r;
}

/* --- what it needs --- */

static int fail_network(const struct builder *builder, const struct error *why, struct error *err)
{
	const char *key = builder->network.kind == NETWORK_NAMESPACE ? "network.namespace"
	                                                             : "network";

	return builder_fail(builder, key, POSITION_OF_VALUE, "network", why, err);
}

static int open_namespace(const struct builder *builder, int *ret_fd, struct error *err)
{
	const char *path = builder->network.path;
	cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct error why;

	if (fd < 0) {
		(void)error_errno(&why, BLAME_HOST, errno, "cannot open the namespace %s", path);
		(void)error_hint(&why, "make it: ip netns add %s; or name another",
		                 path + sizeof(netns_dir) - 1);
		return fail_network(builder, &why, err);
	}
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		(void)error_set(&why, BLAME_HOST, EINVAL, "%s is no network namespace", path);
		(void)error_hint(&why, "see ip-netns(8)");
		return fail_network(builder, &why, err);
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

/* pasta opens it as the build user. */
static int check_tun(const struct builder *builder, struct error *err)
{
	const mode_t needed = S_IROTH | S_IWOTH;
	struct error why;
	struct stat st;

	if (stat(tun, &st) < 0)
		(void)error_errno(&why, BLAME_HOST, errno, "a private network needs %s", tun);
	else if (!S_ISCHR(st.st_mode) || (st.st_mode & needed) != needed)
		(void)error_set(&why, BLAME_HOST, EACCES,
		                "a private network needs %s to be a device that everybody may open",
		                tun);
	else
		return 0;
	(void)error_hint(&why, "modprobe tun; chmod 0666 %s, if the system does not", tun);
	return fail_network(builder, &why, err);
}

static int check_pasta(const struct config *config, const struct builder *builder,
                       struct error *err)
{
	cleanup_fd int fd = -1;
	struct error why;
	int r = trusted_program(config->pasta, config->owner_uid, &fd, NULL, &why);

	if (r == 0)
		return check_tun(builder, err);
	if (r == -ENOENT)
		(void)error_hint(
			&why,
			"install the package passt, or say where its pasta is: \"pasta\" in %s",
			config->file);
	return fail_network(builder, &why, err);
}

int builder_open_network(const struct config *config, const struct builder *builder, int *ret_fd,
                         struct error *err)
{
	*ret_fd = -1;
	switch (builder->network.kind) {
	case NETWORK_NAMESPACE:
		return open_namespace(builder, ret_fd, err);
	case NETWORK_PRIVATE:
		return check_pasta(config, builder, err);
	default:
		return 0;
	}
}
