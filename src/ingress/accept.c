/* SPDX-License-Identifier: Apache-2.0 */
#include "ingress/accept.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/text.h"
#include "ingress/proxy_event.h"

enum {
    BODY_MAX = 1024 * 1024, /* of an answer */
    MSG_LOGGED_MAX = 200,   /* bytes of an event's msg: a stranger's text */
};

void answer_release(struct answer *answer)
{
    free(answer->body);
    *answer = (struct answer){0};
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, "%s\"%s\":", b->len ? "," : "{", name);
    text_json_quote(b, value);
}

static void set_error(struct answer *answer, int status, const char *status_text, const char *job,
                      const char *error, const char *message)
{
    struct buf b = BUF_INIT(BODY_MAX);
    add_member(&b, "status", status_text);
    if (job)
        add_member(&b, "job", job);
    add_member(&b, "error", error);
    add_member(&b, "message", message);
    buf_byte(&b, '}');
    *answer = (struct answer){status, buf_take(&b)};
}

void answer_failed(struct answer *answer, const char *job, const struct err *err)
{
    set_error(answer, 500, "failed", job, err_name(err->code), err->msg);
}

void answer_unauthorized(struct answer *answer, const struct err *err)
{
    set_error(answer, 401, "rejected", NULL, err_name(err->code), err->msg);
}

void answer_unavailable(struct answer *answer, const char *job, const struct err *err)
{
    set_error(answer, 503, "not accepted", job, err_name(err->code),
              "not accepted for now, the log says why; send the webhook again");
}

void answer_queued(struct answer *answer, const char *job)
{
    struct buf b = BUF_INIT(BODY_MAX);
    add_member(&b, "status", "queued");
    add_member(&b, "job", job);
    buf_byte(&b, '}');
    *answer = (struct answer){200, buf_take(&b)};
}

static void format_object(struct buf *b, const struct answer_object *object)
{
    add_member(b, "key", object->key);
    add_member(b, "location", object->location);
    buf_printf(b, ",\"size\":%llu}", (unsigned long long)object->size);
}

void answer_stored(struct answer *answer, const char *job, bool already,
                   const struct answer_object *objects, size_t n_objects)
{
    struct buf b = BUF_INIT(BODY_MAX);
    add_member(&b, "status", already ? "already stored" : "stored");
    add_member(&b, "job", job);
    buf_str_append(&b, ",\"objects\":[");
    for (size_t i = 0; i < n_objects && i < ANSWER_OBJECTS_MAX; i++) {
        struct buf one = BUF_INIT(BODY_MAX / 2);
        format_object(&one, &objects[i]);
        bool fits = !buf_overflowed(&one) && b.len + one.len + sizeof(",]}") <= BODY_MAX;
        if (fits)
            buf_printf(&b, "%s%s", i ? "," : "", buf_str(&one));
        buf_release(&one);
        if (!fits)
            break;
    }
    buf_str_append(&b, "]}");
    *answer = (struct answer){200, buf_take(&b)};
}

void answer_format_proxy(const struct answer *answer, struct buf *out)
{
    buf_printf(out, "{\"statusCode\":%d,\"headers\":{\"Content-Type\":\"application/json\"%s}",
               answer->status, answer->status == 405 ? ",\"Allow\":\"POST\"" : "");
    buf_str_append(out, ",\"body\":");
    text_json_quote(out, answer->body);
    buf_byte(out, '}');
}

static bool refuse(struct answer *answer, int status, const char *error, const char *message)
{
    set_error(answer, status, "rejected", NULL, error, message);
    log_event(LOG_WARN, LOG_FIELDS(LOG_NUM("status", status)), "webhook rejected: %s", message);
    return false;
}

static bool refuse_input(struct answer *answer, const struct err *err)
{
    return refuse(answer, err->code == ERR_TOO_LARGE ? 413 : 400, err_name(err->code), err->msg);
}

void answer_refused(struct answer *answer, const struct err *err)
{
    (void)refuse_input(answer, err);
}

bool accept_event(const char *method, const void *body, size_t len, struct event *event,
                  struct answer *answer)
{
    struct err err = {0};
    if (strcmp(method, "POST") != 0) {
        err_set(&err, ERR_INPUT, "method %.32s; expected POST", method);
        return refuse(answer, 405, "method", err.msg);
    }
    if (event_parse(body, len, event, &err) < 0)
        return refuse_input(answer, &err);
    log_event(LOG_INFO, LOG_FIELDS(LOG_TEXT("job", event->id)), "webhook: %s: job %s: %.*s",
              event->event, event->id, MSG_LOGGED_MAX, event->msg ? event->msg : "(no msg)");
    return true;
}

bool accept_proxy_event(const void *data, size_t len, struct event *event, struct answer *answer)
{
    struct err err = {0};
    struct ingress_request request;
    if (proxy_event_parse(data, len, &request, &err) < 0)
        return refuse_input(answer, &err);
    bool accepted = accept_event(request.method, request.body, request.body_len, event, answer);
    ingress_request_release(&request);
    return accepted;
}
