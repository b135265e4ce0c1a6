/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_request: what the HTTP server knows of a request: its head and body, what is wrong with it,
 * and its answer. httpd.c has its way. A connection has one for all its requests, one after the
 * other. libmicrohttpd's thread, but for httpd_build_response().
 */
#ifndef EGRESS_INGRESS_HTTPD_REQUEST_H
#define EGRESS_INGRESS_HTTPD_REQUEST_H

#include <microhttpd.h>
#include <netinet/in.h>

#include "ingress/httpd_private.h"

enum httpd_turn {
    HTTPD_TURN_NONE,
    HTTPD_TURN_ASKED,    /* on_request has it, and is being called */
    HTTPD_TURN_PARKED,   /* on_request has it and has returned; it is suspended */
    HTTPD_TURN_ANSWERED, /* response is there */
};

struct httpd_refusal {
    int status; /* 0: there is none */
    const char *error, *message;
    int64_t retry_after_s; /* 0: not said */
};

struct httpd_request {
    struct httpd *httpd;
    struct MHD_Connection *connection;
    struct httpd_watched watched;
    struct httpd_client *client; /* NULL: not limited */
    char peer[INET6_ADDRSTRLEN];
    /* of the present request */
    bool seen;    /* its head */
    bool settled; /* whole, a round ago */
    const char *method, *path;
    struct buf body;
    struct httpd_refusal refusal;
    bool at_once;         /* refused before its body came */
    uint64_t thrown_away; /* bytes of a refused one's body */
    atomic_int turn;      /* enum httpd_turn */
    unsigned status;
    struct MHD_Response *response;
};

void httpd_name_peer(const struct sockaddr *address, char out[INET6_ADDRSTRLEN]);

/* The first refusal stays. */
void httpd_refuse(struct httpd_request *rq, int status, const char *error, const char *message);

/* Refuses heads that two readers may understand differently, and bodies that are said to be too
 * long. */
void httpd_look_at_head(struct httpd_request *rq, const char *version);
/* False: so much came in spite of the refusal that the connection is to be closed. */
bool httpd_take_body(struct httpd_request *rq, const char *data, size_t len);

/* Set rq->status and rq->response. */
void httpd_build_response(struct httpd_request *rq, const struct httpd_answer *answer);
void httpd_build_refusal(struct httpd_request *rq);

#endif
