/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an HTTP answer. The first byte says how they are cut: whatever comes in pieces is
 * taken as it is in one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "net/http1_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum http1_piece last;
    int status;
    int64_t length;
    size_t used;
    struct buf fields, body;
    unsigned heads;
    bool may_end;
};

static struct outcome read_in_pieces(const char *data, size_t size, size_t most, bool is_head)
{
    struct outcome o = {
        .last = HTTP1_MORE, .fields = BUF_INIT(2 * size + 1), .body = BUF_INIT(size + 1)};
    struct http1_answer a;
    http1_answer_begin(&a, is_head);
    for (size_t at = 0; at < size && o.last == HTTP1_MORE;) {
        size_t n = size - at < most ? size - at : most;
        /* A copy that ends where the piece ends: reading beyond it is found. */
        char *piece = malloc(n);
        CHECK(piece != NULL);
        memcpy(piece, data + at, n);
        struct http1_bytes bytes = {piece, n};
        while ((o.last = http1_answer_next(&a, &bytes)) > HTTP1_MORE && o.last != HTTP1_END) {
            if (o.last == HTTP1_FIELD) {
                CHECK(o.heads == 0);
                buf_append(&o.fields, a.text.data, a.text.len);
                buf_byte(&o.fields, '\n');
            } else if (o.last == HTTP1_HEAD) {
                o.heads++;
                CHECK(a.status >= 200 && a.status <= 999);
            } else {
                CHECK(o.heads == 1 && a.text.len > 0);
                CHECK(a.text.len <= http1_answer_body_left(&a));
                size_t taken = 1 + a.text.len / 2; /* the rest comes again */
                buf_append(&o.body, a.text.data, taken);
                http1_answer_took(&a, &bytes, taken);
            }
        }
        at += n - bytes.len;
        CHECK(o.last != HTTP1_MORE || bytes.len == 0);
        free(piece);
        o.used = at;
    }
    CHECK(o.last != HTTP1_BAD || (a.bad && !a.keep));
    CHECK(o.last != HTTP1_END ||
          (o.heads == 1 && (a.length < 0 || is_head || a.status == 204 || a.status == 304 ||
                            a.chunked || (uint64_t)a.length == o.body.len)));
    o.status = a.status;
    o.length = a.length;
    o.may_end = http1_answer_may_end(&a);
    http1_answer_release(&a);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    bool is_head = data[0] & 1;
    struct outcome whole = read_in_pieces(text, size - 1, size, is_head);
    struct outcome cut = read_in_pieces(text, size - 1, 1 + data[0] / 8, is_head);
    /* Where it is no answer, who has less of it may notice later. */
    CHECK(whole.last == cut.last);
    CHECK(whole.last == HTTP1_BAD || (whole.used == cut.used && whole.status == cut.status &&
                                      whole.length == cut.length && whole.may_end == cut.may_end));
    CHECK(strcmp(buf_str(&whole.body), buf_str(&cut.body)) == 0 && whole.body.len == cut.body.len);
    CHECK(strcmp(buf_str(&whole.fields), buf_str(&cut.fields)) == 0);
    buf_release(&whole.fields);
    buf_release(&whole.body);
    buf_release(&cut.fields);
    buf_release(&cut.body);
    return 0;
}
