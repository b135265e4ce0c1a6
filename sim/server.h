/* SPDX-License-Identifier: Apache-2.0
 *
 * server: the simulator's HTTP side: listeners, requests with their bodies, the token, answers and
 * counters. A thread for each connection, so a handler may wait.
 *
 *     struct sim sim = {...};
 *     if (server_start(&sim, "127.0.0.1", 0, &err) < 0) ...
 *     printf("%s\n", sim.url);
 *     server_stop(&sim);
 */
#ifndef EGRESS_SIM_SERVER_H
#define EGRESS_SIM_SERVER_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"
#include "faults.h"
#include "jobs.h"
#include "output.h"
#include "switches.h"

/* Bodies above it are answered 413. 200,000 ids in a batch fit. */
enum { REQUEST_BODY_MAX = 8 * 1024 * 1024 };

struct listener {
    struct sim *sim;
    bool signed_only; /* serves signed URLs and nothing else */
    struct MHD_Daemon *daemon;
};

struct sim {
    struct switches sw;
    const struct faults *faults; /* borrowed: outlives the server */
    struct jobs *jobs;           /* owned by main */
    struct size_range sizes;     /* of uploaded jobs' outputs */
    const char *token;           /* borrowed: outlives the server */
    unsigned char sign_key[32];
    struct hash_cache hashes;

    char url[64];         /* "http://HOST:PORT", set by server_start() */
    char signed_url[320]; /* the same for signed URLs */
    struct listener main, other;
    bool two_ports; /* the other one serves signed URLs */
    atomic_bool stopping;
    int stop_pipe[2]; /* readable at its first end: the server stops */

    /* counters of /sim/stats */
    atomic_ullong n_requests[ROUTES_MAX][2]; /* of each route; [1]: HEAD */
    atomic_ullong n_faults[FAULT_SLOTS][FAULT_KINDS];
    atomic_ullong n_unrouted, output_bytes, webhooks_sent, webhooks_failed;
};

/* One request. Lives until its answer is sent. */
struct request {
    struct sim *sim;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL: there is none */
    char id[JOB_ID_SIZE];      /* what stands for {id} in the path; "" when it is too long */
    struct buf body;
    bool head;
    bool on_signed_port;

    const struct fault *fault;        /* what is to happen to it, or NULL */
    uint64_t drawn;                   /* what the fault draws from */
    bool body_done;                   /* a fault of bodies has its body */
    bool url_expired;                 /* its signed URL expired with it */
    char retry_after[DATE_TEXT_SIZE]; /* value of that header of the answer, or "" */
};

/* Answers the request, or gives up the connection (MHD_NO). */
typedef enum MHD_Result handler_fn(struct request *rq);

enum access { OPEN, WITH_TOKEN, STATUS_ROUTE };

struct route {
    const char *method;
    const char *pattern; /* "/v1/jobs/{id}/output" */
    handler_fn *fn;
    enum access access;
};

extern const struct route routes[]; /* ended by method NULL; routes.c */

int server_start(struct sim *sim, const char *address, unsigned port, struct err *err);
/* Ends all connections. After it no handler runs. */
void server_stop(struct sim *sim);

/* Waits; ends early when the server stops. */
void server_sleep(struct sim *sim, int64_t ms);

/* Counts the request's fault for /sim/stats. */
void fault_happened(struct request *rq);

/* ---- answers: each takes what it is given and returns what the handler returns ---- */

/* Takes *response. */
enum MHD_Result respond(struct request *rq, int64_t status, struct MHD_Response *response);
/* Takes the content of *body and leaves it empty; 500 when it overflowed. */
enum MHD_Result respond_buf(struct request *rq, int64_t status, const char *type, struct buf *body);
enum MHD_Result respond_json(struct request *rq, int64_t status, struct buf *body);
/* The Platform's envelope: {"error":{"code":STATUS,"message":...}}. */
enum MHD_Result respond_error(struct request *rq, int64_t status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* An error as an object store writes it: XML. */
enum MHD_Result respond_store_error(struct request *rq, int64_t status, const char *code,
                                    const char *message);
/* What start, archive and the like answer: nothing, with status_done. */
enum MHD_Result respond_done(struct request *rq);

/* Value of a request header, or NULL. */
const char *request_header(const struct request *rq, const char *name);
/* Value of a query argument, or NULL. */
const char *request_argument(const struct request *rq, const char *name);

#endif
