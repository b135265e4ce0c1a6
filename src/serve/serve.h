/* SPDX-License-Identifier: Apache-2.0
 *
 * serve: the daemon: webhooks in, a journal, transfers, an admin side to look at and to steer it.
 *
 * Threads: the main one runs the loop with all transfers; one HTTP thread each for webhooks, for
 * the admin address and for the control socket; the journal's. What crosses from one to another: a
 * journal_request, a loop_task, httpd_answer().
 *
 * The admin routes, the same on the admin address and on the control socket (PATH of the journal
 * with ".sock" behind it, mode 0600):
 *   GET  /                     the page, with /page.css and /page.js
 *   GET  /metrics              Prometheus' text
 *   GET  /healthz              200 while the process answers
 *   GET  /readyz               200 while webhooks are taken, else 503
 *   GET  /api/status           report/status.h
 *   GET  /api/jobs             ?state=&prefix=&limit=&after=
 *   GET  /api/jobs/JOB
 *   POST /api/retry            {"jobs":[ID,...]} or {"dead":true}
 *                              -> {"retried":N,"unchanged":N,"unknown":N}
 *   POST /api/pause, /resume   -> {"paused":true|false}
 *   POST /api/sync             -> {"started":true|false}; false: one is under way
 *
 * On the admin address Host has to be one of its own names (against DNS rebinding), unless others
 * can reach it; a POST needs the header x-egress-request: 1 and, where it has an Origin, one that
 * is Host's. With --admin-token-file, which an address that others reach needs, all but the page's
 * files and /healthz want Authorization: Bearer TOKEN (the page asks for it).
 *
 * All of it is answered until the last transfer has ended, also while it drains.
 */
#ifndef EGRESS_SERVE_SERVE_H
#define EGRESS_SERVE_SERVE_H

#include "core/err.h"
#include "core/settings.h"

/* Runs until SIGTERM or SIGINT ends it (0), or until it cannot go on (-1). Main thread. */
int serve_run(const struct settings *settings, struct err *err) MUST_CHECK;

#endif
