/* SPDX-License-Identifier: Apache-2.0
 *
 * webhook: tells the world of each job that became COMPLETE, by POST or as a file, from a thread
 * with a loop of its own.
 *
 *     struct webhooks *webhooks = webhooks_start(&sim, "http://127.0.0.1:9/job-complete", NULL,
 *                                                &err);
 *     webhooks_stop(webhooks);                    after server_stop()
 */
#ifndef EGRESS_SIM_WEBHOOK_H
#define EGRESS_SIM_WEBHOOK_H

#include "server.h"

struct webhooks;

/* url and dir: where to, either may be NULL; borrowed until webhooks_stop(). Before server_start().
 * NULL on failure. */
struct webhooks *webhooks_start(struct sim *sim, const char *url, const char *dir, struct err *err);
/* Drops what is still to be sent. NULL is fine. */
void webhooks_stop(struct webhooks *webhooks);

#endif
