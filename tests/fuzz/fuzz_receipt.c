/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: a receipt of any bytes is refused with a line, or read; one that was read is written
 * and read again as the same text. The same bytes also go through what makes names safe.
 */
#include <stdint.h>

#include "core/mem.h"
#include "core/text.h"
#include "transfer/key.h"
#include "transfer/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void format(const struct receipt *r, struct buf *out)
{
    struct err err = {0};
    *out = BUF_INIT(16 * RECEIPT_BYTES_MAX);
    CHECK(receipt_format(r, out, &err) == 0);
}

static void check_receipt(const void *data, size_t size)
{
    struct receipt r, again;
    struct err err = {0};
    if (receipt_parse(data, size, "voxel51", "job-1", &r, &err) < 0) {
        CHECK(err.code == ERR_INPUT && err.msg[0] && !strpbrk(err.msg, "\r\n"));
        return;
    }
    struct buf first, second;
    format(&r, &first);
    if (first.len <= RECEIPT_BYTES_MAX) {
        CHECK(receipt_parse(buf_str(&first), first.len, "voxel51", "job-1", &again, &err) == 0);
        format(&again, &second);
        CHECK(strcmp(buf_str(&first), buf_str(&second)) == 0);
        buf_release(&second);
        receipt_release(&again);
    }
    buf_release(&first);
    receipt_release(&r);
}

static void check_names(const char *text)
{
    struct source_output output = {.name = xstrdup(text), .size = -1};
    struct source_job job = {
        .id = "job-1", .name = xstrdup(text), .n_outputs = 1, .outputs = &output};
    struct err err = {0};
    struct buf name = BUF_INIT(KEY_MAX);
    key_safe_filename(text, &name);
    CHECK(name.len >= 1 && name.len <= KEY_COMPONENT_MAX && !strpbrk(buf_str(&name), "/\\"));
    CHECK(buf_str(&name)[0] != '.' && text_is_utf8(buf_str(&name), name.len));
    buf_clear(&name);
    /* The text as a template, if it is one; else as the names in one. */
    const char *template = key_template_check(text, &err) == 0 ? text : "{name}/{filename}";
    if (key_expand(template, &job, 0, &name, &err) == 0)
        CHECK(name.len >= 1 && !key_is_reserved(buf_str(&name)));
    buf_release(&name);
    free(output.name);
    free(job.name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_receipt(data, size);
    char *text = xstrndup((const char *)data, size);
    check_names(text);
    free(text);
    return 0;
}
