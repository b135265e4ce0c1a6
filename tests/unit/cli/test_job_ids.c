/* SPDX-License-Identifier: Apache-2.0
 *
 * job_ids: what is taken for an id, from operands and from standard input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/job_ids.h"
#include "event/event.h"

struct refusals {
    size_t n;
    char first[sizeof(((struct err *)0)->msg)];
};

static void on_bad(void *arg, const struct err *err)
{
    struct refusals *bad = arg;
    assert_int_equal(err->code, ERR_INPUT);
    assert_non_null(strstr(err->msg, "is no job id: expected"));
    assert_true(strlen(err->msg) < 200);
    if (bad->n++ == 0)
        memcpy(bad->first, err->msg, sizeof(bad->first));
}

/* Standard input holds these bytes. */
static void feed(const void *data, size_t len)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
    assert_int_equal(dup2(fileno(file), STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(fclose(file), 0);
    clearerr(stdin);
    assert_int_equal(fseek(stdin, 0, SEEK_SET), 0); /* forgets what an earlier test left */
}

/* Reads operands; the ids joined by spaces go to `joined`. */
static void read_ids(char *const *operands, int n, char joined[1024], struct refusals *bad)
{
    struct err err = {0};
    struct job_ids ids = {0};
    *bad = (struct refusals){0};
    if (job_ids_read(&ids, operands, n, on_bad, bad, &err) < 0)
        fail_msg("%s", err.msg);
    size_t used = 0;
    joined[0] = '\0';
    for (size_t i = 0; i < ids.n && used < 1024; i++)
        used += (size_t)snprintf(joined + used, 1024 - used, "%s%s", i ? " " : "", ids.list[i]);
    job_ids_release(&ids);
    assert_int_equal(ids.n, 0);
    assert_null(ids.list);
}

static void from_input(const void *data, size_t len, const char *expected, size_t n_bad)
{
    char *operands[] = {(char[]){"-"}};
    char joined[1024];
    struct refusals bad;
    feed(data, len);
    read_ids(operands, 1, joined, &bad);
    assert_string_equal(joined, expected);
    assert_int_equal(bad.n, n_bad);
}

#define FROM_INPUT(text, expected, n_bad) from_input(text, sizeof(text) - 1, expected, n_bad)

static void operands_in_order_each_once(void **state)
{
    (void)state;
    char *operands[] = {(char[]){"b"}, (char[]){"a"}, (char[]){"../x"}, (char[]){"b"},
                        (char[]){""},  (char[]){"c"}, (char[]){"a"},    (char[]){"-x"}};
    char joined[1024];
    struct refusals bad;
    read_ids(operands, 8, joined, &bad);
    assert_string_equal(joined, "b a c");
    assert_int_equal(bad.n, 3);
    assert_non_null(strstr(bad.first, "\"../x\" is no job id"));
}

static void input_stands_where_the_dash_is(void **state)
{
    (void)state;
    char *operands[] = {(char[]){"z"}, (char[]){"-"}, (char[]){"a"}, (char[]){"-"}};
    char joined[1024];
    struct refusals bad;
    feed("m\nz\nb\n", 6);
    read_ids(operands, 4, joined, &bad);
    assert_string_equal(joined, "z m b a");
    assert_int_equal(bad.n, 0);
}

static void lines(void **state)
{
    (void)state;
    FROM_INPUT("", "", 0);
    FROM_INPUT("\n\r\n \t \n", "", 0);
    FROM_INPUT("a", "a", 0);
    FROM_INPUT("a\nb\n", "a b", 0);
    FROM_INPUT("a\r\nb\r\n", "a b", 0);
    FROM_INPUT(" \ta\t \r\n", "a", 0);
    FROM_INPUT("a b\n-\n--\n\xef\xbb\xbf"
               "a\nb,c\na\rb\n",
               "", 6);
}

static void nothing_of_a_bad_line_is_an_id(void **state)
{
    (void)state;
    FROM_INPUT("a\0b\nc\n", "c", 1);
    FROM_INPUT("\0a\nc\n", "c", 1);
    FROM_INPUT("\0", "", 1);
    for (size_t len = 16 * 1024 - 3; len <= 16 * 1024 + 3; len++) {
        char *text = malloc(len + 4);
        assert_non_null(text);
        memset(text, 'x', len);
        memcpy(text + len, "\nab", 4);
        from_input(text, len + 3, "ab", 1);
        memset(text, ' ', len);
        text[len] = 'y'; /* and no line end: one line of blanks and "yab" */
        from_input(text, len + 3, len + 3 < 16 * 1024 ? "yab" : "", len + 3 < 16 * 1024 ? 0 : 1);
        free(text);
    }
}

static void longest(void **state)
{
    (void)state;
    char id[JOB_ID_MAX + 2] = {0};
    memset(id, 'x', JOB_ID_MAX);
    from_input(id, JOB_ID_MAX, id, 0);
    id[JOB_ID_MAX] = 'x';
    from_input(id, JOB_ID_MAX + 1, "", 1);
}

static void refusal_is_short_and_printable(void **state)
{
    (void)state;
    char *operands[] = {malloc(10001)};
    assert_non_null(operands[0]);
    memset(operands[0], '\x1b', 10000);
    operands[0][10000] = '\0';
    char joined[1024];
    struct refusals bad;
    read_ids(operands, 1, joined, &bad);
    assert_int_equal(bad.n, 1);
    assert_null(strchr(bad.first, '\x1b'));
    assert_non_null(strstr(bad.first, "???\"... is no job id"));
    free(operands[0]);
}

static void unreadable_input(void **state)
{
    (void)state;
    char *operands[] = {(char[]){"a"}, (char[]){"-"}};
    struct refusals bad = {0};
    struct err err = {0};
    struct job_ids ids = {0};
    FILE *directory = fopen("/", "r");
    assert_non_null(directory);
    assert_int_equal(dup2(fileno(directory), STDIN_FILENO), STDIN_FILENO);
    fclose(directory);
    clearerr(stdin);
    assert_int_equal(job_ids_read(&ids, operands, 2, on_bad, &bad, &err), -1);
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.msg, "standard input: "));
    job_ids_release(&ids);
    clearerr(stdin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_in_order_each_once),
        cmocka_unit_test(input_stands_where_the_dash_is),
        cmocka_unit_test(lines),
        cmocka_unit_test(nothing_of_a_bad_line_is_an_id),
        cmocka_unit_test(longest),
        cmocka_unit_test(refusal_is_short_and_printable),
        cmocka_unit_test(unreadable_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
