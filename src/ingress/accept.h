/* SPDX-License-Identifier: Apache-2.0
 *
 * accept: what every way in calls: a request in, an accepted event or the answer to send out.
 *
 * Also the answers themselves: an HTTP status and a JSON body, and how API Gateway wants them.
 * Any thread.
 *
 *     if (accept_proxy_event(data, len, &event, &answer)) {
 *         store(event.id, &answer);      ends in answer_stored() or answer_failed()
 *         event_release(&event);
 *     }
 *     answer_format_proxy(&answer, &out);
 *     answer_release(&answer);
 */
#ifndef EGRESS_INGRESS_ACCEPT_H
#define EGRESS_INGRESS_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "event/event.h"

struct answer {
    int status; /* HTTP */
    char *body; /* owned; JSON object on one line: "status" and what belongs to it */
};

/* A zeroed one is fine. */
void answer_release(struct answer *answer);

/* True: *event is accepted (logged, and the caller's to release); *answer is untouched. False: it
 * was refused (logged); *answer says 400, 405 or 413. method: as the request had it. */
bool accept_event(const char *method, const void *body, size_t len, struct event *event,
                  struct answer *answer) MUST_CHECK;

/* As accept_event() for the bytes of a proxy event or a bare one (ingress/proxy_event.h). */
bool accept_proxy_event(const void *data, size_t len, struct event *event,
                        struct answer *answer) MUST_CHECK;

/* 400 or 413: what came is no request (logged). */
void answer_refused(struct answer *answer, const struct err *err);
/* 401 {"status":"rejected",...}: it did not bring the webhook token. err: what was expected. */
void answer_unauthorized(struct answer *answer, const struct err *err);
/* 503 {"status":"not accepted",...}: the sender is to try again. job may be NULL. What err says is
 * for the log: strangers may read this. */
void answer_unavailable(struct answer *answer, const char *job, const struct err *err);
/* 200 {"status":"queued","job":...} */
void answer_queued(struct answer *answer, const char *job);

struct answer_object {
    const char *key;
    const char *location; /* as a user would name it: s3://BUCKET/KEY or a path */
    uint64_t size;        /* bytes */
};

/* 200 {"status":"stored"|"already stored","job":...,"objects":[{"key","location","size"},...]}.
 * Of very many objects the first ANSWER_OBJECTS_MAX are listed. */
enum { ANSWER_OBJECTS_MAX = 1000 };
void answer_stored(struct answer *answer, const char *job, bool already,
                   const struct answer_object *objects, size_t n_objects);

/* 500 {"status":"failed","job":...,"error":"network","message":"..."}; job may be NULL. */
void answer_failed(struct answer *answer, const char *job, const struct err *err);

/* Appends {"statusCode":N,"headers":{...},"body":"..."}, what API Gateway takes for an answer;
 * out's cap is best ANSWER_TEXT_MAX. */
enum { ANSWER_TEXT_MAX = 4 * 1024 * 1024 }; /* Lambda's own limit is 6 MB */
void answer_format_proxy(const struct answer *answer, struct buf *out);

#endif
