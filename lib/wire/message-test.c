/* Messages as values and lines: malformed ones, both sides of every cap, printing and reading back.
 */
#include "message.h"

#include <errno.h>
#include <string.h>

#include "lib/base/text.h"
#include "tests/unit.h"

#define cleanup_buffer cleanup_(buffer_done)

#define RECEIPT_OPEN                                                                        \
	"{\"id\":\"0123456789abcdef\",\"builder\":\"hello\",\"peer_uid\":1,\"peer_gid\":2," \
	"\"user\":\"hatchbld1\",\"queued_ms\":3,\"run_ms\":4,\"total_ms\":5,"               \
	"\"stdout_bytes\":6,\"stderr_bytes\":7,\"outputs\":1"
#define REQUEST(members) "{\"type\":\"request\",\"version\":1,\"builder\":\"hello\"" members "}"
#define HEX64            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse(const char *line, struct message *ret, struct error *err)
{
	return message_parse(line, strlen(line), ret, err);
}

static bool accepts(const char *line)
{
	cleanup_message struct message message = { 0 };

	return parse(line, &message, NULL) == 0;
}

/* Every line, and a part of the sentence that refuses it. */
static const struct {
	const char *line, *complaint;
} malformed[] = {
	{ "", "not JSON" },
	{ "hello", "not JSON" },
	{ "[]", "must be a JSON object" },
	{ "{}", "\"type\" must be a string" },
	{ "{\"type\":7}", "\"type\" must be a string" },
	{ "{\"type\":\"hallo\"}", "the type \"hallo\"" },
	{ "{\"type\":\"a\\u001b[2J\"}", "the type \"a\\x1b[2J\"" },
	{ "{\"type\":\"received\"} x", "not JSON" },
	{ "{\"type\":\"received\"}{}", "not JSON" },
	{ "{\"type\":\"received\",\"type\":\"received\"}", "duplicate" },
	{ "{\"type\":\"received\",\"x\":{\"y\":1,\"y\":1}}", "duplicate" },
	{ "{\"type\":\"received\",\"x\":[1.0]}", "fraction" },
	{ "{\"type\":\"received\",\"x\":{\"y\":1e2}}", "fraction" },
	{ "{\"type\":\"received\",\"x\":9223372036854775808}", "not JSON" },
	{ "{\"type\":\"received\",\"x\":NaN}", "not JSON" },
	{ "{\"type\":\"received\",\"x\":\"\xff\"}", "not JSON" },
	{ "{\"type\":\"received\",\"x\":\"\xc0\xaf\"}", "not JSON" },
	{ "{\"type\":\"received\",\"x\":\"\\ud800\"}", "not JSON" },
	{ "{\"type\":\"received\",\"x\":\"\\u0000\"}", "not JSON" },
	{ "{\"type\":\"received\",\"\\u0000\":1}", "not JSON" },
	{ "{\"type\":\"received\",\"x\":[[[[[[[[]]]]]]]]}", "nested" },
	{ "{\"type\":\"received\",\"x\":[[[[[[[[", "nested" },
	{ "{\"type\":\"received\",\"size\":1}", "no attachment" },
	{ "{\"type\":\"hello\",\"version\":1,\"server\":\"s\"}", "\"version_min\" is missing" },
	{ "{\"type\":\"hello\",\"version\":-1,\"version_min\":1,\"server\":\"s\"}", "\"version\"" },
	{ "{\"type\":\"hello\",\"version\":1,\"version_min\":2,\"server\":\"s\"}", "above" },
	{ "{\"type\":\"hello\",\"version\":4294967296,\"version_min\":1,\"server\":\"s\"}",
	  "\"version\" must be a whole number from 0 to 4294967295" },
	{ "{\"type\":\"pong\"}", "\"server\" is missing" },
	{ "{\"type\":\"pong\",\"server\":[]}", "\"server\" must be a string" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789ABCDEF\",\"builder\":\"a\"}", "\"id\" must" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789abcde\",\"builder\":\"a\"}", "\"id\" must" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"A\"}", "\"builder\"" },
	{ "{\"type\":\"queued\",\"resource\":\"slot\"}", "\"ahead\" is missing" },
	{ "{\"type\":\"queued\",\"resource\":\"slot\",\"ahead\":\"1\"}", "\"ahead\" must" },
	{ "{\"type\":\"started\",\"time_limit_sec\":-1}", "\"time_limit_sec\"" },
	{ "{\"type\":\"phase\"}", "\"text\" is missing" },
	{ "{\"type\":\"phase\",\"text\":\"\"}", "\"text\" must match" },
	{ "{\"type\":\"phase\",\"text\":\"a\\nb\"}", "\"text\" must match" },
	{ "{\"type\":\"phase\",\"text\":\"\\u001b[2J\"}", "\"text\" must match" },
	{ "{\"type\":\"phase\",\"text\":\"\\u009b\"}", "\"text\" must match" },
	{ "{\"type\":\"phase\",\"text\":\"x\",\"size\":1}", "no attachment" },
	{ "{\"type\":\"alive\",\"size\":1}", "no attachment" },
	{ "{\"type\":\"stdout\"}", "\"size\" or one of" },
	{ "{\"type\":\"stdout\",\"size\":1,\"data\":\"\"}", "\"size\" or one of" },
	{ "{\"type\":\"stdout\",\"data\":\"\",\"data_b64\":\"\"}", "beside \"data\"" },
	{ "{\"type\":\"stdout\",\"data\":1}", "\"data\" must be a string" },
	{ "{\"type\":\"stdout\",\"data_b64\":\"a\"}", "padded base64" },
	{ "{\"type\":\"stdout\",\"data_b64\":\"YQ\"}", "padded base64" },
	{ "{\"type\":\"stdout\",\"data_b64\":\"YQ==\\n\"}", "padded base64" },
	{ "{\"type\":\"stderr\",\"size\":0}", "\"size\" must" },
	{ "{\"type\":\"stderr\",\"size\":-1}", "\"size\" must" },
	{ "{\"type\":\"stderr\",\"size\":1048577}", "\"size\" must" },
	{ "{\"type\":\"stderr\",\"size\":4294967297}", "\"size\" must" },
	{ "{\"type\":\"stderr\",\"size\":9223372036854775807}", "\"size\" must" },
	{ "{\"type\":\"stderr\",\"size\":true}", "\"size\" must" },
	{ "{\"type\":\"output\",\"name\":\"out\"}", "\"size\" is missing" },
	{ "{\"type\":\"output\",\"name\":\"../out\",\"size\":1}", "\"name\" must match" },
	{ "{\"type\":\"output-end\",\"name\":\"out\",\"entries\":1,\"bytes\":1}", "\"sha256\"" },
	{ "{\"type\":\"output-end\",\"name\":\"out\",\"entries\":1,\"bytes\":1,\"sha256\":\"00\"}",
	  "\"sha256\" must match" },
	{ "{\"type\":\"exit\",\"code\":0}", "\"receipt\" is missing" },
	{ "{\"type\":\"exit\",\"code\":0,\"receipt\":[]}", "\"receipt\" must be an object" },
	{ "{\"type\":\"exit\",\"code\":0,\"receipt\":{}}", "\"id\" is missing" },
	{ "{\"type\":\"exit\",\"code\":256,\"receipt\":" RECEIPT_OPEN "}}", "\"code\" must" },
	{ "{\"type\":\"exit\",\"code\":0,\"signal\":9,\"receipt\":" RECEIPT_OPEN "}}",
	  "is 0 after" },
	{ "{\"type\":\"exit\",\"code\":0,\"timed_out\":true,\"receipt\":" RECEIPT_OPEN "}}",
	  "is 0 after" },
	{ "{\"type\":\"exit\",\"code\":1,\"kept\":\"../x\",\"receipt\":" RECEIPT_OPEN "}}",
	  "\"kept\" must" },
	{ "{\"type\":\"exit\",\"code\":1,\"timed_out\":0,\"receipt\":" RECEIPT_OPEN "}}",
	  "\"timed_out\" must be true or false" },
	{ "{\"type\":\"exit\",\"code\":137,\"signal\":0,\"receipt\":" RECEIPT_OPEN "}}",
	  "\"signal\"" },
	{ "{\"type\":\"exit\",\"code\":193,\"signal\":65,\"receipt\":" RECEIPT_OPEN "}}",
	  "\"signal\"" },
	{ "{\"type\":\"error\",\"code\":\"refused\"}", "\"message\" is missing" },
	{ "{\"type\":\"error\",\"code\":\"No\",\"message\":\"\"}", "\"code\" must match" },
	{ "{\"type\":\"builders\",\"builders\":{}}", "\"builders\" must be a list" },
	{ "{\"type\":\"builders\",\"builders\":[1]}", "\"name\" is missing" },
	{ "{\"type\":\"builders\",\"builders\":[{\"name\":\"a\"}]}", "\"description\" is missing" },
	{ "{\"type\":\"list\"}", "\"version\" is missing" },
	{ "{\"type\":\"ping\",\"version\":\"1\"}", "\"version\" must" },
	{ "{\"type\":\"request\",\"builder\":\"hello\"}", "\"version\" is missing" },
	{ "{\"type\":\"request\",\"version\":1}", "\"builder\" is missing" },
	{ "{\"type\":\"request\",\"version\":1,\"builder\":\"\"}", "\"builder\" must match" },
	{ "{\"type\":\"request\",\"version\":1,\"builder\":\"..\"}", "\"builder\" must match" },
	{ "{\"type\":\"request\",\"version\":1,\"builder\":\"a/b\"}", "\"builder\" must match" },
	{ "{\"type\":\"request\",\"version\":1,\"builder\":\"a\\n\"}", "\"builder\" must match" },
	{ "{\"type\":\"request\",\"version\":1,\"builder\":\"\xc3\xa4\"}",
	  "\"builder\" must match" },
	{ REQUEST(",\"args\":{}"), "\"args\" must be a list" },
	{ REQUEST(",\"args\":\"a b\""), "\"args\" must be a list" },
	{ REQUEST(",\"args\":[1]"), "\"args\" must hold strings" },
	{ REQUEST(",\"args\":[null]"), "\"args\" must hold strings" },
	{ REQUEST(",\"args\":[{\"b64\":7}]"), "\"args\" must hold strings" },
	{ REQUEST(",\"args\":[{\"b64\":\"!!!!\"}]"), "\"args\" holds something" },
	{ REQUEST(",\"args\":[{\"b64\":\"YQBi\"}]"), "\"args\" holds a NUL" },
	{ REQUEST(",\"env\":[]"), "\"env\" must be an object" },
	{ REQUEST(",\"env\":{\"\":\"\"}"), "\"env\" has a name" },
	{ REQUEST(",\"env\":{\"A=B\":\"\"}"), "\"env\" has a name" },
	{ REQUEST(",\"env\":{\"1A\":\"\"}"), "\"env\" has a name" },
	{ REQUEST(",\"env\":{\"BASH_FUNC_x%%\":\"\"}"), "\"env\" has a name" },
	{ REQUEST(",\"env\":{\"A\":5}"), "\"env\" must hold strings" },
	{ REQUEST(",\"outputs\":[\"out\"]"), "\"outputs\" must be an object" },
	{ REQUEST(",\"outputs\":{\"PATH\":null}"), "\"outputs\" has a name" },
	{ REQUEST(",\"outputs\":{\"out\":\"\"}"), "\"outputs\" must hold paths" },
	{ REQUEST(",\"outputs\":{\"out\":0}"), "\"outputs\" must hold paths" },
	{ REQUEST(",\"inputs\":[\"src\"]"), "\"inputs\" must be an object" },
	{ REQUEST(",\"inputs\":{\"\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\".\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\"..\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\"a/b\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\"-a\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\"a b\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\"\xc3\xa4\":null}"), "\"inputs\" has a name" },
	{ REQUEST(",\"inputs\":{\"a\":\"\"}"), "\"inputs\" must hold paths" },
	{ REQUEST(",\"inputs\":{\"a\":true}"), "\"inputs\" must hold paths" },
	{ REQUEST(",\"inputs\":{\"a\":null,\"a\":null}"), "duplicate" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\",\"send\":{}}",
	  "\"send\" must be a list" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\",\"send\":[1]}",
	  "\"send\" must hold names" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\",\"send\":[\"/\"]}",
	  "\"send\" must hold names" },
	{ "{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\","
	  "\"undeclared_references\":\"no\"}",
	  "\"undeclared_references\" must" },
	{ "{\"type\":\"send\"}", "\"name\" is missing" },
	{ "{\"type\":\"send\",\"name\":\"..\"}", "\"name\" must match" },
	{ "{\"type\":\"send\",\"name\":\"src\",\"size\":1}", "no attachment" },
	{ "{\"type\":\"input\",\"name\":\"src\"}", "\"size\" is missing" },
	{ "{\"type\":\"input\",\"name\":\"src\",\"size\":0}", "\"size\" must" },
	{ "{\"type\":\"input\",\"name\":\"src\",\"size\":1048577}", "\"size\" must" },
	{ "{\"type\":\"input\",\"size\":1}", "\"name\" is missing" },
	{ "{\"type\":\"input\",\"name\":\".x\",\"size\":1}", "\"name\" must match" },
	{ "{\"type\":\"input-end\",\"name\":\"src\",\"entries\":1,\"bytes\":1}", "\"sha256\"" },
	{ "{\"type\":\"input-end\",\"name\":\"src\",\"bytes\":1,\"sha256\":\"" HEX64 "\"}",
	  "\"entries\" is missing" },
	{ "{\"type\":\"input-end\",\"name\":\"src\",\"entries\":1,\"bytes\":1,\"size\":1,"
	  "\"sha256\":\"" HEX64 "\"}",
	  "no attachment" },
	{ REQUEST(",\"timeout_sec\":0"), "\"timeout_sec\" must" },
	{ REQUEST(",\"timeout_sec\":31536001"), "\"timeout_sec\" must" },
	{ REQUEST(",\"heartbeat_sec\":0"), "\"heartbeat_sec\" must" },
	{ REQUEST(",\"heartbeat_sec\":3601"), "\"heartbeat_sec\" must" },
	{ REQUEST(",\"request_id\":\"\""), "\"request_id\" must" },
	{ REQUEST(",\"request_id\":\"a b\""), "\"request_id\" must" },
	{ REQUEST(",\"reply\":\"fast\""), "\"reply\" must" },
	{ REQUEST(",\"reply\":true"), "\"reply\" must" },
	{ REQUEST(",\"reply\":\"inline\",\"outputs\":{\"out\":null}"), "inline replies" },
	{ REQUEST(",\"size\":3"), "no attachment" },
};

static void names_the_member_of_every_malformed_line(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		cleanup_message struct message message = { 0 };
		struct error err = { 0 };
		bool right = parse(malformed[i].line, &message, &err) == -EBADMSG &&
		             err.blame == BLAME_PEER && err.code == EBADMSG &&
		             strstr(err.text, malformed[i].complaint) != NULL;

		check(right);
		if (!right)
			printf("  line %s\n  said %s\n", malformed[i].line, err.text);
	}
}

static void complaints_are_always_utf8(void)
{
	for (unsigned int c = 1; c < 256; c++) {
		char line[64];
		struct message message;
		struct error err = { 0 };

		snprintf(line, sizeof(line), "{\"type\":\"x\xc3\xa4%c%c\"", (int)c, (int)c);
		check(parse(line, &message, &err) < 0);
		check(text_is_utf8(err.text, strlen(err.text)));
	}
}

static void refuses_a_nul_byte_in_a_line(void)
{
	static const char line[] = "{\"type\":\"received\"\0}";
	struct message message;

	check(message_parse(line, sizeof(line) - 1, &message, NULL) == -EBADMSG);
}

static void ignores_members_it_does_not_know(void)
{
	check(accepts("{\"type\":\"received\",\"later\":{\"a\":[1,\"x\",null]}}"));
	check(accepts(REQUEST(",\"cwd\":\"/\"")));
}

static void reads_no_further_than_a_version_it_does_not_speak(void)
{
	static const char *const lines[] = {
		"{\"type\":\"request\",\"version\":2,\"builder\":{\"new\":true},\"args\":7}",
		"{\"type\":\"request\",\"version\":0}",
		"{\"type\":\"list\",\"version\":2,\"size\":9}",
		"{\"type\":\"ping\",\"version\":2}",
	};
	cleanup_message struct message message = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		check(accepts(lines[i]));
	check(parse(lines[0], &message, NULL) == 0);
	check(message.request.version == 2 && !message.request.builder);
}

/* head, then n times "before i after" with commas between, then tail */
static bool accepts_list(const char *head, size_t n, const char *before, const char *after,
                         const char *tail)
{
	cleanup_buffer struct buffer buf = { 0 };
	int r = buffer_printf(&buf, "%s", head);

	for (size_t i = 0; i < n && r == 0; i++)
		r = buffer_printf(&buf, "%s%s%zu%s", i ? "," : "", before, i, after);
	if (r == 0)
		r = buffer_printf(&buf, "%s", tail);
	return r == 0 && accepts(buf.data);
}

#define REQUEST_OPEN "{\"type\":\"request\",\"version\":1,\"builder\":\"hello\","

static void keeps_both_sides_of_every_count(void)
{
	const char *args = REQUEST_OPEN "\"args\":[";
	const char *env = REQUEST_OPEN "\"env\":{";
	const char *outputs = REQUEST_OPEN "\"outputs\":{";
	const char *inputs = REQUEST_OPEN "\"inputs\":{";
	const char *send = "{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\","
			   "\"send\":[";
	const char *other = "{\"type\":\"received\",\"x\":[";

	/* The first two are not of the list; what holds one value counts for itself too. */
	check(accepts_list(other, WIRE_VALUES_MAX - 2, "", "", "]}"));
	check(!accepts_list(other, WIRE_VALUES_MAX - 1, "", "", "]}"));
	check(accepts_list(other, WIRE_VALUES_MAX / 2 - 1, "{\"", "\":1}", "]}"));
	check(!accepts_list(other, WIRE_VALUES_MAX / 2, "{\"", "\":1}", "]}"));
	check(accepts("{\"type\":\"received\",\"x\":\"[,,{\"}"));
	check(accepts_list(args, WIRE_ARGS_MAX, "\"", "\"", "]}"));
	check(accepts_list(args, WIRE_ARGS_MAX, "{\"b64\":\"MDAw\",\"", "\":1}", "]}"));
	check(!accepts_list(args, WIRE_ARGS_MAX + 1, "\"", "\"", "]}"));
	check(!accepts_list(args, 100000, "\"", "\"", "]}"));
	check(accepts_list(env, WIRE_ENV_MAX, "\"A", "\":\"\"", "}}"));
	check(!accepts_list(env, WIRE_ENV_MAX + 1, "\"A", "\":\"\"", "}}"));
	check(accepts_list(outputs, WIRE_OUTPUTS_MAX, "\"o", "\":null", "}}"));
	check(!accepts_list(outputs, WIRE_OUTPUTS_MAX + 1, "\"o", "\":null", "}}"));
	check(accepts_list(inputs, WIRE_INPUTS_MAX, "\"", "\":null", "}}"));
	check(!accepts_list(inputs, WIRE_INPUTS_MAX + 1, "\"", "\":null", "}}"));
	check(accepts_list(send, WIRE_INPUTS_MAX, "\"", "\"", "]}"));
	check(!accepts_list(send, WIRE_INPUTS_MAX + 1, "\"", "\"", "]}"));
}

static void keeps_both_sides_of_every_range(void)
{
	check(accepts("{\"type\":\"stdout\",\"size\":1}"));
	check(accepts("{\"type\":\"output\",\"name\":\"out\",\"size\":1048576}"));
	check(accepts("{\"type\":\"input\",\"name\":\"Top_1.v\",\"size\":1048576}"));
	check(accepts("{\"type\":\"input\",\"name\":\"0\",\"size\":1}"));
	check(accepts(REQUEST(",\"timeout_sec\":1")));
	check(accepts(REQUEST(",\"timeout_sec\":31536000")));
	check(accepts("{\"type\":\"received\",\"x\":[[[[[[[]]]]]]]}"));
	check(accepts("{\"type\":\"received\",\"x\":\"[[[[[[[[[[[[\\\"[[\"}"));
	check(accepts("{\"type\":\"exit\",\"code\":255,\"signal\":64,\"receipt\":" RECEIPT_OPEN
	              "}}"));
	check(accepts("{\"type\":\"started\",\"time_limit_sec\":9223372036854775807}"));
}

static bool accepts_name(const char *before, size_t len, const char *after)
{
	cleanup_buffer struct buffer buf = { 0 };
	int r = buffer_printf(&buf, "%s", before);

	for (size_t i = 0; i < len && r == 0; i++)
		r = buffer_add(&buf, "a", 1);
	if (r == 0)
		r = buffer_printf(&buf, "%s", after);
	return r == 0 && accepts(buf.data);
}

static void keeps_both_sides_of_every_length(void)
{
	const char *builder = "{\"type\":\"request\",\"version\":1,\"builder\":\"";
	const char *id = REQUEST_OPEN "\"request_id\":\"";
	const char *env = REQUEST_OPEN "\"env\":{\"";
	const char *outputs = REQUEST_OPEN "\"outputs\":{\"";
	const char *inputs = REQUEST_OPEN "\"inputs\":{\"";
	const char *path = REQUEST_OPEN "\"inputs\":{\"a\":\"";
	const char *code = "{\"type\":\"error\",\"message\":\"\",\"code\":\"";

	check(accepts_name(builder, 64, "\"}") && !accepts_name(builder, 65, "\"}"));
	check(accepts_name(id, WIRE_REQUEST_ID_MAX, "\"}"));
	check(!accepts_name(id, WIRE_REQUEST_ID_MAX + 1, "\"}"));
	check(accepts_name(env, 128, "\":\"\"}}") && !accepts_name(env, 129, "\":\"\"}}"));
	check(accepts_name(outputs, 64, "\":null}}") && !accepts_name(outputs, 65, "\":null}}"));
	check(accepts_name(inputs, 64, "\":null}}") && !accepts_name(inputs, 65, "\":null}}"));
	check(accepts_name(path, WIRE_PATH_MAX, "\"}}"));
	check(!accepts_name(path, WIRE_PATH_MAX + 1, "\"}}"));
	check(accepts_name(code, 32, "\"}") && !accepts_name(code, 33, "\"}"));
}

static void prints_no_line_above_its_cap(void)
{
	static char text[WIRE_LINE_MAX];
	char code[] = "refused";
	struct message message = { .type = MESSAGE_ERROR, .error = { .code = code } };
	size_t around = strlen("{\"type\":\"error\",\"code\":\"refused\",\"message\":\"\"}\n");
	cleanup_buffer struct buffer buf = { 0 };
	struct error err;

	message.error.message = text;
	memset(text, 'a', sizeof(text) - around);
	check(message_print(&message, &buf, &err) == 0 && buf.len == WIRE_LINE_MAX);
	text[sizeof(text) - around] = 'a';
	check(message_print(&message, &buf, &err) == -EMSGSIZE);
	check(buf.len == WIRE_LINE_MAX);
}

static void prints_no_string_that_is_not_utf8(void)
{
	char code[] = "refused", text[] = "caf\xe9";
	struct message message = {
		.type = MESSAGE_ERROR,
		.error = { .code = code, .message = text },
	};
	cleanup_buffer struct buffer buf = { 0 };
	struct error err;

	check(message_print(&message, &buf, &err) == -EILSEQ && buf.len == 0);
	check(strstr(err.text, "\"message\"") != NULL);
}

/* Lines as our own printer writes them: reading and printing gives them back. */
static const char *const canonical[] = {
	"{\"type\":\"hello\",\"version\":3,\"version_min\":1,\"server\":\"hatchd 0.1.0\"}",
	"{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a.b_c-1\"}",
	"{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\",\"derivation\":\"x.drv\"}",
	"{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\",\"send\":[]}",
	"{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\",\"send\":[\"src\",\"b.c\"]}",
	"{\"type\":\"queued\",\"resource\":\"slot\",\"ahead\":0}",
	"{\"type\":\"send\",\"name\":\"top.v\"}",
	"{\"type\":\"started\",\"time_limit_sec\":0}",
	"{\"type\":\"stdout\",\"size\":1048576}",
	"{\"type\":\"stdout\",\"data\":\"\"}",
	"{\"type\":\"stderr\",\"data\":\"\\u001B[0m\\\"\\\\ \xc3\xa4\\n\"}",
	"{\"type\":\"stderr\",\"data_b64\":\"AP8=\"}",
	"{\"type\":\"output\",\"name\":\"out\",\"size\":65536}",
	"{\"type\":\"output-end\",\"name\":\"out\",\"entries\":3,\"bytes\":5120,\"sha256\":\"" HEX64
	"\"}",
	"{\"type\":\"input\",\"name\":\"_Top-1.v\",\"size\":65536}",
	"{\"type\":\"input-end\",\"name\":\"src\",\"entries\":3,\"bytes\":5120,\"sha256\":\"" HEX64
	"\"}",
	"{\"type\":\"exit\",\"code\":0,\"receipt\":" RECEIPT_OPEN "}}",
	"{\"type\":\"exit\",\"code\":0,\"receipt\":" RECEIPT_OPEN
	",\"inputs\":2,\"inputs_bound\":1,\"input_bytes\":3072}}",
	"{\"type\":\"exit\",\"code\":137,\"signal\":9,\"receipt\":" RECEIPT_OPEN "}}",
	"{\"type\":\"exit\",\"code\":124,\"timed_out\":true,\"receipt\":" RECEIPT_OPEN "}}",
	"{\"type\":\"exit\",\"code\":1,\"kept\":\"0123456789abcdef\",\"receipt\":" RECEIPT_OPEN
	"}}",
	"{\"type\":\"error\",\"code\":\"bad-request\",\"message\":\"\",\"hint\":\"do\"}",
	"{\"type\":\"builders\",\"builders\":[]}",
	"{\"type\":\"builders\",\"builders\":[{\"name\":\"a\",\"description\":\"\"},"
	"{\"name\":\"b\",\"description\":\"x\"}],\"more\":true}",
	"{\"type\":\"pong\",\"server\":\"hatchd\"}",
	"{\"type\":\"list\",\"version\":1}",
	"{\"type\":\"ping\",\"version\":1}",
	"{\"type\":\"accepted\",\"id\":\"0123456789abcdef\",\"builder\":\"a\","
	"\"undeclared_references\":\"fail\"}",
	"{\"type\":\"received\"}",
	"{\"type\":\"phase\",\"text\":\"H\xc3\xa4user \\\"a\\\" \\\\\"}",
	"{\"type\":\"alive\"}",
	REQUEST(""),
	REQUEST(",\"args\":[\"\",\"a b\",{\"b64\":\"/w==\"},\"\\n\"],\"env\":{\"A\":{\"b64\":\"gA==\"},"
	        "\"_b\":\"\"},\"outputs\":{\"out\":\"/nix/store/x-y\",\"dev\":null},"
	        "\"inputs\":{\"top.v\":null,\"src\":\"/nix/store/x-y\"},"
	        "\"timeout_sec\":60,\"heartbeat_sec\":3600,\"request_id\":\"a.B-1\""),
	REQUEST(",\"reply\":\"inline\""),
};

static void prints_what_it_read(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(canonical); i++) {
		cleanup_message struct message message = { 0 };
		cleanup_buffer struct buffer buf = { 0 };
		struct error err = { 0 };
		bool same = parse(canonical[i], &message, &err) == 0 &&
		            message_print(&message, &buf, &err) == 0 &&
		            buf.len == strlen(canonical[i]) + 1 && buf.data[buf.len - 1] == '\n' &&
		            memcmp(buf.data, canonical[i], buf.len - 1) == 0;

		check(same);
		if (!same)
			printf("  read %s\n  got  %s%s\n", canonical[i], buf.data ? buf.data : "",
			       err.text);
	}
}

/* ---- random requests ---- */

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

/* Bytes without NUL: often plain, sometimes control characters, sometimes no UTF-8. */
static struct text random_text(void)
{
	static const char *const parts[] = { "a",    " ",    "\"", "\\",       "\n",
		                             "\x1b", "\x7f", "/",  "\xc3\xa4", "\xf0\x9f\x98\x80",
		                             "{",    "\r",   "$(" };
	cleanup_buffer struct buffer buf = { 0 };
	uint32_t n = random_below(20);
	bool binary = random_below(4) == 0;
	struct text text;

	(void)buffer_add(&buf, "", 0);
	for (uint32_t i = 0; i < n; i++) {
		const char *part = parts[random_below(ARRAY_SIZE(parts))];
		char byte = (char)(1 + random_below(255));

		(void)buffer_add(&buf, binary ? &byte : part, binary ? 1 : strlen(part));
	}
	text.len = buf.len;
	text.data = take_ptr(&buf.data);
	return text;
}

static char *numbered(const char *before, uint32_t i)
{
	cleanup_buffer struct buffer buf = { 0 };

	(void)buffer_printf(&buf, "%s%u", before, i);
	return take_ptr(&buf.data);
}

static void random_request(struct message *ret)
{
	*ret = (struct message){ .type = MESSAGE_REQUEST, .request.version = WIRE_VERSION };
	ret->request.builder = numbered("b", random_below(1000));
	ret->request.n_args = random_below(8);
	ret->request.args = calloc(8, sizeof(struct text));
	for (size_t i = 0; i < ret->request.n_args; i++)
		ret->request.args[i] = random_text();
	ret->request.n_env = random_below(8);
	ret->request.env = calloc(8, sizeof(struct wire_variable));
	for (uint32_t i = 0; i < ret->request.n_env; i++) {
		ret->request.env[i].name = numbered("V", i);
		ret->request.env[i].value = random_text();
	}
	ret->request.n_outputs = random_below(4);
	ret->request.outputs = calloc(4, sizeof(struct wire_tree));
	for (uint32_t i = 0; i < ret->request.n_outputs; i++) {
		ret->request.outputs[i].name = numbered("o", 3 - i);
		ret->request.outputs[i].path = i % 2 ? NULL : numbered("/nix/store/p", i);
	}
	ret->request.n_inputs = random_below(4);
	ret->request.inputs = calloc(4, sizeof(struct wire_tree));
	for (uint32_t i = 0; i < ret->request.n_inputs; i++) {
		ret->request.inputs[i].name = numbered("I.", 3 - i);
		ret->request.inputs[i].path = i % 2 ? NULL : numbered("/nix/store/p", i);
	}
	ret->request.timeout_sec = random_below(3) * 100;
	ret->request.request_id = random_below(2) ? numbered("r", random_below(99)) : NULL;
	ret->request.inline_reply = ret->request.n_outputs == 0 && random_below(2) == 0;
}

static bool same_string(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_text(const struct text *a, const struct text *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static bool same_trees(const struct wire_tree *a, const struct wire_tree *b, size_t n)
{
	bool same = true;

	for (size_t i = 0; same && i < n; i++)
		same = same_string(a[i].name, b[i].name) && same_string(a[i].path, b[i].path);
	return same;
}

static bool same_request(const struct message *a, const struct message *b)
{
	bool same = a->type == b->type && a->request.version == b->request.version &&
	            same_string(a->request.builder, b->request.builder) &&
	            a->request.n_args == b->request.n_args &&
	            a->request.n_env == b->request.n_env &&
	            a->request.n_outputs == b->request.n_outputs &&
	            a->request.n_inputs == b->request.n_inputs &&
	            a->request.timeout_sec == b->request.timeout_sec &&
	            same_string(a->request.request_id, b->request.request_id) &&
	            a->request.inline_reply == b->request.inline_reply;

	for (size_t i = 0; same && i < a->request.n_args; i++)
		same = same_text(&a->request.args[i], &b->request.args[i]);
	for (size_t i = 0; same && i < a->request.n_env; i++)
		same = same_string(a->request.env[i].name, b->request.env[i].name) &&
		       same_text(&a->request.env[i].value, &b->request.env[i].value);
	return same && same_trees(a->request.outputs, b->request.outputs, a->request.n_outputs) &&
	       same_trees(a->request.inputs, b->request.inputs, a->request.n_inputs);
}

static void reads_back_random_requests(void)
{
	for (int i = 0; i < 2000; i++) {
		cleanup_message struct message sent = { 0 }, got = { 0 };
		cleanup_buffer struct buffer buf = { 0 };
		struct error err = { 0 };
		bool same;

		random_request(&sent);
		same = message_print(&sent, &buf, &err) == 0 &&
		       message_parse(buf.data, buf.len - 1, &got, &err) == 0 &&
		       same_request(&sent, &got);
		check(same);
		if (!same)
			printf("  line %s  said %s\n", buf.data ? buf.data : "", err.text);
	}
}

/* ---- .attrs.json ---- */

static int parse_attrs(const char *text, struct message *ret, struct error *err)
{
	return message_parse_attrs(text, strlen(text), ret, err);
}

static void finds_outputs_and_request_in_structured_attributes(void)
{
	static const char text[] =
		"{\"name\":\"x\",\"weight\":1.5,\"deep\":[[[[[[[[[[[[1]]]]]]]]]]]],"
		"\"outputs\":{\"out\":\"/nix/store/a-x\",\"dev\":\"/nix/store/b-x-dev\"},"
		"\"hatch\":{\"builder\":\"hello\",\"args\":[\"a b\"],\"env\":{\"TOP\":\"x\"},"
		"\"inputs\":{\"src\":\"/nix/store/c-rtl\",\"b.c\":\"x\"},"
		"\"timeout\":60,\"heartbeat\":30,\"undeclared_references\":\"fail\",\"request_id\":\"r1\"}}";
	cleanup_message struct message message = { 0 };

	check(parse_attrs(text, &message, NULL) == 0);
	check(message.type == MESSAGE_REQUEST && message.request.version == WIRE_VERSION);
	check(same_string(message.request.builder, "hello"));
	check(message.request.n_args == 1 && message.request.n_env == 1);
	check(message.request.n_outputs == 2 && message.request.timeout_sec == 60);
	check(same_string(message.request.outputs[1].path, "/nix/store/b-x-dev"));
	check(message.request.n_inputs == 2);
	check(same_string(message.request.inputs[0].name, "src"));
	check(same_string(message.request.inputs[0].path, "/nix/store/c-rtl"));
	check(message.request.heartbeat_sec == 30);
	check(message.request.references == REFERENCES_FAIL);
	check(same_string(message.request.request_id, "r1"));
}

static void takes_structured_attributes_without_a_request(void)
{
	cleanup_message struct message message = { 0 };

	check(parse_attrs("{\"outputs\":{\"out\":\"/nix/store/a-x\"}}", &message, NULL) == 0);
	check(!message.request.builder && message.request.n_outputs == 1);
}

static void refuses_structured_attributes_that_would_lose_something(void)
{
	static const struct {
		const char *text, *complaint;
	} rows[] = {
		{ "", "not JSON" },
		{ "[]", "JSON object" },
		{ "{}", "\"outputs\" is missing" },
		{ "{\"outputs\":[\"out\"]}", "\"outputs\" must be an object" },
		{ "{\"outputs\":{},\"hatch\":[]}", "\"hatch\" must be an object" },
		{ "{\"outputs\":{},\"hatch\":{\"arguments\":[]}}", "no member \"arguments\"" },
		{ "{\"outputs\":{},\"hatch\":{\"builder\":\"A\"}}", "\"builder\" must match" },
		{ "{\"outputs\":{},\"hatch\":{\"timeout\":1.5}}", "\"timeout\" must" },
		{ "{\"outputs\":{},\"hatch\":{\"inputs\":\"a\"}}", "\"inputs\" must be an object" },
		{ "{\"outputs\":{},\"hatch\":{\"inputs\":{\"/\":\"a\"}}}",
		  "\"inputs\" has a name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct message message;
		struct error err = { 0 };

		check(parse_attrs(rows[i].text, &message, &err) == -EBADMSG);
		check(strstr(err.text, rows[i].complaint) != NULL);
	}
}

static const struct unit_case cases[] = {
	CASE(names_the_member_of_every_malformed_line),
	CASE(complaints_are_always_utf8),
	CASE(refuses_a_nul_byte_in_a_line),
	CASE(ignores_members_it_does_not_know),
	CASE(reads_no_further_than_a_version_it_does_not_speak),
	CASE(keeps_both_sides_of_every_count),
	CASE(keeps_both_sides_of_every_range),
	CASE(keeps_both_sides_of_every_length),
	CASE(prints_no_line_above_its_cap),
	CASE(prints_no_string_that_is_not_utf8),
	CASE(prints_what_it_read),
	CASE(reads_back_random_requests),
	CASE(finds_outputs_and_request_in_structured_attributes),
	CASE(takes_structured_attributes_without_a_request),
	CASE(refuses_structured_attributes_that_would_lose_something),
};

UNIT_MAIN(cases)
