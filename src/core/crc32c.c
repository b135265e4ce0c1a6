/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "core/text.h"

/* Bit-reflected Castagnoli polynomial. */
#define POLY 0x82f63b78u

/* The hardware loop runs three chains at once over blocks of this size (one chain waits three
 * cycles for each result), then joins the chains with a table that appends BLOCK zero bytes. */
enum { BLOCK = 4096 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t slice[8][256];
static uint32_t skip_block[4][256]; /* appends BLOCK zero bytes, one table per byte of the CRC */
static uint32_t x_pow[64];          /* x^(8 * 2^k) mod P, reflected */

/* a * b mod P for reflected polynomials. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ POLY : b >> 1;
    }
    return product;
}

/* The CRC register after `len` zero bytes, as a factor. */
static uint32_t zeros_factor(uint64_t len)
{
    uint32_t factor = 1u << 31; /* 1 */
    for (int k = 0; len; k++, len >>= 1)
        if (len & 1)
            factor = multiply(x_pow[k], factor);
    return factor;
}

static void make_tables(void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ POLY : c >> 1;
        slice[0][n] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int n = 0; n < 256; n++)
            slice[t][n] = slice[t - 1][n] >> 8 ^ slice[0][slice[t - 1][n] & 0xff];
    x_pow[0] = 1u << 23; /* x^8 */
    for (int k = 1; k < 64; k++)
        x_pow[k] = multiply(x_pow[k - 1], x_pow[k - 1]);
    uint32_t factor = zeros_factor(BLOCK);
    for (int t = 0; t < 4; t++)
        for (uint32_t n = 0; n < 256; n++)
            skip_block[t][n] = multiply(n << 8 * t, factor);
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, make_tables);
    const unsigned char *p = data;
    crc = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t lo = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                             (uint32_t)p[3] << 24);
        crc = slice[7][lo & 0xff] ^ slice[6][lo >> 8 & 0xff] ^ slice[5][lo >> 16 & 0xff] ^
              slice[4][lo >> 24] ^ slice[3][p[4]] ^ slice[2][p[5]] ^ slice[1][p[6]] ^
              slice[0][p[7]];
    }
    while (len--)
        crc = crc >> 8 ^ slice[0][(crc ^ *p++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE_NAME      "sse4.2"
#define HARDWARE_TARGET    __attribute__((target("sse4.2")))
#define crc_u64(crc, word) ((uint32_t)_mm_crc32_u64(crc, word))
#define crc_u8(crc, byte)  _mm_crc32_u8(crc, byte)
static bool have_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define HARDWARE_NAME      "armv8"
#define HARDWARE_TARGET    __attribute__((target("+crc")))
#define crc_u64(crc, word) __crc32cd(crc, word)
#define crc_u8(crc, byte)  __crc32cb(crc, byte)
static bool have_hardware(void)
{
    return getauxval(AT_HWCAP) & (1u << 7); /* HWCAP_CRC32 */
}
#endif

#ifdef HARDWARE_NAME

static uint32_t append_block_of_zeros(uint32_t crc)
{
    return skip_block[0][crc & 0xff] ^ skip_block[1][crc >> 8 & 0xff] ^
           skip_block[2][crc >> 16 & 0xff] ^ skip_block[3][crc >> 24];
}

static uint64_t load_u64(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word)); /* both targets are little-endian */
    return word;
}

HARDWARE_TARGET static uint32_t crc32c_hardware(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (; len >= 3 * BLOCK; p += 3 * BLOCK, len -= 3 * BLOCK) {
        uint32_t a = crc, b = 0, c = 0;
        for (size_t i = 0; i < BLOCK; i += 8) {
            a = crc_u64(a, load_u64(p + i));
            b = crc_u64(b, load_u64(p + BLOCK + i));
            c = crc_u64(c, load_u64(p + 2 * BLOCK + i));
        }
        crc = append_block_of_zeros(append_block_of_zeros(a) ^ b) ^ c;
    }
    for (; len >= 8; p += 8, len -= 8)
        crc = crc_u64(crc, load_u64(p));
    while (len--)
        crc = crc_u8(crc, *p++);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, make_tables);
    return have_hardware() ? crc32c_hardware(crc, data, len) : crc32c_portable(crc, data, len);
}

const char *crc32c_implementation(void)
{
    return have_hardware() ? HARDWARE_NAME : "portable";
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return crc32c_portable(crc, data, len);
}

const char *crc32c_implementation(void)
{
    return "portable";
}

#endif

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    pthread_once(&once, make_tables);
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
