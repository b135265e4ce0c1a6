/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms, read by libmicrohttpd's post processor.
 */
#include "form.h"

#include <string.h>

enum { FORM_FIELDS_MAX = 8, FIELD_MAX = 64 * 1024, PARSE_BUFFER = 64 * 1024 };

struct form {
    const struct form_field *fields;
    size_t n_fields;
    struct buf values[FORM_FIELDS_MAX];
    bool seen[FORM_FIELDS_MAX];
};

static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *key,
                                const char *filename, const char *content_type,
                                const char *transfer_encoding, const char *data, uint64_t off,
                                size_t size)
{
    (void)kind;
    (void)filename;
    (void)content_type;
    (void)transfer_encoding;
    (void)off;
    struct form *form = cls;
    for (size_t i = 0; key && i < form->n_fields; i++) {
        if (strcmp(form->fields[i].name, key) == 0) {
            form->seen[i] = true;
            buf_append(&form->values[i], data, size);
        }
    }
    return MHD_YES;
}

int form_read(struct request *rq, const struct form_field *fields, size_t n_fields)
{
    CHECK(n_fields <= FORM_FIELDS_MAX);
    struct form form = {.fields = fields, .n_fields = n_fields};
    for (size_t i = 0; i < n_fields; i++)
        form.values[i] = BUF_INIT(FIELD_MAX);
    int rc = -1;
    struct MHD_PostProcessor *pp =
        MHD_create_post_processor(rq->connection, PARSE_BUFFER, on_field, &form);
    if (pp) {
        bool good = !rq->body.len || MHD_post_process(pp, rq->body.data, rq->body.len) == MHD_YES;
        rc = MHD_destroy_post_processor(pp) == MHD_YES && good ? 0 : -1;
    }
    for (size_t i = 0; i < n_fields; i++) {
        if (buf_overflowed(&form.values[i]))
            rc = -1;
        *fields[i].value = form.seen[i] ? buf_take(&form.values[i]) : NULL;
        buf_release(&form.values[i]);
    }
    return rc;
}
