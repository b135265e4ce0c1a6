/* SPDX-License-Identifier: Apache-2.0
 *
 * wire: the socket below a request, for what an HTTP library would never do. From the connection's
 * own thread only; after wire_send() or wire_reset() the handler gives the connection up (MHD_NO).
 *
 *     if (wire_wait(sim, connection, 500)) ...           half a second has passed
 *     wire_send(sim, connection, "HTP/1.1 200\r\n", 13);
 *     return MHD_NO;                                     closes it
 */
#ifndef EGRESS_SIM_WIRE_H
#define EGRESS_SIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server.h"

/* Waits; -1: for ever. False when it ended early: the client has gone (or sends
 * no more) or the server stops. */
bool wire_wait(struct sim *sim, struct MHD_Connection *connection, int64_t ms);

/* Sends all of it as it is. -1: the client has gone, reads nothing for a minute, or the server
 * stops. */
int wire_send(struct sim *sim, struct MHD_Connection *connection, const void *data, size_t len);

/* The client gets what was sent so far (if it takes it within 2 s) and then a TCP reset instead of
 * an end. */
void wire_reset(struct sim *sim, struct MHD_Connection *connection);

#endif
