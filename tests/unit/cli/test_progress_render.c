/* SPDX-License-Identifier: Apache-2.0
 *
 * test_progress_render: the progress display as text, at every size of terminal.
 */
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define MIB (1024 * 1024)

static const struct progress_row two_rows[] = {
    {"016f6063-51a1-4948-a827-ce4c31ec53ed", 42 * MIB, 100 * MIB, 8 * MIB},
    {"job-7", 3 * MIB, -1, 0},
};

static const struct progress_view two_jobs = {two_rows, 2, 3, 5, 145 * MIB, 8 * MIB, 187000};

static void at_80_columns(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(4096);
    assert_int_equal(progress_render(&two_jobs, 80, 24, &out), 3);
    assert_string_equal(
        buf_str(&out),
        "016f6063..ec53ed    42.0 MiB   42%  [===========>               ]     8.0 MiB/s\n"
        "job-7                3.0 MiB                                              0 B/s\n"
        "3 of 5 jobs  145.0 MiB  8.0 MiB/s  3:07 left\n");
    buf_release(&out);
}

static void narrower(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(4096);
    progress_render(&two_jobs, 50, 24, &out);
    assert_string_equal(buf_str(&out), "016f6063..ec53ed    42.0 MiB   42%     8.0 MiB/s\n"
                                       "job-7                3.0 MiB               0 B/s\n"
                                       "3 of 5 jobs  145.0 MiB  8.0 MiB/s  3:07 left\n");
    buf_clear(&out);
    progress_render(&two_jobs, 36, 24, &out);
    assert_string_equal(buf_str(&out), "016f6063..ec53ed    42.0 MiB   42%\n"
                                       "job-7                3.0 MiB      \n"
                                       "3 of 5 jobs  145.0 MiB  8.0 MiB/s  \n");
    buf_clear(&out);
    progress_render(&two_jobs, 11, 24, &out);
    assert_string_equal(buf_str(&out), "016f6063..\n"
                                       "job-7     \n"
                                       "3 of 5 job\n");
    buf_release(&out);
}

static void odd_values(void **state)
{
    (void)state;
    static const struct progress_row rows[] = {
        {"empty", 0, 0, 0},
        {"beyond", 20, 10, 0},
        {"huge", 1, INT64_MAX, 0},
        {"all", UINT64_MAX, INT64_MAX, UINT64_MAX},
        {"\x1b[2Jevil\n\xe2\x80\xae", 0, -1, 0},
        {"", 0, -1, 0},
    };
    struct progress_view view = {rows, 6, 0, 1, UINT64_MAX, UINT64_MAX, -1};
    struct buf out = BUF_INIT(4096);
    assert_int_equal(progress_render(&view, 80, 24, &out), 7);
    const char *text = buf_str(&out);
    assert_non_null(strstr(text, "empty                    0 B  100%  [====="));
    assert_non_null(strstr(text, "beyond                  20 B  100%  [====="));
    assert_non_null(strstr(text, "huge                     1 B    0%  [>    "));
    assert_non_null(strstr(text, "?[2Jevil????  "));
    assert_null(strchr(text, '\x1b'));
    assert_null(strstr(text, "left"));
    assert_non_null(strstr(text, "0 of 1 job  16.0 EiB  16.0 EiB/s\n"));
    buf_release(&out);
}

static void time_left(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "  0:00 left"},
                 {1, "  0:01 left"},
                 {59000, "  0:59 left"},
                 {60000, "  1:00 left"},
                 {3599001, "  1:00:00 left"},
                 {3600000, "  1:00:00 left"},
                 {360000000, "  100:00:00 left"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct progress_view view = {.jobs_total = 1, .left_ms = cases[i].ms};
        struct buf out = BUF_INIT(4096);
        assert_int_equal(progress_render(&view, 80, 24, &out), 1);
        assert_non_null(strstr(buf_str(&out), cases[i].text));
        buf_release(&out);
    }
}

static unsigned count_lines(const char *s, size_t longest)
{
    unsigned n = 0;
    for (; *s; n++) {
        size_t len = strcspn(s, "\n");
        assert_true(len <= longest);
        assert_int_equal(s[len], '\n');
        s += len + 1;
    }
    return n;
}

static void many_jobs(void **state)
{
    (void)state;
    struct progress_row rows[30];
    for (size_t i = 0; i < 30; i++)
        rows[i] = (struct progress_row){"some-job", i, 100, i};
    struct progress_view view = {rows, 30, 0, 1000, 0, 0, -1};
    struct buf out = BUF_INIT(64 * 1024);
    assert_int_equal(progress_render(&view, 80, 100, &out), 17); /* 15, the rest, the total */
    assert_non_null(strstr(buf_str(&out), "\nand 15 more\n0 of 1000 jobs  "));
    buf_clear(&out);
    assert_int_equal(progress_render(&view, 80, 10, &out), 9);
    assert_non_null(strstr(buf_str(&out), "\nand 23 more\n0 of 1000 jobs  "));
    buf_clear(&out);
    assert_int_equal(progress_render(&view, 80, 2, &out), 1);
    assert_int_equal(strncmp(buf_str(&out), "0 of 1000 jobs  ", 16), 0);
    buf_release(&out);
}

static void fits_every_terminal(void **state)
{
    (void)state;
    struct progress_row rows[20];
    for (size_t i = 0; i < 20; i++)
        rows[i] = (struct progress_row){"016f6063-51a1-4948-a827-ce4c31ec53ed", i, 100, i};
    for (unsigned n = 0; n <= 20; n++) {
        struct progress_view view = {rows, n, 0, 20, 0, 0, 5};
        for (unsigned columns = 0; columns < 140; columns++) {
            for (unsigned lines = 0; lines < 24; lines++) {
                struct buf out = BUF_INIT(64 * 1024);
                unsigned drawn = progress_render(&view, columns, lines, &out);
                assert_int_equal(count_lines(buf_str(&out), columns ? columns - 1 : 0), drawn);
                assert_true(drawn == 0 || drawn < lines);
                assert_true(drawn > 0 || lines < 2 || columns < 2);
                buf_release(&out);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_80_columns), cmocka_unit_test(narrower),
        cmocka_unit_test(odd_values),    cmocka_unit_test(time_left),
        cmocka_unit_test(many_jobs),     cmocka_unit_test(fits_every_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
