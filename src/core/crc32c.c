/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <string.h>

#include "core/text.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *p = data;
    while (len) {
        int n = len < INT_MAX ? (int)len : INT_MAX;
        /* It takes no const, and writes nothing. What goes in and comes out is the complement. */
        crc = ~crc32_iscsi((unsigned char *)(uintptr_t)p, n, ~crc);
        p += n;
        len -= (size_t)n;
    }
    return crc;
}

/* ---- combining --------------------------------------------------------------------------------
 * Polynomials over GF(2), bit-reflected: the highest bit is the factor of x^0. */

/* a * b modulo Castagnoli's polynomial. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    const uint32_t polynomial = 0x82f63b78;
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return product;
}

/* What `len` zero bytes after it do to a CRC: x^(8 * len). */
static uint32_t zeros_factor(uint64_t len)
{
    uint32_t factor = 1u << 31; /* 1 */
    uint32_t x_to_the_8 = 1u << 23;
    for (uint32_t power = x_to_the_8; len; len >>= 1, power = multiply(power, power))
        if (len & 1)
            factor = multiply(power, factor);
    return factor;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    return multiply(zeros_factor(len_b), crc_a) ^ crc_b;
}

void crc32c_format(uint32_t crc, char out[CRC32C_TEXT_SIZE])
{
    unsigned char be[4] = {(unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
                           (unsigned char)(crc >> 8), (unsigned char)crc};
    text_base64(be, sizeof(be), out);
}

int crc32c_parse(const char *s, uint32_t *crc)
{
    unsigned char be[6];
    if (strlen(s) != 8 || text_unbase64(s, 8, be) != 4)
        return -1;
    *crc = (uint32_t)be[0] << 24 | (uint32_t)be[1] << 16 | (uint32_t)be[2] << 8 | be[3];
    return 0;
}
