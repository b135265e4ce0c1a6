/* SPDX-License-Identifier: Apache-2.0
 *
 * progress: what a person sees on a terminal while transfers run: a line per running job and one
 * for the whole, redrawn five times a second from the second second on, gone at the end.
 *
 * It steps aside for log lines by itself (log_set_hooks). Other output to the same terminal goes
 * between progress_hide() and progress_unhide(). There is no display, and progress_new() returns
 * NULL, when `out` is not a terminal, TERM is unset or "dumb", or NO_COLOR is set and not empty;
 * every function takes that NULL. Loop's thread, except where log lines come from.
 *
 *     struct progress *p = progress_new(loop, stderr, refresh, me);     refresh(me): update all
 *     progress_jobs(p, 0, 20);
 *     int slot = progress_add(p, job_id);
 *     progress_update(p, slot, bytes_done, size);
 *     progress_remove(p, slot);
 *     progress_free(p);
 */
#ifndef EGRESS_CLI_PROGRESS_H
#define EGRESS_CLI_PROGRESS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/buf.h"
#include "net/loop.h"

struct progress;

/* One display of the process at a time. `refresh` (may be NULL) is called before each redraw, to
 * call progress_update() for what is running and progress_jobs(). `out` is borrowed. */
struct progress *progress_new(struct loop *loop, FILE *out, void (*refresh)(void *arg), void *arg);
/* Erases the display. */
void progress_free(struct progress *p);

/* How many jobs have ended, of how many. */
void progress_jobs(struct progress *p, size_t done, size_t total);

/* A job begins: returns its slot (-1 when p is NULL), which is given back by progress_remove().
 * The label is copied; what is not printable ASCII is shown as '?'. */
int progress_add(struct progress *p, const char *label);
/* done: bytes so far; size: of the whole, or -1 when not known. */
void progress_update(struct progress *p, int slot, uint64_t done, int64_t size);
/* The job has ended, well or not. Its bytes stay in the total. */
void progress_remove(struct progress *p, int slot);

/* Takes the display off the terminal and puts it back; log lines wait in between. In pairs. */
void progress_hide(struct progress *p);
void progress_unhide(struct progress *p);

/* ---- the drawing itself, pure ---- */

struct progress_row {
    const char *label;
    uint64_t done;
    int64_t size;  /* or -1 */
    uint64_t rate; /* bytes a second */
};

struct progress_view {
    const struct progress_row *rows; /* n_rows running jobs */
    size_t n_rows;
    size_t jobs_done, jobs_total;
    uint64_t bytes;  /* of all jobs, ended and running */
    uint64_t rate;   /* bytes a second */
    int64_t left_ms; /* time left, or -1 when not known */
};

/* Appends the display's lines, each ending in '\n' and shorter than `columns`, and fewer than
 * `lines` of them. Returns how many. */
unsigned progress_render(const struct progress_view *view, unsigned columns, unsigned lines,
                         struct buf *out);

#endif
