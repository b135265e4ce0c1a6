/* SPDX-License-Identifier: Apache-2.0
 *
 * job_answer: see job_answer.h.
 */
#include "lambda/job_answer.h"

#include <stdlib.h>

#include "core/mem.h"

static void stored(struct answer *answer, const struct sink *sink, const struct transfer_result *r)
{
    size_t n = r->receipt->n_outputs;
    struct answer_object *objects = xcalloc(n, sizeof(*objects));
    struct buf *where = xcalloc(n, sizeof(*where));
    for (size_t i = 0; i < n; i++) {
        where[i] = BUF_INIT(8192);
        sink->ops->locate(sink, r->receipt->outputs[i].key, &where[i]);
        objects[i] = (struct answer_object){.key = r->receipt->outputs[i].key,
                                            .location = buf_str(&where[i]),
                                            .size = r->receipt->outputs[i].size};
    }
    answer_stored(answer, r->job, r->outcome == TRANSFER_ALREADY, objects, n);
    for (size_t i = 0; i < n; i++)
        buf_release(&where[i]);
    free(where);
    free(objects);
}

void job_answer(struct answer *answer, const struct sink *sink, const struct transfer_result *r)
{
    struct err err = r->err;
    if (r->outcome == TRANSFER_STORED || r->outcome == TRANSFER_ALREADY) {
        stored(answer, sink, r);
        return;
    }
    if (r->outcome == TRANSFER_HANDED_OVER)
        err_set(&err, ERR_TIMEOUT,
                "the time is up and a part of it is stored; send the webhook again to go on");
    answer_failed(answer, r->job, &err);
}
