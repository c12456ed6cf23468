/* "network" in all its forms, read from memory. */
#include <errno.h>
#include <string.h>

#include "read.h"
#include "tests/unit.h"

static struct config with_pool, unprivileged;
static struct error err;

static int parse(const struct config *config, const char *network, struct builder *ret)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "{\"command\": [\"/x\"],\n\"network\": %s}", network);
	return builder_parse(config, "b", text, strlen(text), NULL, ret, &err);
}

static bool refuses(const char *network, const char *place, const char *words)
{
	cleanup_builder struct builder builder = { 0 };
	char where[64];
	int r = parse(&with_pool, network, &builder);

	(void)snprintf(where, sizeof(where), "/etc/hatch/builders.d/b.json:%s: ", place);
	if (r == -EINVAL && strncmp(err.text, where, strlen(where)) == 0 && strstr(err.text, words))
		return true;
	printf("  %s: %d %s\n", network, r, r < 0 ? err.text : "");
	return false;
}

static void knows_networks_by_a_word(void)
{
	static const struct {
		const char *text;
		enum network_kind kind;
		bool names;
	} rows[] = {
		{ "\"none\"", NETWORK_NONE, false },
		{ "\"host\"", NETWORK_HOST, true },
		{ "\"private\"", NETWORK_PRIVATE, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };

		check(parse(&unprivileged, rows[i].text, &builder) == 0);
		check(builder.network.kind == rows[i].kind && builder.network.n_ports == 0);
		check(network_has_names(&builder.network) == rows[i].names);
	}
	check(refuses("\"namespace\"", "2:12", "expected \"none\", \"host\", \"private\""));
	check(refuses("\"some\"", "2:12", "expected \"none\""));
	check(refuses("true", "2:12", "this is true or false"));
	check(refuses("[]", "2:12", "this is a list"));
}

static void a_namespace_is_one_of_ip_netns(void)
{
	static const char *const wrong[] = {
		"/run/netns", "/run/netns/a/b", "/proc/1/ns/net", "/var/run/netns/a", "/run/netnsa",
	};
	cleanup_builder struct builder builder = { 0 }, without = { 0 };
	char text[128];

	check(parse(&with_pool, "{\"namespace\": \"/run/netns/lab\"}", &builder) == 0);
	check(builder.network.kind == NETWORK_NAMESPACE && network_has_names(&builder.network));
	check(strcmp(builder.network.path, "/run/netns/lab") == 0);
	check(strcmp(builder.network.resolv_conf, "/etc/netns/lab/resolv.conf") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void)snprintf(text, sizeof(text), "{\"namespace\": \"%s\"}", wrong[i]);
		check(refuses(text, "2:26", "expected /run/netns/NAME"));
	}
	check(refuses("{\"namespace\": \"/run/netns/../x\"}", "2:26", "expected an absolute path"));
	check(parse(&unprivileged, "{\"namespace\": \"/run/netns/lab\"}", &without) == -EINVAL);
	check(strstr(err.text, "without root nobody can enter /run/netns/lab") != NULL);
}

static void destinations_are_ports_of_the_loopback(void)
{
	static const struct {
		const char *text;
		size_t n_ports;
		unsigned families;
	} rows[] = {
		{ "\"127.0.0.1:2100\"", 1, NETWORK_IPV4 },
		{ "\"[::1]:65535\"", 1, NETWORK_IPV6 },
		{ "\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:1\"", 2, NETWORK_IPV4 },
		{ "\"127.0.0.1:1\", \"[::1]:2\", \"127.0.0.1:2\", \"[::1]:1\"", 2,
		  NETWORK_IPV4 | NETWORK_IPV6 },
	};
	static const char *const wrong[] = {
		"127.0.0.1",    "127.0.0.1:",      "127.0.0.1:0",     "127.0.0.1:65536",
		"127.0.0.2:80", "localhost:80",    "[::1]",           "::1:80",
		"10.0.0.1:80",  "[2001:db8::1]:1", "127.0.0.1:80-81", "127.0.0.1:80,81",
		"*:80",         " 127.0.0.1:80",   "127.0.0.1:080",   "licenses.example.org:2100",
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };

		(void)snprintf(text, sizeof(text), "{\"private\": {\"tcp\": [%s]}}", rows[i].text);
		check(parse(&with_pool, text, &builder) == 0);
		check(builder.network.kind == NETWORK_PRIVATE);
		check(!network_has_names(&builder.network));
		check(builder.network.n_ports == rows[i].n_ports &&
		      builder.network.ports[0].families == rows[i].families);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void)snprintf(text, sizeof(text), "{\"private\": {\"tcp\": [\"%s\"]}}", wrong[i]);
		check(refuses(text, "2:33", "pasta can limit a builder to ports"));
	}
	check(refuses("{\"private\": {\"tcp\": [80]}}", "2:33", "this is an integer"));
}

static void a_list_says_something_that_pasta_can_hold(void)
{
	check(refuses("{\"private\": {\"tcp\": [\"127.0.0.1:1\", \"[::1]:2\"]}}", "2:32",
	              "port 2 is not there for the same addresses as port 1"));
	check(refuses("{\"private\": {\"tcp\": []}}", "2:32", "the list is empty"));
	check(refuses("{\"private\": {}}", "2:24", "\"tcp\" is missing"));
	check(refuses("{\"private\": {\"udp\": [\"127.0.0.1:1\"]}}", "2:25", "unknown key"));
	check(refuses("{}", "2:12", "expected \"namespace\" or \"private\""));
	check(refuses("{\"host\": true}", "2:13", "unknown key"));
	check(refuses(
		"{\"private\": {\"tcp\": [\"127.0.0.1:1\"]}, \"namespace\": \"/run/netns/x\"}",
		"2:12", "2 keys"));
}

static const struct unit_case cases[] = {
	CASE(knows_networks_by_a_word),
	CASE(a_namespace_is_one_of_ip_netns),
	CASE(destinations_are_ports_of_the_loopback),
	CASE(a_list_says_something_that_pasta_can_hold),
};

int main(void)
{
	int r;

	if (config_parse("/etc/hatch", false, NULL, 0, NULL, &with_pool, &err) < 0 ||
	    config_parse("/etc/hatch", false, NULL, 0, NULL, &unprivileged, &err) < 0)
		return EXIT_FAILURE;
	with_pool.pool = true;
	r = unit_run(cases, ARRAY_SIZE(cases));
	config_done(&with_pool);
	config_done(&unprivileged);
	return r;
}
