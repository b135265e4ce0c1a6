/* SPDX-License-Identifier: Apache-2.0
 *
 * crc32c: the Castagnoli CRC (RFC 3720, B.4), by ISA-L: with whichever instructions the processor
 * has. Any thread.
 *
 *     uint32_t crc = crc32c(0, a, a_len);
 *     crc = crc32c(crc, b, b_len);                          of a and b in a row
 *     crc == crc32c_combine(crc32c(0, a, a_len), crc32c(0, b, b_len), b_len)
 */
#ifndef EGRESS_CORE_CRC32C_H
#define EGRESS_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start) over the data. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* CRC of A followed by B from the CRC of each and the length of B. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

/* Base64 of the big-endian value, as S3 and Google write it: 8 characters and the NUL. */
enum { CRC32C_TEXT_SIZE = 9 };
void crc32c_format(uint32_t crc, char out[CRC32C_TEXT_SIZE]);
int crc32c_parse(const char *s, uint32_t *crc); /* 0 or -1 */

#endif
