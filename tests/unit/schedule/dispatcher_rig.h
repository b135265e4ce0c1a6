/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher_rig: a dispatcher with a real journal in a directory of its own, a real loop and
 * engine, and ends in memory; what it logs is kept. Main thread.
 */
#ifndef EGRESS_TESTS_DISPATCHER_RIG_H
#define EGRESS_TESTS_DISPATCHER_RIG_H

#include "queue/journal.h"
#include "schedule/dispatcher.h"
#include "tests/unit/transfer/fake_ends.h"

struct rig {
    struct fake_source_config from; /* set by rig_init(), may be changed before rig_start() */
    struct fake_sink_config to;
    struct dispatcher_config config;
    bool no_receipts;
    const char *key_template;

    char dir[64], path[96];
    struct loop *loop;
    struct fake_source *source;
    struct fake_sink *sink;
    struct engine *engine;
    struct journal *journal;
    struct dispatcher *dispatcher;
    unsigned ends;
    struct err err; /* what it ended with */
    bool (*until)(struct rig *r);
    struct loop_timer timer;
    int64_t give_up_ms;
    unsigned mark; /* a test's own */
};

/* Before the tests, once: takes the log. */
int rig_group(void **state);

void rig_init(struct rig *r);
/* Opens the journal; the dispatcher is started by rig_start(). */
void rig_open(struct rig *r);
void rig_start(struct rig *r);
/* Runs the loop until it holds; fails the test when that takes too long. */
void rig_run(struct rig *r, bool (*until)(struct rig *r));
void rig_run_ms(struct rig *r, int64_t ms);
/* Drains, runs to the end (and on, in case a second one comes), frees. The journal stays open. */
void rig_end(struct rig *r);
/* As another process would find it: closes the journal and opens it again. How many jobs were
 * RUNNING in it. */
size_t rig_reopen(struct rig *r);
/* Begins a new journal. */
void rig_forget(struct rig *r);
void rig_free(struct rig *r);

bool rig_ended(struct rig *r);
bool rig_none_under_way(struct rig *r); /* nor to be begun */
struct dispatcher_counts rig_counts(const struct rig *r);

/* To the journal, and waits for it. */
void rig_ask(struct rig *r, struct journal_request *request);
enum journal_accepted rig_accept(struct rig *r, const char *id, int64_t expires_ms);
/* Their ids and their expiry. Sent together. */
void rig_accept_all(struct rig *r, const struct source_job *jobs, unsigned n);
void rig_accept_many(struct rig *r, unsigned n); /* job-000, job-001, ... */
void rig_pause(struct rig *r, bool paused);
/* The caller releases it. */
void rig_get(struct rig *r, const char *id, struct journal_get *get);
enum journal_state rig_state(struct rig *r, const char *id);
/* How many are in a state. */
int64_t rig_jobs(struct rig *r, enum journal_state state);

/* From now on no file of this process can grow; until rig_free_disk(). */
void rig_fill_disk(void);
void rig_free_disk(void);

/* What was logged since rig_init(); until the next line. */
const char *rig_log(void);
unsigned rig_logged(const char *text); /* how often */

#endif
