/* A record that claims to be a speaker's: it is refused, or it is byte for byte what we would
 * write. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hatchd/request/record.h"
#include "lib/base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cleanup_record struct record record = { 0 };
	cleanup_free char *bytes = malloc(len ? len : 1), *written = NULL;
	cleanup_fd int fd = -1;
	size_t written_len;

	if (!bytes)
		return 0;
	if (len > 0)
		memcpy(bytes, data, len);
	if (record_parse(&bytes, len, &record, NULL) < 0)
		return 0;
	fd = memfd_create("record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert(fd >= 0 && record_write(fd, &record, NULL) == 0);
	assert(lseek(fd, 0, SEEK_SET) == 0);
	assert(fd_read_file(fd, RECORD_BYTES_MAX, &written, &written_len) == 0);
	assert(written_len == len && memcmp(written, data, len) == 0);
	return 0;
}
