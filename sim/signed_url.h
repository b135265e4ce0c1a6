/* SPDX-License-Identifier: Apache-2.0
 *
 * signed_url: URLs that give access to one file of one job for a while, without the token.
 *
 *     signed_url_make(sim, "016f...", "output", &buf);      http://.../signed/ID/output?expires=...
 *     handle_signed_output(rq)                              serves it
 */
#ifndef EGRESS_SIM_SIGNED_URL_H
#define EGRESS_SIM_SIGNED_URL_H

#include "server.h"

/* kind: "output" or "log". Appends the URL. */
void signed_url_make(struct sim *sim, const char *job_id, const char *kind, struct buf *out);

handler_fn handle_signed_output, handle_signed_log;

#endif
