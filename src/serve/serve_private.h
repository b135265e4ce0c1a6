/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_private: what the parts of the daemon share, and nobody else sees.
 */
#ifndef EGRESS_SERVE_SERVE_PRIVATE_H
#define EGRESS_SERVE_SERVE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "assemble/assemble.h"
#include "core/buf.h"
#include "core/settings.h"
#include "event/signature.h"
#include "ingress/httpd.h"
#include "queue/journal.h"
#include "report/status.h"
#include "schedule/dispatcher.h"
#include "serve/admin_read.h"

struct serve_secrets { /* replaced by SIGHUP, under the lock */
    pthread_rwlock_t lock;
    struct signature_keys *webhooks; /* owned; NULL: webhooks are taken from anybody */
    struct signature_keys *admin;    /* owned; NULL: the admin address asks for no token */
};

struct serve { /* set up by the main thread before others are started, but for what is atomic */
    const struct settings *settings;
    struct assembly assembly;
    struct journal *journal;
    struct dispatcher *dispatcher;
    struct serve_secrets secrets;
    struct httpd *webhooks, *admin, *control;
    char admin_address[HTTPD_ADDRESS_SIZE]; /* "127.0.0.1:8081" */
    bool admin_is_local;
    char *destination, *control_path; /* owned */
    int64_t started_ms;               /* Unix time */

    atomic_bool draining; /* no more webhooks are taken */
    atomic_bool ending;   /* nothing is under way any more: the journal and the loop end next */
    /* Requests whose answer is on its way through the journal or the loop: both have to go on until
     * there are none. */
    atomic_uint pending;
    atomic_ullong accepted, known, unauthorized, rejected, unavailable; /* webhooks */

    /* main thread */
    int signo; /* the first that came, or 0 */
    struct loop_timer deadline, watchdog, last_answers;
    struct loop_task end_task;
    struct err end; /* why it could not go on */
};

/* ---- secrets.c ---- */

/* Reads the files that the settings name; what was there stays on failure. */
int secrets_load(struct serve *s, struct err *err) MUST_CHECK;
void secrets_release(struct serve_secrets *secrets);

/* ---- webhooks.c, admin.c: on_request of the servers; arg: the struct serve ---- */

void webhook_request(void *arg, struct httpd_request *rq);
void admin_request(void *arg, struct httpd_request *rq);   /* of the admin address */
void control_request(void *arg, struct httpd_request *rq); /* of the control socket */

/* ---- admin_jobs.c, gather.c: its routes that take time; each answers once ---- */

/* A request on its way; freed with its answer. */
struct admin_call {
    struct serve *serve;
    struct httpd_request *rq;
    struct loop_task task;
    bool metrics; /* of gather: Prometheus' text */
    union {
        struct journal_stats stats;
        struct journal_list list;
        struct journal_get get;
        struct journal_retry retry;
        struct journal_pause pause;
    };
    struct admin_ids ids; /* of retry */
};

void admin_gather(struct admin_call *call);
void admin_list(struct admin_call *call);
void admin_get(struct admin_call *call, const char *job);
void admin_retry(struct admin_call *call);
void admin_pause(struct admin_call *call, bool paused);
void admin_sync(struct admin_call *call);

/* Takes *body (JSON), answers, frees the call. */
void admin_end(struct admin_call *call, int status, struct buf *body);
/* The same with {"status":"failed"|"rejected","error","message"}. */
void admin_end_error(struct admin_call *call, int status, const struct err *err);

/* Appends {"status":...,"error":...,"message":...}. */
void serve_format_error(struct buf *out, const char *status, const struct err *err);

#endif
