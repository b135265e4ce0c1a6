/* SPDX-License-Identifier: Apache-2.0
 *
 * sqs_api: one queue's API calls in SQS's JSON protocol (application/x-amz-json-1.0), signed.
 *
 * A call is a start and one completion from the loop. What is sent, deleted or hidden goes in
 * batches only: of one entry they cost the same, and the permission is that of the single action.
 * Source: SQS API reference, 2012-11-05; limits: SQS developer guide, "Quotas". Loop's thread.
 *
 *     struct sqs_api *api = sqs_api_new(loop, &config, &err);
 *     struct sqs_entry entry = {.text = "{\"id\":\"...\"}"};
 *     sqs_api_batch(api, SQS_SEND, &entry, 1, on_sent, me);
 *     loop_run(loop);
 *     sqs_api_free(api);
 */
#ifndef EGRESS_AWS_SQS_API_H
#define EGRESS_AWS_SQS_API_H

#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "core/err.h"
#include "net/loop.h"

enum {
    SQS_BATCH_MAX = 10,    /* messages of one call */
    SQS_WAIT_MAX_S = 20,   /* of a long poll */
    SQS_DELAY_MAX_S = 900, /* of a message sent */
    SQS_HIDE_MAX_S = 43200 /* from now, and in all from the receipt on */
};

struct sqs_message { /* borrowed during the call that gets it */
    const char *id;
    const char *handle; /* of this receipt of it */
    const char *body;   /* body_len bytes, as they came */
    size_t body_len;
    unsigned receives; /* ApproximateReceiveCount: this one included; 1 when not known */
    int64_t sent_ms;   /* Unix time of the first send; 0: not known */
};

struct sqs_api_config {
    const char *queue_url;           /* "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME" */
    const char *region;              /* of a URL that names none; NULL: us-east-1 */
    const char *endpoint_url;        /* NULL: where the URL leads */
    struct credentials *credentials; /* borrowed: outlives us */
};

struct sqs_api;
struct sqs_api_call; /* gone when its completion is called */

/* NULL (ERR_USAGE): the URL is none of a queue, or of one that keeps messages in order (FIFO). */
struct sqs_api *sqs_api_new(struct loop *loop, const struct sqs_api_config *config,
                            struct err *err);
void sqs_api_free(struct sqs_api *api); /* nothing may be under way; NULL is fine */

enum sqs_batch { SQS_SEND, SQS_DELETE, SQS_HIDE };

struct sqs_entry {
    const char *text; /* the body to send, or the receipt handle */
    int seconds;      /* SQS_SEND: before it is seen; SQS_HIDE: until it is seen again */
};

/* results: one for each entry, ERR_NONE when SQS has done it. Otherwise ERR_NOT_FOUND: the message
 * is not this receiver's any more; ERR_DESTINATION: no such queue; else as aws_json.h has it. */
typedef void sqs_batch_fn(void *arg, const struct err *results);

/* entries: n (1 to SQS_BATCH_MAX) of them, copied. */
struct sqs_api_call *sqs_api_batch(struct sqs_api *api, enum sqs_batch kind,
                                   const struct sqs_entry *entries, size_t n, sqs_batch_fn *done,
                                   void *arg);

typedef void sqs_message_fn(void *arg, const struct sqs_message *message);
typedef void sqs_done_fn(void *arg, const struct err *err); /* err NULL: it worked */

/* Waits up to wait_s for up to max messages and hides them for visibility_s. One attempt: whoever
 * polls does so again anyway. */
struct sqs_api_call *sqs_api_receive(struct sqs_api *api, int max, int wait_s, int visibility_s,
                                     sqs_message_fn *each, sqs_done_fn *done, void *arg);

void sqs_api_cancel(struct sqs_api_call *call);

/* ---- what comes back; pure, for tests too ---- */

/* Calls each() for every message of a ReceiveMessage answer that has an id and a handle.
 * -1 (ERR_PROTOCOL). */
int sqs_api_read_messages(const char *json, size_t len, sqs_message_fn *each, void *arg,
                          struct err *err) MUST_CHECK;

#endif
