/* SPDX-License-Identifier: Apache-2.0
 *
 * How objects become visible: keys that are taken, replacing, several writers at once; and what
 * crashes have left.
 */
#include "file_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>

static void test_taken_key(void **state)
{
    struct rig *rig = *state;
    struct answer first = put(rig, "k", SINK_IF_ABSENT, NULL, "one");
    assert_ok(first);
    struct answer same = put(rig, "k", SINK_IF_ABSENT, NULL, "one");
    assert_ok(same);
    assert_string_equal(same.etag, first.etag);
    assert_err(put(rig, "k", SINK_IF_ABSENT, NULL, "two"), ERR_EXISTS, "--force");
    assert_err(put(rig, "k", SINK_IF_ABSENT, NULL, "longer"), ERR_EXISTS, rig->out);
    assert_file(rig, "k", "one");
    assert_int_equal(temp_files(rig), 0);

    assert_int_equal(mkdir(path_of(rig, "dir"), 0777), 0);
    assert_err(put(rig, "dir", SINK_IF_ABSENT, NULL, "one"), ERR_EXISTS, "dir");
    assert_err(put(rig, "dir", SINK_ALWAYS, NULL, "one"), ERR_CONFLICT, "is a directory");
    assert_int_equal(mkfifo(path_of(rig, "fifo"), 0666), 0);
    assert_err(put(rig, "fifo", SINK_IF_ABSENT, NULL, ""), ERR_EXISTS, "fifo");
    assert_int_equal(symlink("k", path_of(rig, "link")), 0);
    assert_err(put(rig, "link", SINK_IF_ABSENT, NULL, "one"), ERR_EXISTS, "link");
    assert_int_equal(temp_files(rig), 0);
}

static void test_replacing(void **state)
{
    struct rig *rig = *state;
    struct answer one = put(rig, "r", SINK_ALWAYS, NULL, "one");
    assert_ok(one);
    struct answer two = put(rig, "r", SINK_ALWAYS, NULL, "two");
    assert_ok(two);
    assert_string_not_equal(one.etag, two.etag);
    assert_err(put(rig, "r", SINK_IF_MATCH, one.etag, "three"), ERR_EXISTS, "\"r\"");
    assert_file(rig, "r", "two");
    assert_ok(put(rig, "r", SINK_IF_MATCH, two.etag, "three"));
    assert_file(rig, "r", "three");
    assert_err(put(rig, "gone", SINK_IF_MATCH, two.etag, "x"), ERR_NOT_FOUND, "gone");
    assert_err(put(rig, "r", SINK_IF_MATCH, NULL, "x"), ERR_EXISTS, "\"r\"");
    assert_false(is_there(rig, "gone"));
    assert_int_equal(temp_files(rig), 0);
}

/* Starts MANY puts of different bytes to one key at once; how many worked. */
static int race(struct rig *rig, const char *key, enum sink_condition condition, const char *etag,
                enum err_code loser)
{
    struct sink_object object = {.key = key, .condition = condition, .if_match = etag};
    struct answer a[MANY];
    char text[MANY][16];
    int won = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof(text[i]), "writer %02d", i);
        rig->sink->ops->put(rig->sink, &object, text[i], strlen(text[i]), 0, NULL, on_done,
                            expect(rig, &a[i]));
    }
    run(rig);
    for (int i = 0; i < MANY; i++) {
        if (a[i].err.code == ERR_NONE) {
            won++;
            assert_file(rig, key, text[i]);
        } else {
            assert_int_equal(a[i].err.code, loser);
        }
    }
    return won;
}

static void test_exactly_one_wins(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(race(rig, "deep/er/race", SINK_IF_ABSENT, NULL, ERR_EXISTS), 1);
    struct answer now = stat_key(rig, "deep/er/race");
    assert_int_equal(race(rig, "deep/er/race", SINK_IF_MATCH, now.stat.etag, ERR_EXISTS), 1);
    assert_int_equal(temp_files(rig), 0);
}

/* The test holds the lock under which another process would replace the object. */
static void test_match_is_checked_under_the_lock(void **state)
{
    struct rig *rig = *state;
    struct answer old = put(rig, "k", SINK_IF_ABSENT, NULL, "old"), a;
    assert_ok(old);
    int lock = open(path_of(rig, ".egress/tmp"), O_RDONLY);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    struct sink_object object = {.key = "k", .condition = SINK_IF_MATCH, .if_match = old.etag};
    rig->sink->ops->put(rig->sink, &object, "new", 3, 0, NULL, on_done, expect(rig, &a));
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    assert_file(rig, "k", "old");
    write_file(path_of(rig, "k"), "theirs");
    close(lock);
    run(rig);
    assert_err(a, ERR_EXISTS, "\"k\"");
    assert_file(rig, "k", "theirs");
}

/* A file system without hard links, which a test cannot count on finding: linkat() of this program
 * says what such a one says. All else is real. */
static bool no_hard_links;
extern long syscall(long number, ...);

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (!no_hard_links)
        return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    errno = EPERM;
    return -1;
}

static void test_without_hard_links(void **state)
{
    struct rig *rig = *state;
    no_hard_links = true;
    int won = race(rig, "a/k", SINK_IF_ABSENT, NULL, ERR_EXISTS);
    struct answer first = put(rig, "b", SINK_IF_ABSENT, NULL, "one");
    struct answer same = put(rig, "b", SINK_IF_ABSENT, NULL, "one");
    struct answer other = put(rig, "b", SINK_IF_ABSENT, NULL, "two");
    no_hard_links = false;
    assert_int_equal(won, 1);
    assert_ok(first);
    assert_ok(same);
    assert_err(other, ERR_EXISTS, "other content");
    assert_file(rig, "b", "one");
    assert_int_equal(temp_files(rig), 0);
}

/* ---- what crashes have left ---- */

static void test_sweep(void **state)
{
    struct rig *rig = *state;
    char host[65] = "", name[PATH_SIZE];
    assert_ok(put(rig, "a", SINK_IF_ABSENT, NULL, "x"));
    rig->sink->ops->free(rig->sink);
    gethostname(host, sizeof(host) - 1);
    for (char *p = host; *p; p++)
        *p = *p == '.' || *p == '/' ? '_' : *p;
    const char *form[] = {"%s-1-2", "%s-3-4", "not-%s-1-2", "old-%s-1-2"};
    for (int i = 0; i < 4; i++) {
        char own[160];
        snprintf(own, sizeof(own), form[i], host);
        snprintf(name, sizeof(name), ".egress/tmp/%s", own);
        write_file(path_of(rig, name), "left");
        if (i == 3)
            shell("touch -d '2 days ago' '%s'", path_of(rig, name));
    }
    assert_int_equal(temp_files(rig), 4);
    snprintf(name, sizeof(name), ".egress/tmp/%s-3-4", host);
    int held = open(path_of(rig, name), O_RDWR);
    assert_int_equal(flock(held, LOCK_EX), 0);

    open_sink(rig, rig->out);
    assert_string_equal(list(rig, ""), "a");
    assert_int_equal(temp_files(rig), 4); /* looking removes nothing */
    struct sink_object object = {.key = "b"};
    struct sink_upload *upload = begin(rig, &object);
    assert_int_equal(temp_files(rig), 3); /* the held one, the other host's new one, our own */
    assert_true(is_there(rig, name));
    snprintf(name, sizeof(name), ".egress/tmp/not-%s-1-2", host);
    assert_true(is_there(rig, name));
    close(held);

    /* A second sink (as another process) leaves what the first one writes. */
    struct sink *first = rig->sink;
    open_sink(rig, rig->out);
    assert_ok(put(rig, "c", SINK_IF_ABSENT, NULL, "x"));
    assert_int_equal(temp_files(rig), 2);
    rig->sink->ops->free(rig->sink);
    rig->sink = first;
    assert_ok(write_part(rig, upload, 0, "x"));
    assert_ok(complete(rig, upload, 1));
    rig->sink->ops->upload_free(upload);
    assert_file(rig, "b", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_taken_key),          TEST(test_replacing),
        TEST(test_exactly_one_wins),   TEST(test_match_is_checked_under_the_lock),
        TEST(test_without_hard_links), TEST(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
