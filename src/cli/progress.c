/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h> /* beyond POSIX.1-2008: TIOCGWINSZ, the terminal's size */
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum { FIRST_DRAW_MS = 1000, REDRAW_MS = 200, RATE_WINDOW_MS = 3000, SCREEN_BYTES = 64 * 1024 };

/* A rate that forgets what is longer ago than about RATE_WINDOW_MS. */
struct meter {
    uint64_t bytes;
    int64_t at_ms;
    double rate; /* bytes a second; < 0: not measured yet */
};

struct slot {
    char *label; /* owned; NULL: free */
    uint64_t done;
    int64_t size;
    bool updated; /* since it was added */
    struct meter meter;
};

struct progress {
    /* the loop's thread */
    struct loop *loop; /* borrowed */
    struct loop_timer timer;
    void (*refresh)(void *arg);
    void *refresh_arg;
    struct slot *slots;        /* owned; n_slots of them */
    struct progress_row *rows; /* owned; room for n_slots */
    size_t n_slots;
    size_t jobs_done, jobs_total;
    uint64_t ended_bytes; /* of jobs that have ended */
    int64_t started_ms;
    struct meter meter;

    /* under the lock, which a log line holds from before to after */
    pthread_mutex_t lock; /* recursive: a log line inside of hide and unhide */
    FILE *out;            /* borrowed */
    struct buf shown;     /* the lines as they stand, or should stand, on the terminal */
    unsigned n_shown;     /* lines of `shown`; 0: no display */
    unsigned hidden;      /* depth of progress_hide() */
};

static void meter_start(struct meter *m, int64_t now_ms)
{
    *m = (struct meter){.at_ms = now_ms, .rate = -1};
}

static uint64_t meter_step(struct meter *m, uint64_t bytes, int64_t now_ms)
{
    int64_t took_ms = now_ms - m->at_ms;
    if (took_ms > 0) {
        /* A transfer that begins again has fewer bytes than before. */
        double now = bytes > m->bytes ? (double)(bytes - m->bytes) * 1000 / (double)took_ms : 0;
        double weight = (double)took_ms / (double)(took_ms + RATE_WINDOW_MS);
        m->rate = m->rate < 0 ? now : m->rate + weight * (now - m->rate);
        m->bytes = bytes;
        m->at_ms = now_ms;
    }
    return m->rate < 0 ? 0 : (uint64_t)m->rate;
}

/* ---- what is to be shown ---- */

/* By bytes when everything that is left is running and of known size; else by jobs, once as much
 * as one whole job is done. */
static int64_t time_left(const struct progress *p, const struct progress_view *view, int64_t now_ms)
{
    double jobs = (double)view->jobs_done;
    uint64_t left_bytes = 0;
    bool known = view->jobs_done + view->n_rows >= view->jobs_total;
    for (size_t i = 0; i < view->n_rows; i++) {
        const struct progress_row *row = &view->rows[i];
        if (row->size < 0) {
            known = false;
        } else if (row->done < (uint64_t)row->size) {
            left_bytes += (uint64_t)row->size - row->done;
            jobs += (double)row->done / (double)row->size;
        } else {
            jobs += 1;
        }
    }
    double ms = -1;
    if (known)
        ms = view->rate ? (double)left_bytes * 1000 / (double)view->rate : -1;
    else if (jobs >= 1)
        ms = (double)(now_ms - p->started_ms) * ((double)view->jobs_total - jobs) / jobs;
    return ms >= 0 && ms < 1e12 ? (int64_t)ms : -1;
}

static struct progress_view look(struct progress *p)
{
    int64_t now_ms = clock_mono_ms();
    struct progress_view view = {.rows = p->rows,
                                 .jobs_done = p->jobs_done,
                                 .jobs_total = p->jobs_total,
                                 .bytes = p->ended_bytes};
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *slot = &p->slots[i];
        if (!slot->label)
            continue;
        p->rows[view.n_rows++] = (struct progress_row){
            slot->label, slot->done, slot->size, meter_step(&slot->meter, slot->done, now_ms)};
        view.bytes += slot->done;
    }
    view.rate = meter_step(&p->meter, view.bytes, now_ms);
    view.left_ms = time_left(p, &view, now_ms);
    return view;
}

/* ---- the terminal ---- */

static void terminal_size(FILE *out, unsigned *columns, unsigned *lines)
{
    struct winsize size = {0};
    if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
        size.ws_col = size.ws_row = 0;
    *columns = size.ws_col ? size.ws_col : 80;
    *lines = size.ws_row ? size.ws_row : 24;
}

/* While another job has the terminal (`egress fetch ... &`) its screen is not ours to draw on. */
static bool in_foreground(FILE *out)
{
    pid_t group = tcgetpgrp(fileno(out));
    return group < 0 || group == getpgrp();
}

static void write_out(FILE *out, const struct buf *text)
{
    fwrite(buf_str(text), 1, text->len, out);
    fflush(out);
}

/* Back to the display's first line. */
static void go_up(struct buf *text, unsigned n)
{
    if (n)
        buf_printf(text, "\r\033[%uA", n);
}

static void erase(struct progress *p)
{
    struct buf text = BUF_INIT(32);
    if (p->n_shown) {
        go_up(&text, p->n_shown);
        buf_str_append(&text, "\033[J");
        write_out(p->out, &text);
    }
    buf_release(&text);
}

/* Each line is written over the old one and its rest cleared: nothing flickers. */
static void draw(struct progress *p, const struct buf *lines, unsigned n)
{
    struct buf text = BUF_INIT(SCREEN_BYTES);
    go_up(&text, p->n_shown);
    const char *line = buf_str(lines);
    for (unsigned i = 0; i < n; i++) {
        const char *end = strchr(line, '\n');
        buf_append(&text, line, (size_t)(end - line));
        buf_str_append(&text, "\033[K\n");
        line = end + 1;
    }
    buf_str_append(&text, "\033[J");
    write_out(p->out, &text);
    buf_release(&text);
}

static void redraw(void *arg)
{
    struct progress *p = arg;
    struct buf lines = BUF_INIT(SCREEN_BYTES);
    unsigned columns, rows, n = 0;
    if (p->refresh)
        p->refresh(p->refresh_arg);
    struct progress_view view = look(p);
    terminal_size(p->out, &columns, &rows);
    bool ours = in_foreground(p->out);
    if (ours)
        n = progress_render(&view, columns, rows, &lines);

    pthread_mutex_lock(&p->lock);
    if (ours && !p->hidden)
        draw(p, &lines, n);
    buf_release(&p->shown);
    p->shown = lines;
    p->n_shown = n;
    pthread_mutex_unlock(&p->lock);
    loop_timer_start(p->loop, &p->timer, REDRAW_MS, redraw, p);
}

void progress_hide(struct progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    if (p->hidden++ == 0)
        erase(p);
}

void progress_unhide(struct progress *p)
{
    if (!p)
        return;
    if (--p->hidden == 0)
        write_out(p->out, &p->shown);
    pthread_mutex_unlock(&p->lock);
}

static void before_log_line(void *arg)
{
    progress_hide(arg);
}

static void after_log_line(void *arg)
{
    progress_unhide(arg);
}

/* ---- from the start to the end ---- */

static bool can_redraw(FILE *out)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    return isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0 &&
           !(no_color && *no_color);
}

struct progress *progress_new(struct loop *loop, FILE *out, void (*refresh)(void *arg), void *arg)
{
    if (!can_redraw(out))
        return NULL;
    struct progress *p = xcalloc(1, sizeof(*p));
    p->loop = loop;
    p->refresh = refresh;
    p->refresh_arg = arg;
    p->out = out;
    p->shown = BUF_INIT(SCREEN_BYTES);
    p->started_ms = clock_mono_ms();
    meter_start(&p->meter, p->started_ms);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&p->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    log_set_hooks(before_log_line, after_log_line, p);
    loop_timer_start(loop, &p->timer, FIRST_DRAW_MS, redraw, p);
    return p;
}

void progress_free(struct progress *p)
{
    if (!p)
        return;
    loop_timer_stop(p->loop, &p->timer);
    log_set_hooks(NULL, NULL, NULL);
    erase(p);
    for (size_t i = 0; i < p->n_slots; i++)
        free(p->slots[i].label);
    free(p->slots);
    free(p->rows);
    buf_release(&p->shown);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void progress_jobs(struct progress *p, size_t done, size_t total)
{
    if (!p)
        return;
    p->jobs_done = done;
    p->jobs_total = total;
}

int progress_add(struct progress *p, const char *label)
{
    if (!p)
        return -1;
    size_t i = 0;
    while (i < p->n_slots && p->slots[i].label)
        i++;
    if (i == p->n_slots) {
        p->n_slots++;
        p->slots = xrealloc(p->slots, p->n_slots * sizeof(*p->slots));
        p->rows = xrealloc(p->rows, p->n_slots * sizeof(*p->rows));
    }
    p->slots[i] = (struct slot){.label = xstrdup(label), .size = -1};
    meter_start(&p->slots[i].meter, clock_mono_ms());
    return (int)i;
}

void progress_update(struct progress *p, int slot, uint64_t done, int64_t size)
{
    if (!p || slot < 0)
        return;
    CHECK((size_t)slot < p->n_slots && p->slots[slot].label);
    struct slot *s = &p->slots[slot];
    if (!s->updated) /* it may have run for a while before it was added: that is no rate */
        s->meter.bytes = done;
    s->updated = true;
    s->done = done;
    s->size = size;
}

void progress_remove(struct progress *p, int slot)
{
    if (!p || slot < 0)
        return;
    CHECK((size_t)slot < p->n_slots && p->slots[slot].label);
    p->ended_bytes += p->slots[slot].done;
    free(p->slots[slot].label);
    p->slots[slot].label = NULL;
}
