/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_event: see lambda_event.h.
 */
#include "ingress/lambda_event.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "event/event.h"

#define EXPECTED                                                                                   \
    "expected a proxy event of API Gateway or of a function URL, a batch of an SQS queue, an "     \
    "EventBridge schedule, or {\"id\": JOB_ID}"

enum { NAMES_MAX = 5 }; /* members of an unknown event that are named */

static const char SCHEDULED[] = "Scheduled Event";

const char *lambda_event_kind_name(enum lambda_event_kind kind)
{
    static const char *const names[] = {[LAMBDA_UNKNOWN] = "unknown",
                                        [LAMBDA_PROXY] = "proxy",
                                        [LAMBDA_SQS] = "sqs",
                                        [LAMBDA_SCHEDULE] = "schedule",
                                        [LAMBDA_DIRECT] = "direct"};
    return names[kind];
}

/* The member if it is a string without NULs, else NULL. */
static const char *plain_string(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    const char *s = json_string_value(value);
    return s && strlen(s) == json_string_length(value) ? s : NULL;
}

static bool is(const json_t *object, const char *name, const char *value)
{
    const char *s = plain_string(object, name);
    return s && strcmp(s, value) == 0;
}

/* Names of members only: a value may be somebody's secret. */
static int unknown(json_t *root, struct err *err)
{
    struct buf names = BUF_INIT(256);
    const char *name;
    json_t *value;
    int n = 0;
    json_object_foreach(root, name, value)
    {
        if (n == NAMES_MAX) {
            buf_str_append(&names, ", ...");
            break;
        }
        buf_printf(&names, "%s%.32s", n++ ? ", " : "its members: ", name);
    }
    if (n == 0)
        buf_str_append(&names, json_is_object(root) ? "it is empty" : "it is no object");
    err_set(err, ERR_INPUT, "an event of no known shape (%s); " EXPECTED, buf_str(&names));
    buf_release(&names);
    return -1;
}

/* ---- SQS ---- */

static int64_t number(const json_t *attributes, const char *name, int64_t standard)
{
    const char *text = plain_string(attributes, name);
    int64_t n;
    return text && text_parse_int(text, 0, INT64_MAX, &n) == 0 ? n : standard;
}

static int take_message(const json_t *record, size_t index, struct sqs_message *m, struct err *err)
{
    if (!is(record, "eventSource", "aws:sqs"))
        return err_set(err, ERR_INPUT,
                       "record %zu of the event's Records is not of aws:sqs; expected a batch of "
                       "an SQS queue",
                       index);
    m->id = plain_string(record, "messageId");
    if (!m->id || !*m->id)
        return err_set(err, ERR_INPUT,
                       "record %zu of the SQS batch has no messageId to name it by; expected a "
                       "string",
                       index);
    const char *handle = plain_string(record, "receiptHandle");
    const json_t *body = json_object_get(record, "body");
    const json_t *attributes = json_object_get(record, "attributes");
    int64_t receives = number(attributes, "ApproximateReceiveCount", 1);
    m->handle = handle ? handle : "";
    m->body = json_is_string(body) ? json_string_value(body) : "";
    m->body_len = json_string_length(body);
    m->receives = receives < 1 ? 1 : receives > UINT_MAX ? UINT_MAX : (unsigned)receives;
    m->sent_ms = number(attributes, "SentTimestamp", 0);
    return 0;
}

static int take_batch(json_t *root, const json_t *records, struct lambda_event *event,
                      struct err *err)
{
    event->kind = LAMBDA_SQS;
    event->n_messages = json_array_size(records);
    event->messages = xcalloc(event->n_messages, sizeof(event->messages[0]));
    event->document = json_incref(root);
    for (size_t i = 0; i < event->n_messages; i++)
        if (take_message(json_array_get(records, i), i, &event->messages[i], err) < 0)
            return -1;
    return 0;
}

/* ---- the others ---- */

static int take_proxied(json_t *root, const void *data, size_t len, struct lambda_event *event,
                        struct err *err)
{
    event->kind = LAMBDA_PROXY;
    if (proxy_event_parse(data, len, &event->request, err) < 0)
        return -1;
    if (event->request.shape != INGRESS_BARE)
        return 0;
    event->kind = LAMBDA_UNKNOWN; /* a WebSocket's, for one */
    return unknown(root, err);
}

static int take_direct(const json_t *root, const void *data, size_t len, struct lambda_event *event,
                       struct err *err)
{
    event->kind = LAMBDA_DIRECT;
    if (json_object_get(root, "event")) {
        struct event webhook;
        if (event_parse(data, len, &webhook, err) < 0)
            return -1;
        memcpy(event->job, webhook.id, sizeof(event->job));
        event_release(&webhook);
        return 0;
    }
    const char *id = plain_string(root, "id");
    if (!id || !job_id_is_valid(id))
        return err_set(
            err, ERR_INPUT,
            "\"id\" is not a job id; expected {\"id\": \"JOB\"}, a letter or digit, then "
            "up to %d letters, digits, - or _",
            JOB_ID_MAX - 1);
    memcpy(event->job, id, strlen(id) + 1);
    return 0;
}

static int take(json_t *root, const void *data, size_t len, struct lambda_event *event,
                struct err *err)
{
    const json_t *records = json_object_get(root, "Records");
    if (json_array_size(records) > 0 && json_object_get(json_array_get(records, 0), "eventSource"))
        return take_batch(root, records, event, err);
    if (json_object_get(root, "requestContext") || json_object_get(root, "httpMethod") ||
        (json_object_get(root, "body") && !json_object_get(root, "id")))
        return take_proxied(root, data, len, event, err);
    if (json_object_get(root, "detail-type")) {
        if (!is(root, "detail-type", SCHEDULED) ||
            !(is(root, "source", "aws.events") || is(root, "source", "aws.scheduler")))
            return unknown(root, err);
        event->kind = LAMBDA_SCHEDULE;
        return 0;
    }
    if (json_object_get(root, "id"))
        return take_direct(root, data, len, event, err);
    return unknown(root, err);
}

int lambda_event_parse(const void *data, size_t len, struct lambda_event *event, struct err *err)
{
    *event = (struct lambda_event){.kind = LAMBDA_UNKNOWN};
    json_error_t why;
    json_t *root =
        json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    if (!root) {
        struct err refused = {0};
        (void)json_refused(&refused, "the event", &why);
        return err_set(err, ERR_INPUT, "%s; " EXPECTED, refused.msg);
    }
    int rc = take(root, data, len, event, err);
    json_decref(root);
    return rc;
}

void lambda_event_release(struct lambda_event *event)
{
    ingress_request_release(&event->request);
    free(event->messages);
    json_decref(event->document);
    *event = (struct lambda_event){.kind = LAMBDA_UNKNOWN};
}
