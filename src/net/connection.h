/* SPDX-License-Identifier: Apache-2.0
 *
 * connection: a byte stream to an origin, made and kept by libcurl (CURLOPT_CONNECT_ONLY): names,
 * addresses, TLS with its verification. What goes over it is its user's business.
 *
 * Loop's thread. Callbacks run from loop_run(). Used by http1.c alone.
 */
#ifndef EGRESS_NET_CONNECTION_H
#define EGRESS_NET_CONNECTION_H

#include <stdbool.h>
#include <sys/uio.h>

#include "net/net_private.h"

struct connection;

/* Both come while somebody uses the connection, and not after connection_close() or _keep(). */
struct connection_events {
    /* It is there, or cannot be made: `code`, and connection_error() has details. */
    void (*on_open)(void *arg, CURLcode code);
    /* Bytes have come or it has ended (`in`), bytes can be sent (`out`): as connection_wait() asked
     * for. */
    void (*on_ready)(void *arg, bool in, bool out);
};

/* One that is open and idle, or NULL. `way`: where to and how, any text. */
struct connection *connection_take(struct loop *loop, const char *way,
                                   const struct connection_events *events, void *arg);
/* Begins a new one; on_open tells. `set_up` sets URL, time-outs and TLS. `bare`: no TLS, and no
 * proxy in between. NULL: libcurl has no handle. */
struct connection *connection_open(struct loop *loop, const char *way, bool bare,
                                   void (*set_up)(void *arg, CURL *easy),
                                   const struct connection_events *events, void *arg);
/* Ends it. NULL is fine. */
void connection_close(struct connection *connection);
/* It stays open for who takes it next: nothing is under way on it. */
void connection_keep(struct connection *connection);

/* Address of the peer, as text; "" if it is none. */
const char *connection_peer(struct connection *connection);
/* What libcurl says of the latest failure; "" if nothing. */
const char *connection_error(const struct connection *connection);

/* From when it is open, `in` alone is waited for. */
void connection_wait(struct connection *connection, bool in, bool out);

/* Both: CURLE_OK and how many bytes (of receiving, 0: the peer has ended it); CURLE_AGAIN; or a
 * failure. Of what is to be sent, the first piece is not empty; when it is not sent (CURLE_AGAIN),
 * it has to be offered again as it was, where it was. */
CURLcode connection_send(struct connection *connection, const struct iovec data[2], size_t *n);
CURLcode connection_receive(struct connection *connection, void *data, size_t len, size_t *n);

/* Closes all that are idle. */
void connections_close_idle(struct loop *loop);

#endif
