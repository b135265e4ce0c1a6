/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a store's XML, and as the body of its refusal.
 */
#include <stdint.h>
#include <string.h>

#include "aws/s3_error.h"
#include "aws/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void each(void *arg, const char *path, const char *text)
{
    size_t *n = arg;
    CHECK(*path && strlen(path) <= 1024);
    *n += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = 0;
    struct err err = {0};
    if (xml_read((const char *)data, size, each, &n, &err) < 0)
        CHECK(err.code == ERR_PROTOCOL && err.msg[0]);
    /* A character takes at most one and a half times the bytes in UTF-8 that it took before (of
     * UTF-16; twice, of ISO-8859-1): without entities text cannot grow beyond that. */
    CHECK(n <= 2 * size);

    static const struct s3_context ctx = {
        "PutObject", "s3://bucket/key", "bucket", "https://store.example",
        "us-east-1", "environment",     true,     true};
    struct s3_answer answer = {
        .status = size ? 200 + data[0] * 2 : 400,
        .body = (const char *)data,
        .body_len = size,
    };
    err = (struct err){0};
    s3_error_set(&err, &ctx, &answer);
    CHECK(err.code != ERR_NONE && err.msg[0] && !strpbrk(err.msg, "\r\n\x1b"));
    return 0;
}
