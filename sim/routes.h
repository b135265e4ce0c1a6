/* SPDX-License-Identifier: Apache-2.0
 *
 * routes: the table of routes, and what the handlers of several files share.
 *
 *     for (const struct route *route = routes; route->method; route++) ...
 */
#ifndef EGRESS_SIM_ROUTES_H
#define EGRESS_SIM_ROUTES_H

#include "server.h"

handler_fn handle_list, handle_query; /* query.c */
handler_fn handle_upload;             /* upload.c */
handler_fn handle_batch, handle_ttl, handle_start, handle_archive, handle_unarchive, handle_kill,
    handle_delete; /* actions.c */

/* Finds the job that rq->id names. False: the error was answered, *rc is to be returned. */
bool find_job(struct request *rq, struct view *view, enum MHD_Result *rc);

/* The log of a job, as text. */
enum MHD_Result respond_log(struct request *rq, const struct view *view);

#endif
