/* encoding.h and digest.h. */
#include "encoding.h"

#include <errno.h>
#include <string.h>

#include "tests/unit.h"

#include "cleanup.h"
#include "digest.h"

/* RFC 4648, section 10 */
static const struct {
	const char *raw, *base64, *hex;
} vectors[] = {
	{ "", "", "" },
	{ "f", "Zg==", "66" },
	{ "fo", "Zm8=", "666f" },
	{ "foo", "Zm9v", "666f6f" },
	{ "foob", "Zm9vYg==", "666f6f62" },
	{ "fooba", "Zm9vYmE=", "666f6f6261" },
	{ "foobar", "Zm9vYmFy", "666f6f626172" },
	{ "\xfb\xff\xfe", "+//+", "fbfffe" },
};

static void encodes_the_vectors_of_the_rfc(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		cleanup_(buffer_done) struct buffer text = { 0 }, raw = { 0 };
		char hex[32];

		check(base64_encode(&text, vectors[i].raw, strlen(vectors[i].raw)) == 0);
		check(strcmp(text.data, vectors[i].base64) == 0);
		check(base64_decode(&raw, text.data, text.len) == 0);
		check(strcmp(raw.data, vectors[i].raw) == 0 && raw.len == strlen(vectors[i].raw));
		hex_encode(vectors[i].raw, strlen(vectors[i].raw), hex);
		check(strcmp(hex, vectors[i].hex) == 0);
	}
}

static void decodes_what_it_encodes(void)
{
	unsigned char bytes[1000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + i / 256);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		cleanup_(buffer_done) struct buffer text = { 0 }, raw = { 0 };

		check(base64_encode(&text, bytes, len) == 0 && text.len == (len + 2) / 3 * 4);
		check(base64_decode(&raw, text.data, text.len) == 0);
		check(raw.len == len && memcmp(raw.data, bytes, len) == 0);
	}
}

static void appends_to_what_is_there(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	check(buffer_add(&buf, "a:", 2) == 0 && base64_encode(&buf, "foo", 3) == 0);
	check(strcmp(buf.data, "a:Zm9v") == 0);
	check(base64_decode(&buf, "Zm8=", 4) == 0 && strcmp(buf.data, "a:Zm9vfo") == 0);
}

static void refuses_what_is_not_complete_base64(void)
{
	static const char *const bad[] = {
		"Z",      "Zg",      "Zg=",   "Zg===",        "=",     "====", "Zg==Zg==", "Zg==\n",
		"Zm9v\n", " Zm9v",   "Zm9 v", "Zm\n9v\n\n\n", "Zm9v ", "Zm-_", "Zm9*",     "Z=g=",
		"=Zg=",   "Zm9\xc3", "Zh==",  "Zm9=",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_(buffer_done) struct buffer buf = { 0 };
		int r;

		check(buffer_add(&buf, "keep", 4) == 0);
		r = base64_decode(&buf, bad[i], strlen(bad[i]));
		if (r != -EINVAL)
			printf("'%s': %d\n", bad[i], r);
		check(r == -EINVAL);
		check(buf.len == 4 && memcmp(buf.data, "keep", 4) == 0);
	}
}

static void refuses_a_nul_inside(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	check(base64_decode(&buf, "Zm9\0", 4) == -EINVAL);
	check(base64_decode(&buf, "Zm9v\0\0\0\0", 8) == -EINVAL);
}

/* FIPS 180-4 */
static void digests_the_vectors_of_the_standard(void)
{
	static const char
		empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	static const char
		abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	static const char
		million[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
	char hex[DIGEST_HEX_LEN + 1];
	struct digest digest;

	digest_init(&digest);
	digest_final(&digest, hex);
	check(strcmp(hex, empty) == 0);

	/* The same object once more, in pieces. */
	digest_add(&digest, "a", 1);
	digest_add(&digest, "", 0);
	digest_add(&digest, "bc", 2);
	digest_final(&digest, hex);
	check(strcmp(hex, abc) == 0);

	for (int i = 0; i < 1000; i++) {
		char bytes[1000];

		memset(bytes, 'a', sizeof(bytes));
		digest_add(&digest, bytes, sizeof(bytes));
	}
	digest_final(&digest, hex);
	check(strcmp(hex, million) == 0);
}

static const struct unit_case cases[] = {
	CASE(encodes_the_vectors_of_the_rfc), CASE(decodes_what_it_encodes),
	CASE(appends_to_what_is_there),       CASE(refuses_what_is_not_complete_base64),
	CASE(refuses_a_nul_inside),           CASE(digests_the_vectors_of_the_standard),
};

UNIT_MAIN(cases)
