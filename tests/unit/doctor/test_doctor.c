/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "doctor/doctor.h"
#include "doctor/doctor_part.h"

static const enum setting accepted[] = {SET_TO, SET_CONNECT_TIMEOUT, SET_READ_TIMEOUT};

/* A Date is cut to the second and as old as its way was long: what that explains is no fault. */
static void clock_off(void **state)
{
    (void)state;
    assert_int_equal(doctor_clock_off_s(1000000, 1000000), 0);
    assert_int_equal(doctor_clock_off_s(1000999, 1000000), 0);
    assert_int_equal(doctor_clock_off_s(1001999, 1000000), 0);
    assert_int_equal(doctor_clock_off_s(1002000, 1000000), 1);
    assert_int_equal(doctor_clock_off_s(1062000, 1000000), 61);
    assert_int_equal(doctor_clock_off_s(999001, 1000000), 0);
    assert_int_equal(doctor_clock_off_s(940000, 1000000), -60);
}

struct heard {
    struct doctor *doctor;
    int lines;
    bool ended;
};

static void on_check(void *arg, const struct doctor_check *check)
{
    struct heard *heard = arg;
    heard->lines++;
    assert_non_null(check->name);
    assert_true((check->status == DOCTOR_FAIL) == (check->err != NULL));
}

static void on_end(void *arg)
{
    struct heard *heard = arg;
    assert_false(heard->ended);
    heard->ended = true;
    loop_stop(doctor_loop(heard->doctor));
}

static struct doctor *start(struct heard *heard, struct settings *s, const char *to,
                            struct err *err)
{
    char *argv[] = {(char *)(uintptr_t) "--to", (char *)(uintptr_t)to};
    int n_operands;
    assert_int_equal(settings_parse(s, accepted, 3, to ? 2 : 0, argv, &n_operands, err), 0);
    const struct doctor_config config = {
        .settings = s, .on_check = on_check, .on_end = on_end, .arg = heard};
    heard->doctor = doctor_new(&config, err);
    return heard->doctor;
}

static void no_destination_of_that_kind(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct settings s;
    struct err err = {0};
    assert_null(start(&heard, &s, "ftp://x", &err));
    assert_int_equal(err.code, ERR_USAGE);
}

/* No token: what needs one is told as skipped, the rest is tried. */
static void one_line_a_check(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct settings s;
    struct err err = {0};
    struct doctor *d = start(&heard, &s, NULL, &err);
    assert_non_null(d);
    doctor_start(d);
    loop_run(doctor_loop(d));
    assert_true(heard.ended);
    assert_int_equal(heard.lines, 5);
    doctor_free(d);
}

static void cancelled_before_it_began(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct settings s;
    struct err err = {0};
    struct doctor *d = start(&heard, &s, "s3://some-bucket", &err);
    assert_non_null(d);
    doctor_start(d);
    doctor_cancel(d);
    doctor_cancel(d);
    loop_run(doctor_loop(d));
    assert_true(heard.ended);
    assert_int_equal(heard.lines, 0);
    doctor_free(d);
    doctor_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_off),
        cmocka_unit_test(no_destination_of_that_kind),
        cmocka_unit_test(one_line_a_check),
        cmocka_unit_test(cancelled_before_it_began),
    };
    /* Nobody's token or profile. */
    static const char *const names[] = {"VOXEL51_API_PRIVATE_KEY", "VOXEL51_API_TOKEN", "HOME",
                                        "AWS_PROFILE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
