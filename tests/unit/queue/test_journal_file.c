/* SPDX-License-Identifier: Apache-2.0
 *
 * test_journal_file: what a journal's file may be: missing, another's, older, newer, damaged, on a
 * disk that is full.
 */
#include "journal_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "core/buf.h"

enum { PAGE = 4096, JOBS = 2000 };

static void check(struct rig *rig, bool sound, const char *part)
{
    struct err err = {0};
    struct buf report = BUF_INIT(64 * 1024);
    int rc = journal_check(rig->path, &report, &err);
    if (rc != (sound ? 0 : -1) || (!sound && err.code != ERR_CONFIG) ||
        !strstr(sound ? buf_str(&report) : err.msg, part))
        fail_msg("%d \"%s\"; %s", rc, err.msg, buf_str(&report));
    assert_int_equal(sound, report.len == 0);
    buf_release(&report);
}

static int count_job(void *arg, const struct journal_job *job)
{
    assert_true(job_id_is_valid(job->id));
    ++*(unsigned *)arg;
    return 0;
}

static unsigned export(struct rig *rig, int expected_rc)
{
    struct err err = {0};
    unsigned n = 0;
    assert_int_equal(journal_export(rig->path, count_job, &n, &err), expected_rc);
    assert_int_equal(err.code, expected_rc < 0 ? ERR_CONFIG : ERR_NONE);
    return n;
}

static void its_mode_is_its_owners(void **state)
{
    struct rig *rig = *state;
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    mode_t before = umask(0);
    open_journal(rig);
    accept_job(rig, "a", 0);
    umask(before);
    for (int i = 0; i < 4; i++) {
        char path[400];
        struct stat sb;
        snprintf(path, sizeof(path), "%s%s", rig->path, suffixes[i]);
        assert_int_equal(stat(path, &sb), 0);
        assert_int_equal(sb.st_mode & 0777, 0600);
    }
    check(rig, true, ""); /* in use */
}

static void one_process_at_a_time(void **state)
{
    struct rig *rig = *state;
    char link[320], pid[40];
    open_journal(rig);
    accept_job(rig, "a", 0);
    struct rig other = *rig;
    other.journal = NULL;
    snprintf(pid, sizeof(pid), "pid %ld;", (long)getpid());
    assert_refused(&other, ERR_CONFIG, pid);
    snprintf(link, sizeof(link), "%s/link", rig->dir);
    assert_int_equal(symlink("j.db", link), 0);
    other.config.path = link;
    assert_refused(&other, ERR_CONFIG, pid);
    assert_int_equal(accept_job(rig, "b", 0), JOURNAL_NEW);
    close_journal(rig);
    open_journal(&other);
    assert_state(&other, "b", JOURNAL_READY);
    close_journal(&other);
}

static void no_place_for_it(void **state)
{
    struct rig *rig = *state;
    char path[400];
    rig->config.path = path;
    snprintf(path, sizeof(path), "%s/none/j.db", rig->dir);
    assert_refused(rig, ERR_CONFIG, "has to be there (mkdir -p)");
    snprintf(path, sizeof(path), "%s", rig->dir);
    assert_refused(rig, ERR_CONFIG, "expected a file");
    snprintf(path, sizeof(path), "%s/none/", rig->dir);
    assert_refused(rig, ERR_CONFIG, "expected the name of a file");
    shell("touch '%s'", rig->path);
    snprintf(path, sizeof(path), "%s/j.db", rig->path);
    assert_refused(rig, ERR_CONFIG, "expected a file: Not a directory");
}

/* As another user, where this one may do anything. */
static void no_right_to_write(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    close_journal(rig);
    assert_int_equal(chmod(rig->path, 0444), 0);
    shell("chmod 666 '%s.lock'", rig->path);
    assert_int_equal(chmod(rig->dir, 0777), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = {0};
        bool other = geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0);
        struct journal *j = journal_open(&rig->config, NULL, &err);
        _exit(other && !j && err.code == ERR_IO && strstr(err.msg, "rights") ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void what_is_no_journal(void **state)
{
    struct rig *rig = *state;
    shell("seq 1 5000 >'%s'", rig->path);
    assert_refused(rig, ERR_CONFIG, "egress journal check");
    check(rig, false, "file is not a database");
    assert_int_equal(export(rig, -1), 0);
    assert_int_equal(unlink(rig->path), 0);

    witness(rig, "CREATE TABLE notes (text)");
    assert_refused(rig, ERR_CONFIG, "of another program");
    check(rig, false, "of another program");
    assert_int_equal(witness(rig, "SELECT count(*) FROM sqlite_schema"), 1);
    assert_int_equal(truncate(rig->path, 0), 0);
    check(rig, false, "an empty file");
    open_journal(rig); /* what a crash right after its making leaves */
    accept_job(rig, "a", 0);
    check(rig, true, "");
    assert_int_equal(unlink(rig->path), 0);
    check(rig, false, "No such file");
}

static void of_a_newer_version(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    close_journal(rig);
    witness(rig, "PRAGMA user_version = 77");
    assert_refused(rig, ERR_CONFIG, "of a newer egress (version 77");
    assert_int_equal(witness(rig, "PRAGMA user_version"), 77);
}

/* Version 1, as its step made it, with jobs in it: history came with version 2. */
static void of_an_older_version(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    accept_job(rig, "b", 0);
    assert_claims(rig, "a");
    close_journal(rig);
    witness(rig, "DROP TABLE history");
    witness(rig, "PRAGMA user_version = 1");
    open_journal(rig);
    assert_int_equal(witness(rig, "PRAGMA user_version"), 2);
    assert_int_equal(rig->recovered, 1);
    assert_claims(rig, "a");
    struct journal_get rq = get(rig, "a");
    assert_int_equal(rq.n_history, 3);
    assert_string_equal(rq.history[1].what, "recovered");
    journal_get_release(&rq);
    check(rig, true, "");
}

/* ---- damage ---- */

static void fill(struct rig *rig)
{
    open_journal(rig);
    accept_many(rig, "a-job-with-a-long-id-%05d", JOBS);
    close_journal(rig);
}

static void overwrite(struct rig *rig, off_t offset, int byte, size_t len)
{
    char *block = xcalloc(1, len);
    memset(block, byte, len);
    int fd = open(rig->path, O_RDWR);
    assert_int_equal(pwrite(fd, block, len, offset), len);
    assert_int_equal(close(fd), 0);
    free(block);
}

/* Each page in turn, but the first: the journal opens or is refused, nothing hangs or crashes, and
 * export gives what does not lie on that page. */
static void a_page_is_overwritten(void **state)
{
    struct rig *rig = *state;
    char keep[400];
    struct stat sb;
    unsigned lost_most = 0, whole = 0;
    fill(rig);
    assert_int_equal(export(rig, 0), JOBS);
    snprintf(keep, sizeof(keep), "cp '%s' '%s/keep'", rig->path, rig->dir);
    assert_int_equal(system(keep), 0);
    assert_int_equal(stat(rig->path, &sb), 0);
    snprintf(keep, sizeof(keep), "cp '%s/keep' '%s'", rig->dir, rig->path);
    for (off_t page = 1; page < sb.st_size / PAGE; page++) {
        struct err err = {0};
        unsigned n = 0;
        assert_int_equal(system(keep), 0);
        overwrite(rig, page * PAGE, page % 3 ? 0xa5 : 0, PAGE);
        (void)!journal_export(rig->path, count_job, &n, &err);
        whole += n == JOBS;
        if (JOBS - n > lost_most && n > 0)
            lost_most = JOBS - n;
        check(rig, false, "damaged");
    }
    assert_true(whole > 20);                             /* pages of indexes */
    assert_true(lost_most > 0 && lost_most < JOBS / 10); /* a leaf of the table */
}

static void a_file_is_cut(void **state)
{
    struct rig *rig = *state;
    struct stat sb;
    fill(rig);
    assert_int_equal(stat(rig->path, &sb), 0);
    assert_int_equal(truncate(rig->path, sb.st_size / 2 / PAGE * PAGE), 0);
    check(rig, false, "");
    assert_in_range(export(rig, -1), 100, JOBS - 1);
    assert_int_equal(truncate(rig->path, 3000), 0);
    check(rig, false, "");
    assert_int_equal(export(rig, -1), 0);
    assert_refused(rig, ERR_CONFIG, "egress journal check");
}

static void the_header_is_zeroed(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    overwrite(rig, 0, 0, 100);
    check(rig, false, "file is not a database");
    assert_int_equal(export(rig, -1), 0);
    assert_refused(rig, ERR_CONFIG, "egress journal check");
}

/* The page that every claim reads. */
static void damage_while_it_runs(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    int64_t root = witness(rig, "SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_by_place'");
    overwrite(rig, (off_t)(root - 1) * PAGE, 0xa5, PAGE);
    struct err err = {0};
    rig->journal = journal_open(&rig->config, NULL, &err);
    if (rig->journal) {
        struct journal_claim rq = {.max = 1, .jobs = claimed};
        run(rig, &rq.request, JOURNAL_CLAIM);
        err = rq.request.err;
        assert_int_equal(rq.n, 0);
    }
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "egress journal export"));
    close_journal(rig);
    assert_int_equal(export(rig, 0), JOBS);
}

/* A row that SQLite takes for a sound one. */
static void values_that_make_no_sense(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    accept_job(rig, "b", 0);
    close_journal(rig);
    witness(rig, "UPDATE jobs SET id = '../../etc/passwd' WHERE id = 'a'");
    check(rig, false, "damaged");
    assert_int_equal(export(rig, -1), 1);
    open_journal(rig);
    struct journal_claim rq = {.max = 2, .jobs = claimed};
    run(rig, &rq.request, JOURNAL_CLAIM);
    assert_failed(&rq.request, ERR_CONFIG, "makes no sense");
    assert_int_equal(rq.n, 0);
    assert_int_equal(accept_job(rig, "c", 0), JOURNAL_NEW);
}

/* ---- a full disk ---- */

/* Files may not grow over so many bytes: past it write() fails, as on a full disk. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_takes_nothing_and_loses_nothing(void **state)
{
    struct rig *rig = *state;
    signal(SIGXFSZ, SIG_IGN);
    open_journal(rig);
    accept_job(rig, "a", 0);
    limit_files(200 * 1000);
    unsigned taken = 0;
    char id[32];
    for (int failed = 0, i = 0; failed < 3; i++) {
        assert_true(i < 1000);
        snprintf(id, sizeof(id), "job-%d", i);
        struct journal_accept rq = try_accept(rig, id, 0);
        if (rq.request.err.code == ERR_NONE) {
            taken++;
        } else {
            assert_failed(&rq.request, ERR_IO, rig->path);
            assert_failed(&rq.request, ERR_IO, "File too large");
            failed++;
        }
    }
    struct journal_claim none = {.max = 1, .jobs = claimed};
    run(rig, &none.request, JOURNAL_CLAIM);
    assert_failed(&none.request, ERR_IO, rig->path);
    assert_int_equal(none.n, 0);
    assert_int_equal(stats(rig).jobs[JOURNAL_READY], taken + 1);
    assert_state(rig, "a", JOURNAL_READY);
    assert_false(journal_takes(rig->journal));
    limit_files(RLIM_INFINITY);
    for (int i = 0; !journal_takes(rig->journal); i++) { /* though nobody asks anything of it */
        assert_true(i < 1000);
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    assert_int_equal(accept_job(rig, id, 0), JOURNAL_NEW); /* it has room again */
    assert_claims(rig, "a");
    open_again(rig);
    assert_int_equal(stats(rig).jobs[JOURNAL_READY], taken + 2);
    check(rig, true, "");
}

static void a_disk_that_is_full_from_the_start(void **state)
{
    struct rig *rig = *state;
    signal(SIGXFSZ, SIG_IGN);
    limit_files(3000);
    assert_refused(rig, ERR_IO, rig->path);
    limit_files(RLIM_INFINITY);
    open_journal(rig);
    accept_job(rig, "a", 0);
}

/* ---- taken away ---- */

/* $J: the journal. */
static void change(const struct rig *rig, const char *command)
{
    assert_int_equal(setenv("J", rig->path, 1), 0);
    assert_int_equal(system(command), 0);
}

/* What was written to a file without a name would be answered for, and gone. */
static void a_file_that_is_removed_or_replaced(void **state)
{
    static const char *const ways[] = {"rm \"$J\"", "rm \"$J-wal\"", "mv \"$J\" \"$J.old\"",
                                       "cp \"$J\" \"$J.new\" && mv \"$J.new\" \"$J\""};
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        open_journal(rig);
        assert_int_equal(accept_job(rig, "a", 0), JOURNAL_NEW);
        change(rig, ways[i]);
        struct journal_accept rq = try_accept(rig, "b", 0);
        assert_failed(&rq.request, ERR_CONFIG, "removed or replaced");
        assert_false(journal_takes(rig->journal));
        struct journal_claim none = {.max = 1, .jobs = claimed};
        run(rig, &none.request, JOURNAL_CLAIM);
        assert_failed(&none.request, ERR_CONFIG, rig->path);
        close_journal(rig);
        change(rig, "rm -f \"$J\"*");
    }
}

/* By then its names may be another's (SQLite sees to it). */
static void closing_leaves_what_has_taken_its_place(void **state)
{
    struct rig *rig = *state;
    open_journal(rig);
    accept_job(rig, "a", 0);
    change(rig, "rm \"$J\"* && echo new >\"$J-wal\"");
    close_journal(rig);
    change(rig, "test -s \"$J-wal\" && rm \"$J-wal\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(its_mode_is_its_owners),
        TEST(one_process_at_a_time),
        TEST(no_place_for_it),
        TEST(no_right_to_write),
        TEST(what_is_no_journal),
        TEST(of_a_newer_version),
        TEST(of_an_older_version),
        TEST(a_page_is_overwritten),
        TEST(a_file_is_cut),
        TEST(the_header_is_zeroed),
        TEST(damage_while_it_runs),
        TEST(values_that_make_no_sense),
        TEST(a_full_disk_takes_nothing_and_loses_nothing),
        TEST(a_disk_that_is_full_from_the_start),
        TEST(a_file_that_is_removed_or_replaced),
        TEST(closing_leaves_what_has_taken_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
