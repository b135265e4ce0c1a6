/* SPDX-License-Identifier: Apache-2.0
 *
 * wire: one TCP connection with what was read ahead from it. Blocking; one thread.
 *
 *     struct wire wire;
 *     wire_init(&wire, fd);
 *     if (wire_receive(&wire) > 0) wire_drop(&wire, use(wire.data, wire.len));
 *     wire_close(&wire, false);
 *     wire_release(&wire);
 */
#ifndef EGRESS_TESTS_FAULTPROXY_WIRE_H
#define EGRESS_TESTS_FAULTPROXY_WIRE_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_BYTES = 256 * 1024 };

struct wire {
    int fd;     /* owned; -1: none */
    char *data; /* owned; room for WIRE_BYTES */
    size_t len;
};

void wire_init(struct wire *wire, int fd);
void wire_release(struct wire *wire);

/* 0, or -1 with fd still -1. */
int wire_connect(struct wire *wire, const struct addrinfo *where);
/* Whether the other side has closed it, or sent what nobody asked for. */
bool wire_is_stale(const struct wire *wire);
/* Says that no more comes, and waits a moment for the other side to be done: closing with unread
 * bytes would be a reset, and what was sent might not arrive. */
void wire_linger(struct wire *wire);
void wire_close(struct wire *wire, bool rst); /* rst: with a reset */

/* More bytes behind those that are there; 0 at the end, -1 when broken or full. */
long wire_receive(struct wire *wire);
void wire_drop(struct wire *wire, size_t n);                    /* the first n */
int wire_send(struct wire *wire, const char *data, size_t len); /* 0 or -1 */

/* Until the other side is gone; ms at most. */
void wire_wait_gone(struct wire *wire, int64_t ms);
void wire_sleep(int64_t ms);

#endif
