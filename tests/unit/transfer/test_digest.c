/* SPDX-License-Identifier: Apache-2.0
 *
 * digest: checksums as they pass, and what the source announced. Expected values are those that
 * RFC 1321, FIPS 180 and RFC 3720 publish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/crc32c.h"
#include "transfer/digest.h"

/* Of "123456789", "abc" and "". */
#define CRC32C_DIGITS "4waSgw=="
#define CRC32C_EMPTY  "AAAAAA=="
#define MD5_ABC       "kAFQmDzST7DWlj99KOF/cg=="
#define MD5_EMPTY     "1B2M2Y8AsgTpgAmY7PhCfg=="
#define SHA256_ABC    "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define SHA256_EMPTY  "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

/* Feeds text in pieces of `step` bytes, each a part of its own; the outcome of the comparison. */
static int check(const struct source_meta *meta, const char *text, size_t step, struct err *err)
{
    struct digest d = {0};
    size_t len = strlen(text);
    assert_int_equal(digest_start(&d, meta, err), 0);
    for (size_t at = 0; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        digest_bytes(&d, text + at, n);
        digest_part(&d, crc32c(0, text + at, n), n);
    }
    assert_int_equal(d.crc32c, crc32c(0, text, len));
    int rc = digest_check(&d, err);
    digest_release(&d);
    return rc;
}

static void agrees(const struct source_meta *meta, const char *text)
{
    for (size_t step = 1; step <= 10; step += 3) {
        struct err err = {0};
        if (check(meta, text, step, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(err.code, ERR_NONE);
    }
}

static void differs(const struct source_meta *meta, const char *text, const char *name,
                    const char *want)
{
    struct err err = {0};
    assert_int_equal(check(meta, text, 4, &err), -1);
    assert_int_equal(err.code, ERR_INTEGRITY);
    assert_true(strncmp(err.msg, name, strlen(name)) == 0);
    assert_non_null(strstr(err.msg, want));
}

static void nothing_announced(void **state)
{
    (void)state;
    agrees(&(struct source_meta){0}, "anything");
    agrees(&(struct source_meta){0}, "");
}

static void announced_and_right(void **state)
{
    (void)state;
    agrees(&(struct source_meta){.crc32c = CRC32C_DIGITS}, "123456789");
    agrees(&(struct source_meta){.md5 = MD5_ABC}, "abc");
    agrees(&(struct source_meta){.sha256 = SHA256_ABC}, "abc");
    agrees(&(struct source_meta){.md5 = MD5_ABC, .sha256 = SHA256_ABC}, "abc");
    agrees(&(struct source_meta){.crc32c = CRC32C_EMPTY, .md5 = MD5_EMPTY, .sha256 = SHA256_EMPTY},
           "");
}

static void announced_and_wrong(void **state)
{
    (void)state;
    differs(&(struct source_meta){.crc32c = CRC32C_DIGITS}, "123456788", "CRC32C", CRC32C_DIGITS);
    differs(&(struct source_meta){.crc32c = CRC32C_DIGITS}, "", "CRC32C", CRC32C_EMPTY);
    differs(&(struct source_meta){.md5 = MD5_ABC}, "abd", "MD5", MD5_ABC);
    differs(&(struct source_meta){.sha256 = SHA256_ABC}, "abd", "SHA-256", SHA256_ABC);
    /* One that is right does not make up for another. */
    differs(&(struct source_meta){.md5 = MD5_ABC, .sha256 = SHA256_EMPTY}, "abc", "SHA-256",
            SHA256_ABC);
}

static void malformed(void **state)
{
    (void)state;
    char long_one[200];
    memset(long_one, 'A', sizeof(long_one));
    long_one[sizeof(long_one) - 1] = '\0';
    const struct source_meta metas[] = {
        {.crc32c = ""},
        {.crc32c = "AAAAAA"},
        {.crc32c = "AAAAAA="},
        {.crc32c = "AAAAAAA="},
        {.crc32c = " AAAAAA=="},
        {.crc32c = "AAAAAB=="},
        {.crc32c = MD5_ABC},
        {.crc32c = long_one},
        {.md5 = CRC32C_DIGITS},
        {.md5 = SHA256_ABC},
        {.sha256 = MD5_ABC},
        {.sha256 = "x"},
        {.md5 = MD5_ABC, .sha256 = "?"},
    };
    for (size_t i = 0; i < sizeof(metas) / sizeof(metas[0]); i++) {
        struct err err = {0};
        struct digest d = {0};
        if (digest_start(&d, &metas[i], &err) == 0)
            fail_msg("number %zu was taken", i);
        assert_int_equal(err.code, ERR_PROTOCOL);
        digest_release(&d);
    }
}

static void started_anew(void **state)
{
    (void)state;
    struct err err = {0};
    struct digest d = {0};
    assert_int_equal(digest_start(&d, &(struct source_meta){.md5 = MD5_EMPTY}, &err), 0);
    digest_bytes(&d, "half of something", 17);
    digest_part(&d, 7, 17);
    const struct source_meta meta = {.sha256 = SHA256_ABC};
    assert_int_equal(digest_start(&d, &meta, &err), 0);
    assert_int_equal(d.crc32c, 0);
    digest_bytes(&d, "abc", 3);
    digest_part(&d, crc32c(0, "abc", 3), 3);
    if (digest_check(&d, &err) < 0)
        fail_msg("%s", err.msg);
    digest_release(&d);
    digest_release(&d); /* a released one is as a zeroed one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_announced),   cmocka_unit_test(announced_and_right),
        cmocka_unit_test(announced_and_wrong), cmocka_unit_test(malformed),
        cmocka_unit_test(started_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
