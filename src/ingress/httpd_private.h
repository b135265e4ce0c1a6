/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_private: what the files of the HTTP server share. Nothing outside includes it.
 *
 * Threads: libmicrohttpd's own (M), which calls every callback of it; the watch's (W), which ends
 * what takes too long; and whichever calls httpd_answer() (A).
 */
#ifndef EGRESS_INGRESS_HTTPD_PRIVATE_H
#define EGRESS_INGRESS_HTTPD_PRIVATE_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "core/buf.h"
#include "ingress/httpd.h"

/* ---- httpd_clients: connections and rates by client address; M ---- */

enum { HTTPD_CLIENT_KEY = 16 };

/* False: not limited (loopback, Unix socket). An IPv6 client is its /64, which is what one of them
 * gets to choose from; an IPv4 one in IPv6's notation is the IPv4 one. */
bool httpd_client_key(const struct sockaddr *address, unsigned char key[HTTPD_CLIENT_KEY]);

struct httpd_clients;
struct httpd_client;
struct httpd_clients *httpd_clients_new(const struct httpd_config *config);
void httpd_clients_free(struct httpd_clients *clients); /* all have left */
/* Whether it has as many connections as it may. */
bool httpd_client_is_full(const struct httpd_clients *clients,
                          const unsigned char key[HTTPD_CLIENT_KEY]);
/* A connection of it begins; ends. */
struct httpd_client *httpd_client_enter(struct httpd_clients *clients,
                                        const unsigned char key[HTTPD_CLIENT_KEY]);
void httpd_client_leave(struct httpd_clients *clients, struct httpd_client *client);
/* A request of it. 0, or the milliseconds until the next may come. */
int64_t httpd_client_take(struct httpd_clients *clients, struct httpd_client *client,
                          int64_t now_ms);

/* ---- httpd_watch: how long each connection may go on; W, and M where nothing else is said ---- */

enum httpd_phase {
    HTTPD_FRESH,     /* accepted; no request line yet */
    HTTPD_RECEIVING, /* from the request line to the end of the body */
    HTTPD_ASKED,     /* whole, and with on_request's side: takes as long as it takes */
    HTTPD_SENDING,   /* the answer is on its way */
    HTTPD_IDLE,      /* between requests */
    HTTPD_DROPPED,   /* shut down by the watch; libmicrohttpd will find out */
};

struct httpd_watched {
    int fd; /* borrowed: open until httpd_watch_remove() */
    /* under the watch's lock */
    enum httpd_phase phase;
    int64_t deadline_ms; /* clock_mono_ms(); INT64_MAX: none */
    struct httpd_watched *prev, *next;
};

struct httpd_watch;
struct httpd_watch *httpd_watch_start(const struct httpd_config *config,
                                      atomic_uint_fast64_t *timed_out, struct err *err);
/* Ends the thread. Nothing is watched any more. NULL is fine. */
void httpd_watch_stop(struct httpd_watch *watch);
void httpd_watch_add(struct httpd_watch *watch, struct httpd_watched *watched, int fd);
void httpd_watch_remove(struct httpd_watch *watch, struct httpd_watched *watched);
/* False: it was dropped before, and stays it. */
bool httpd_watch_set(struct httpd_watch *watch, struct httpd_watched *watched,
                     enum httpd_phase phase);
/* Returns once nothing is HTTPD_ASKED or HTTPD_SENDING. Not M. */
void httpd_watch_wait(struct httpd_watch *watch);

#endif
