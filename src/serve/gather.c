/* SPDX-License-Identifier: Apache-2.0
 *
 * gather: how the daemon stands, from its parts: the journal on its thread, then all else on the
 * loop's.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "serve/serve_private.h"

struct gathering {
    struct status status;
    struct status_running *running; /* owned */
    size_t room;
    struct status_slot throughput[DISPATCHER_SLOTS];
};

/* ---- the process; Linux tells it under /proc, elsewhere it is 0 ---- */

static unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 2 ? n - 2 : 0; /* "." and ".." */
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *in = fopen("/proc/self/statm", "r");
    if (!in)
        return 0;
    if (fscanf(in, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(in);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_process(struct status *st)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        st->cpu_ms = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                     (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    st->resident_bytes = resident_bytes();
    st->descriptors = count_entries("/proc/self/fd");
    st->threads = count_entries("/proc/self/task");
}

/* ---- the parts ---- */

static void add_journal(struct status *st, const struct journal_stats *stats)
{
    memcpy(st->jobs, stats->jobs, sizeof(st->jobs));
    st->near_expiry = stats->near_expiry;
    st->near_ms = stats->near_ms;
    st->oldest_ms = stats->oldest_ms;
    st->soonest_ms = stats->soonest_ms;
    st->paused = stats->paused;
    st->journal_bytes = stats->file_bytes;
    st->journal_commits = stats->commits;
    st->journal_requests = stats->requests;
}

static void add_running(void *arg, const struct dispatcher_running *r)
{
    struct gathering *g = arg;
    if (g->status.n_running == g->room) {
        g->room = g->room ? 2 * g->room : 64;
        g->running = xrealloc(g->running, g->room * sizeof(g->running[0]));
    }
    struct status_running *out = &g->running[g->status.n_running++];
    *out = (struct status_running){
        .started_ms = r->started_ms,
        .expires_ms = r->expires_ms,
        .received = r->progress.received,
        .size = r->progress.size,
        .attempts = r->attempts,
        .moving = r->progress.moving,
    };
    snprintf(out->job, sizeof(out->job), "%s", r->job);
}

static void add_transfers(struct gathering *g, const struct dispatcher *d)
{
    struct status *st = &g->status;
    struct dispatcher_counts n;
    struct dispatcher_slot slots[DISPATCHER_SLOTS];
    dispatcher_counts(d, &n);
    st->stored = n.stored;
    st->already = n.already;
    st->handed_over = n.handed_over;
    st->failed = n.failed;
    st->later = n.later;
    st->dead = n.dead;
    st->bytes = n.bytes;
    st->seconds_to_expiry_min = n.seconds_to_expiry_min;
    st->syncs = n.syncs;
    st->syncs_failed = n.syncs_failed;
    st->repaired = n.repaired;
    st->last_sync_ms = n.last_sync_ms;
    st->next_sync_ms = n.next_sync_ms;
    dispatcher_each_running(d, add_running, g);
    st->running = g->running;
    st->n_throughput = dispatcher_throughput(d, slots);
    for (size_t i = 0; i < st->n_throughput; i++)
        g->throughput[i] = (struct status_slot){slots[i].began_s, slots[i].bytes, slots[i].stored,
                                                slots[i].failed};
    st->throughput = g->throughput;
    st->throughput_slot_s = DISPATCHER_SLOT_S;
}

static void add_webhooks(struct status *st, struct serve *s)
{
    struct httpd_counts n = {0};
    if (s->webhooks)
        httpd_counts(s->webhooks, &n);
    st->connections = n.connections;
    st->requests = n.requests;
    st->refused_connections = n.refused_connections;
    st->timed_out = n.timed_out;
    st->rate_limited = n.rate_limited;
    st->malformed = n.malformed;
    st->open_connections = n.open;
    st->webhooks_accepted = atomic_load(&s->accepted);
    st->webhooks_known = atomic_load(&s->known);
    st->webhooks_unauthorized = atomic_load(&s->unauthorized);
    st->webhooks_rejected = atomic_load(&s->rejected);
    st->webhooks_unavailable = atomic_load(&s->unavailable);
}

/* ---- on the loop ---- */

static void finish(void *arg)
{
    struct admin_call *call = arg;
    struct serve *s = call->serve;
    struct gathering *g = xcalloc(1, sizeof(*g));
    struct buf body = BUF_INIT(STATUS_TEXT_MAX);
    g->status = (struct status){
        .version = EGRESS_VERSION,
        .now_ms = clock_wall_ms(),
        .started_ms = s->started_ms,
        .destination = s->destination,
        .platform = assembly_source_url(&s->assembly),
        .draining = atomic_load(&s->draining),
    };
    add_journal(&g->status, &call->stats);
    add_transfers(g, s->dispatcher);
    add_webhooks(&g->status, s);
    add_process(&g->status);
    if (call->metrics)
        status_format_metrics(&g->status, &body);
    else
        status_format_json(&g->status, &body);
    free(g->running);
    free(g);
    admin_end(call, 200, &body);
}

static void on_stats(struct journal_request *request)
{
    struct admin_call *call = request->arg;
    if (request->err.code != ERR_NONE)
        admin_end_error(call, 503, &request->err);
    else
        loop_post(call->serve->assembly.loop, &call->task, finish, call);
}

void admin_gather(struct admin_call *call)
{
    struct journal_request *request = &call->stats.request;
    call->stats.near_ms = settings_number(call->serve->settings, SET_NEAR_EXPIRY);
    request->kind = JOURNAL_STATS;
    request->done = on_stats;
    request->arg = call;
    journal_submit(call->serve->journal, request);
}
