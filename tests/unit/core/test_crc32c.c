/* SPDX-License-Identifier: Apache-2.0
 *
 * crc32c: the vectors of RFC 3720, B.4; the definition at lengths around what a
 * vector instruction takes; combination.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/crc32c.h"
#include "core/mem.h"

static void published_vectors(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof(ones));
    for (unsigned char i = 0; i < 32; i++) {
        up[i] = i;
        down[i] = (unsigned char)(31 - i);
    }
    assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(crc32c(0, up, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, down, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0x12345678, "", 0), 0x12345678);
}

/* Deterministic noise. */
static unsigned char *noise(size_t len)
{
    unsigned char *data = xcalloc(len, 1);
    uint64_t x = 88172645463325252;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (unsigned char)(x >> 32);
    }
    return data;
}

/* By the definition, a bit at a time. */
static uint32_t crc_by_bits(const unsigned char *p, size_t len)
{
    uint32_t crc = ~0u;
    while (len--) {
        crc ^= *p++;
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void as_defined_at_every_length_and_alignment(void **state)
{
    (void)state;
    enum { LEN = 40000 };
    unsigned char *data = noise(LEN + 16);
    static const size_t near[] = {4095, 4096, 12287, 12288, 12289, 12295, 24576, 24583, 36871, LEN};
    for (size_t align = 0; align < 9; align++) {
        for (size_t len = 0; len < 700; len++) {
            uint32_t expected = crc_by_bits(data + align, len);
            assert_int_equal(crc32c(0, data + align, len), expected);
        }
        for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
            uint32_t expected = crc_by_bits(data + align, near[i]);
            assert_int_equal(crc32c(0, data + align, near[i]), expected);
        }
    }
    free(data);
}

static void pieces_in_a_row_and_combined(void **state)
{
    (void)state;
    enum { LEN = 30000 };
    unsigned char *data = noise(LEN);
    uint32_t whole = crc32c(0, data, LEN);
    for (size_t cut = 0; cut <= LEN; cut += 997) {
        uint32_t a = crc32c(0, data, cut), b = crc32c(0, data + cut, LEN - cut);
        assert_int_equal(crc32c(a, data + cut, LEN - cut), whole);
        assert_int_equal(crc32c_combine(a, b, LEN - cut), whole);
    }
    assert_int_equal(crc32c_combine(whole, 0, 0), whole);
    assert_int_equal(crc32c_combine(0, whole, LEN), whole);
    free(data);
}

static void twenty_gigabytes_of_zeros_by_doubling(void **state)
{
    (void)state;
    static const unsigned char zeros[4096];
    const uint64_t total = UINT64_C(20) * 1000 * 1000 * 1000;
    /* piece: of 2^k bytes */
    uint32_t piece = crc32c(0, zeros, 1), sum = 0;
    for (uint64_t len = 1; len <= total; len *= 2) {
        if (len <= sizeof(zeros))
            assert_int_equal(piece, crc32c(0, zeros, len));
        if (total & len)
            sum = crc32c_combine(sum, piece, len);
        piece = crc32c_combine(piece, piece, len);
    }
    /* The same, from pieces of another size: 20 GB = 4,882,812 * 4,096 + 2,048 bytes. */
    uint32_t page = crc32c(0, zeros, 4096), other = crc32c(0, zeros, 2048);
    uint64_t len = 4096;
    for (uint64_t pages = total / 4096; pages; pages >>= 1, len *= 2) {
        if (pages & 1)
            other = crc32c_combine(other, page, len);
        page = crc32c_combine(page, page, len);
    }
    assert_int_equal(total % 4096, 2048);
    assert_int_equal(sum, other);
    assert_int_not_equal(sum, crc32c_combine(sum, crc32c(0, zeros, 1), 1));
}

static void text_form(void **state)
{
    (void)state;
    char text[CRC32C_TEXT_SIZE];
    crc32c_format(0xe3069283, text);
    assert_string_equal(text, "4waSgw==");
    uint32_t crc = 0;
    assert_int_equal(crc32c_parse(text, &crc), 0);
    assert_int_equal(crc, 0xe3069283);
    static const char *const bad[] = {
        "",         "4waSgw=",  "4waSgw",     "4waSgwA=", "4waSgwAA",
        "4waSgx==", "4waS gw=", "4waSgw==\n", "========", "4waSgw==4waSgw=="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(crc32c_parse(bad[i], &crc), -1);
    assert_int_equal(crc, 0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(as_defined_at_every_length_and_alignment),
        cmocka_unit_test(pieces_in_a_row_and_combined),
        cmocka_unit_test(twenty_gigabytes_of_zeros_by_doubling),
        cmocka_unit_test(text_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
