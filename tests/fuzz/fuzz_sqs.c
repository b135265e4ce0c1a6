/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: whatever SQS answers or a message holds. The first byte says which: the body of a
 * message, an answer with messages, or a refusal.
 */
#include <stdint.h>
#include <string.h>

#include "aws/aws_json.h"
#include "core/text.h"
#include "queue/sqs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(const char *text, size_t len)
{
    char job[JOB_ID_MAX + 1], again[JOB_ID_MAX + 1];
    struct err err = {0};
    if (queue_sqs_parse(text, len, job, &err) < 0) {
        CHECK(err.code == ERR_INPUT || err.code == ERR_TOO_LARGE);
        CHECK(text_is_utf8(err.msg, strlen(err.msg)) && !strpbrk(err.msg, "\r\n"));
        return;
    }
    struct buf out = BUF_INIT(256);
    queue_sqs_format(job, &out);
    CHECK(job_id_is_valid(job) && queue_sqs_parse(out.data, out.len, again, &err) == 0);
    CHECK(strcmp(job, again) == 0);
    buf_release(&out);
}

static void on_message(void *arg, const struct sqs_message *m)
{
    (void)arg;
    CHECK(m->id && m->handle && m->body && m->body[m->body_len] == '\0' && m->receives >= 1);
    CHECK(m->sent_ms >= 0);
    read_body(m->body, m->body_len);
}

static void read_refusal(const char *text, size_t len)
{
    struct aws_json_error e;
    char header[64];
    snprintf(header, sizeof(header), "%.*s", (int)(len < 63 ? len : 63), text);
    aws_json_read_error(text, len, header, &e);
    CHECK(text_is_utf8(e.message, strlen(e.message)) && !strpbrk(e.message, "\r\n"));
    CHECK(!strpbrk(e.code, " \"\r\n") && !strpbrk(e.also, " \"\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 'b')
        read_body(text, size - 1);
    else if (data[0] == 'm')
        (void)!sqs_api_read_messages(text, size - 1, on_message, NULL, &err);
    else
        read_refusal(text, size - 1);
    return 0;
}
