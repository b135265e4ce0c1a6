/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: whatever bytes a webhook or a proxy event has, they end in an accepted event that
 * keeps its promises or in an answer that is JSON.
 */
#include <jansson.h>
#include <stdint.h>

#include "core/log.h"
#include "ingress/accept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(struct event *event)
{
    CHECK(job_id_is_valid(event->id));
    CHECK(strcmp(event->event, EVENT_JOB_COMPLETE) == 0);
    event_release(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    struct event event;
    struct err err = {0};
    bool valid = event_parse(data, size, &event, &err) == 0;
    if (valid)
        check_event(&event);

    struct answer answer = {0};
    if (accept_proxy_event(data, size, &event, &answer)) {
        check_event(&event);
        return 0;
    }
    CHECK(answer.status == 400 || answer.status == 405 || answer.status == 413);
    CHECK(!strpbrk(answer.body, "\r\n"));
    struct buf out = BUF_INIT(ANSWER_TEXT_MAX);
    answer_format_proxy(&answer, &out);
    json_t *root = json_loadb(buf_str(&out), out.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *body = json_loads(json_string_value(json_object_get(root, "body")), 0, NULL);
    CHECK(json_is_string(json_object_get(body, "message")));
    json_decref(body);
    json_decref(root);
    buf_release(&out);
    answer_release(&answer);
    return 0;
}
