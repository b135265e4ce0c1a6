/* SPDX-License-Identifier: Apache-2.0
 *
 * journal [DIRECTORY [JOBS]]: how the embedded queue behaves as it fills: jobs accepted a second in
 * batches as webhooks that come together make them, the time of one claim, memory, file size; and
 * of claims when all jobs wait, and when all are due at once. A table on stdout; before it what the
 * disk itself takes to keep 8 KiB, which every claim has in it. DIRECTORY is where the journal is
 * put (else TMPDIR, else /tmp); JOBS is 1,000,000 without.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "queue/journal.h"

enum { BATCH = 64, CLAIMS = 1000 };

static char path[512];
static struct journal *journal;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "journal: %s: %s\n", what, why);
    exit(1);
}

static double now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double resident_mib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*s %9ld", &pages) != 1)
        fail("/proc/self/statm", "cannot be read");
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* ---- requests, waited for ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static int pending;

static void on_done(struct journal_request *rq)
{
    if (rq->err.code != ERR_NONE)
        fail("request", rq->err.msg);
    pthread_mutex_lock(&lock);
    if (--pending == 0)
        pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
}

static void wait_all(void)
{
    pthread_mutex_lock(&lock);
    while (pending)
        pthread_cond_wait(&wake, &lock);
    pthread_mutex_unlock(&lock);
}

static void run(struct journal_request *rq, enum journal_kind kind)
{
    rq->kind = kind;
    rq->done = on_done;
    pending = 1;
    journal_submit(journal, rq);
    wait_all();
}

static void open_journal(void)
{
    struct err err = {0};
    struct journal_config config = {.path = path,
                                    .keep_ms = INT64_C(365) * 86400 * 1000,
                                    .keep_jobs = 100000000,
                                    .queue_max = 100000000};
    journal = journal_open(&config, NULL, &err);
    if (!journal)
        fail("open", err.msg);
}

/* ---- what is measured ---- */

/* Jobs a second; ids as the Platform has them. */
static double accept_jobs(long n)
{
    static struct journal_accept rq[BATCH];
    double began = now_us();
    for (long done = 0; done < n; done += BATCH) {
        pending = BATCH;
        for (int i = 0; i < BATCH; i++) {
            uint64_t a = random_u64(), b = random_u64();
            rq[i] = (struct journal_accept){.request = {JOURNAL_ACCEPT, on_done}};
            snprintf(rq[i].job, sizeof(rq[i].job), "%08llx-%04llx-4%03llx-%04llx-%012llx",
                     (unsigned long long)(a >> 32), (unsigned long long)(a >> 16 & 0xffff),
                     (unsigned long long)(a & 0xfff), (unsigned long long)(b >> 48),
                     (unsigned long long)(b & 0xffffffffffff));
            journal_submit(journal, &rq[i].request);
        }
        wait_all();
    }
    return (double)n / (now_us() - began) * 1e6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure_disk(void)
{
    static double us[CLAIMS];
    char block[8192] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    for (int i = 0; i < CLAIMS; i++) {
        double began = now_us();
        if (pwrite(fd, block, sizeof(block), (off_t)i * (off_t)sizeof(block)) < 0 ||
            fdatasync(fd) < 0)
            fail(path, "cannot be written");
        us[i] = now_us() - began;
    }
    close(fd);
    unlink(path);
    qsort(us, CLAIMS, sizeof(us[0]), by_size);
    printf("the disk: 8 KiB appended and synced in %.0f us, p99 %.0f us\n", us[CLAIMS / 2],
           us[CLAIMS * 99 / 100]);
}

/* One job a claim, as they come when there is one free slot; each is given back. */
static void claim_jobs(const char *what, long jobs, double accepted_s)
{
    static double us[CLAIMS];
    for (int i = 0; i < CLAIMS; i++) {
        struct journal_job job;
        struct journal_claim rq = {.max = 1, .jobs = &job};
        double began = now_us();
        run(&rq.request, JOURNAL_CLAIM);
        us[i] = now_us() - began;
        if (rq.n == 0)
            continue;
        struct journal_settle settle = {.verdict = JOURNAL_RELEASE};
        memcpy(settle.job, job.id, sizeof(settle.job));
        run(&settle.request, JOURNAL_SETTLE);
    }
    struct journal_stats s = {.near_ms = 1};
    double began = now_us();
    run(&s.request, JOURNAL_STATS);
    double stats_us = now_us() - began;
    qsort(us, CLAIMS, sizeof(us[0]), by_size);
    printf("%-22s %9ld %11.0f %9.0f %8.0f %8.0f %9.0f %8.1f %9.1f\n", what, jobs, accepted_s,
           us[CLAIMS / 2], us[CLAIMS * 99 / 100], us[CLAIMS - 1], stats_us, resident_mib(),
           (double)s.file_bytes / 1048576);
    fflush(stdout);
}

/* All jobs become WAITING: until tomorrow, or until now. Behind the journal's back: it is closed.
 */
static void put_off(int64_t next_ms)
{
    char sql[160];
    sqlite3 *db = NULL;
    journal_close(journal);
    snprintf(sql, sizeof(sql), "UPDATE jobs SET state = 0, next_ms = %lld, place_ms = %lld",
             (long long)next_ms, (long long)next_ms);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail("put off", sqlite3_errmsg(db));
    sqlite3_close(db);
    open_journal();
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR"), *directory = argc > 1 ? argv[1] : tmp ? tmp : "/tmp";
    long most = argc > 2 ? strtol(argv[2], NULL, 10) : 1000000;
    char dir[400], lock_path[520];
    snprintf(dir, sizeof(dir), "%s/egress-bench-XXXXXX", directory);
    if (!mkdtemp(dir))
        fail(dir, "cannot be made");
    snprintf(path, sizeof(path), "%s/journal.db", dir);
    measure_disk();
    open_journal();
    printf("%-22s %9s %11s %9s %8s %8s %9s %8s %9s\n", "", "jobs", "accepted/s", "claim us", "p99",
           "max", "stats us", "MiB", "file MiB");
    long jobs = 0;
    for (long next = 1000; next <= most; next *= 10) {
        double accepted_s = accept_jobs(next - jobs);
        jobs = next;
        claim_jobs("ready", jobs, accepted_s);
    }
    put_off(clock_wall_ms() + 3600 * 1000);
    claim_jobs("waiting, none due", jobs, 0);
    put_off(clock_wall_ms() - 1000);
    claim_jobs("waiting, all due", jobs, 0);
    journal_close(journal);
    unlink(path);
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    unlink(lock_path);
    return rmdir(dir) == 0 ? 0 : 1;
}
