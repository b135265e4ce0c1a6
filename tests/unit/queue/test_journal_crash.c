/* SPDX-License-Identifier: Apache-2.0
 *
 * test_journal_crash: several threads at once, closing with requests under way, and a process that
 * is killed: what was completed is there, and nothing is half done.
 */
#include "journal_rig.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "core/buf.h"
#include "core/random.h"

enum { THREADS = 8, EACH = 200 };

/* ---- threads ---- */

struct worker {
    struct rig *rig;
    int number;
    unsigned stored;
};

static void *accept_and_settle(void *arg)
{
    struct worker *w = arg;
    struct journal_job job;
    for (int i = 0; i < EACH; i++) {
        struct journal_accept in = {0};
        snprintf(in.job, sizeof(in.job), "job-%d-%d", w->number, i);
        run(w->rig, &in.request, JOURNAL_ACCEPT);
        struct journal_claim rq = {.max = 1, .jobs = &job};
        run(w->rig, &rq.request, JOURNAL_CLAIM);
        if (rq.n) {
            struct journal_settle out = {.verdict = JOURNAL_DONE};
            snprintf(out.job, sizeof(out.job), "%s", job.id);
            run(w->rig, &out.request, JOURNAL_SETTLE);
            w->stored += out.request.err.code == ERR_NONE;
        }
        if (i % 16 == 0)
            (void)stats(w->rig);
    }
    return NULL;
}

static void many_threads(void **state)
{
    struct rig *rig = *state;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    unsigned stored = 0;
    open_journal(rig);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){rig, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, accept_and_settle, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        stored += workers[i].stored;
    }
    /* Each claimed one of the jobs that were there, and there was one each time. */
    assert_int_equal(stored, THREADS * EACH);
    struct journal_stats s = stats(rig);
    assert_int_equal(s.jobs[JOURNAL_STORED], stored);
    assert_true(s.requests >= 3 * THREADS * EACH);
    assert_true(s.commits < 3 * THREADS * EACH); /* some shared one */
    assert_true(s.file_bytes > 0);
    open_again(rig);
    assert_int_equal(stats(rig).jobs[JOURNAL_STORED], stored);
}

/* They come one after the other while the first waits for the disk: few commits for all. */
static void what_comes_together_shares_a_commit(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_many(rig, "job-%d", 3000);
    assert_in_range(stats(rig).commits, 1, 1500);
    assert_int_equal(stats(rig).jobs[JOURNAL_READY], 3000);
}

static int completed; /* on the journal's thread; read after it has ended */

static void count(struct journal_request *rq)
{
    completed += rq->err.code == ERR_NONE;
}

static void closing_completes_what_was_submitted(void **state)
{
    struct rig *rig = *state;
    struct journal_accept *rq = xcalloc(5000, sizeof(*rq));
    open_journal(rig);
    completed = 0;
    for (int i = 0; i < 5000; i++) {
        rq[i].request = (struct journal_request){.kind = JOURNAL_ACCEPT, .done = count};
        snprintf(rq[i].job, sizeof(rq[i].job), "job-%d", i);
        journal_submit(rig->journal, &rq[i].request);
    }
    close_journal(rig);
    assert_int_equal(completed, 5000);
    free(rq);
    assert_int_equal(witness(rig, "SELECT count(*) FROM jobs"), 5000);
}

/* ---- kill -9 ---- */

/* Accepts, claims and settles for ever; writes a line once each is said to be on disk. */
static void work_until_killed(struct rig *rig, int out)
{
    struct journal_job jobs[4] = {0};
    open_journal(rig);
    for (int i = 0;; i++) {
        char line[JOB_ID_MAX + 8];
        struct journal_accept in = {0};
        snprintf(in.job, sizeof(in.job), "job-%ld-%d", (long)getpid(), i);
        run(rig, &in.request, JOURNAL_ACCEPT);
        if (in.request.err.code == ERR_NONE)
            (void)!write(out, line, (size_t)snprintf(line, sizeof(line), "A%s\n", in.job));
        if (i % 3)
            continue;
        struct journal_claim rq = {.max = 2, .jobs = jobs};
        run(rig, &rq.request, JOURNAL_CLAIM);
        for (unsigned k = 0; k < rq.n; k++) {
            struct journal_settle s = {.verdict = k ? JOURNAL_LATER : JOURNAL_DONE,
                                       .attempts_max = 5};
            snprintf(s.job, sizeof(s.job), "%s", jobs[k].id);
            run(rig, &s.request, JOURNAL_SETTLE);
            if (s.request.err.code == ERR_NONE && k == 0)
                (void)!write(out, line, (size_t)snprintf(line, sizeof(line), "S%s\n", s.job));
        }
    }
}

/* Starts a process that works on the journal; its lines come from *fd. */
static pid_t start_worker(struct rig *rig, int *fd)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        work_until_killed(rig, ends[1]);
        _exit(1);
    }
    close(ends[1]);
    *fd = ends[0];
    return pid;
}

/* Reads until so many bytes are there, or to the end. */
static void read_lines(int fd, struct buf *lines, size_t enough)
{
    char block[4096];
    ssize_t n = 1;
    while (lines->len < enough && n > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        n = read(fd, block, sizeof(block));
        if (n > 0)
            buf_append(lines, block, (size_t)n);
    }
}

/* By hand, with the WAL as the dead process has left it. */
static void expect_sound(struct rig *rig)
{
    struct err err = {0};
    struct buf report = BUF_INIT(64 * 1024);
    if (journal_check(rig->path, &report, &err) < 0)
        fail_msg("%s %s", err.msg, buf_str(&report));
    buf_release(&report);
}

static void expect_all(struct rig *rig, struct buf *lines)
{
    char *rest = NULL;
    int n = 0;
    for (char *line = strtok_r(lines->data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        struct journal_job job = row(rig, line + 1);
        assert_true(job.state != JOURNAL_RUNNING);
        if (*line == 'S')
            assert_int_equal(job.state, JOURNAL_STORED);
        n++;
    }
    assert_true(n > 0);
    assert_int_equal(witness(rig, "SELECT count(*) FROM history WHERE job NOT IN "
                                  "(SELECT seq FROM jobs)"),
                     0);
    assert_int_equal(witness(rig, "SELECT count(*) FROM jobs WHERE state = 2"), 0);
    expect_sound(rig);
}

static void killed_in_mid_work(void **state)
{
    struct rig *rig = *state;
    struct buf lines = BUF_INIT(16 * 1024 * 1024);
    for (int round = 0; round < 6; round++) {
        int fd, status;
        pid_t pid = start_worker(rig, &fd);
        read_lines(fd, &lines, lines.len + 200 + (size_t)(random_u64() % 2000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        read_lines(fd, &lines, SIZE_MAX); /* what it wrote until then */
        close(fd);
        expect_sound(rig);
    }
    open_journal(rig);
    expect_all(rig, &lines);
    buf_release(&lines);
}

#ifdef EGRESS_FAULT_POINTS

/* Each fault point, on one journal: it dies there, and the next one goes on. */
static void killed_at_each_fault_point(void **state)
{
    struct rig *rig = *state;
    static const char *const points[] = {
        "journal-upgrade",          "journal-upgrade:2",          "journal-before-commit:40",
        "journal-after-commit:40",  "journal-before-complete:40", "journal-recovery",
        "journal-before-commit:1",  "journal-after-commit:1",     "journal-prune:1",
        "journal-before-commit:77", "journal-checkpoint:1"};
    struct buf lines = BUF_INIT(16 * 1024 * 1024);
    rig->config.keep_jobs = 1000000;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        int fd, status;
        assert_int_equal(setenv("EGRESS_FAULT_POINT", points[i], 1), 0);
        pid_t pid = start_worker(rig, &fd);
        unsetenv("EGRESS_FAULT_POINT");
        read_lines(fd, &lines, SIZE_MAX);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("%s: did not die there", points[i]);
        close(fd);
    }
    open_journal(rig);
    expect_all(rig, &lines);
    buf_release(&lines);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_threads),
        TEST(what_comes_together_shares_a_commit),
        TEST(closing_completes_what_was_submitted),
        TEST(killed_in_mid_work),
#ifdef EGRESS_FAULT_POINTS
        TEST(killed_at_each_fault_point),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
