/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: whatever a Lambda function is invoked with, it is of one shape or is refused in one
 * line, and messages and jobs that come out of it are what their headers promise.
 */
#include <stdint.h>
#include <string.h>

#include "ingress/lambda_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lambda_event event;
    struct err err = {0};
    int rc = lambda_event_parse(data, size, &event, &err);
    CHECK(lambda_event_kind_name(event.kind));
    if (rc < 0) {
        CHECK(err.code == ERR_INPUT || err.code == ERR_TOO_LARGE);
        CHECK(*err.msg && !strpbrk(err.msg, "\r\n"));
    } else {
        CHECK(event.kind != LAMBDA_UNKNOWN);
        CHECK((event.kind == LAMBDA_DIRECT) == job_id_is_valid(event.job));
        CHECK((event.kind == LAMBDA_SQS) == (event.n_messages > 0));
        CHECK((event.kind == LAMBDA_PROXY) == (event.request.method != NULL));
    }
    for (size_t i = 0; rc == 0 && i < event.n_messages; i++) {
        const struct sqs_message *m = &event.messages[i];
        CHECK(*m->id && m->handle && m->receives > 0 && m->sent_ms >= 0);
        CHECK(m->body[m->body_len] == '\0');
    }
    lambda_event_release(&event);
    return 0;
}
