/*
 * A fuzzer that does not know tar hardly ever gets a checksum right. So the targets run each input
 * twice: as it is, and with the checksum of every block that could be a header put right.
 */
#pragma once

#include <stdint.h>
#include <string.h>

enum { REPAIR_BLOCK_LEN = 512, REPAIR_MAX = 1024 * 1024 };

static inline void repair_block(uint8_t *block)
{
	unsigned sum = 0;

	if (memcmp(block + 257, "ustar", 5) != 0)
		return;
	memset(block + 148, ' ', 8);
	for (int i = 0; i < REPAIR_BLOCK_LEN; i++)
		sum += block[i];
	for (int i = 5; i >= 0; i--, sum >>= 3)
		block[148 + i] = (uint8_t)('0' + (sum & 7));
	block[154] = '\0';
}

/* The repaired copy, valid until the next call; NULL if the input is too long for one. */
static inline const uint8_t *repair(const uint8_t *data, size_t len)
{
	static uint8_t copy[REPAIR_MAX];

	if (len > sizeof(copy))
		return NULL;
	memcpy(copy, data, len);
	for (size_t at = 0; at + REPAIR_BLOCK_LEN <= len; at += REPAIR_BLOCK_LEN)
		repair_block(copy + at);
	return copy;
}
