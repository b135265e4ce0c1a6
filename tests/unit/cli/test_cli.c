/* SPDX-License-Identifier: Apache-2.0
 *
 * test_cli: the command table, and the one status of a run that ended in several ways.
 */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void merging_statuses(void **state)
{
    (void)state;
    static const int order[] = {STATUS_OK,    STATUS_NEVER,   STATUS_RETRY,     STATUS_DIFFERENT,
                                STATUS_USAGE, STATUS_REFUSED, STATUS_SIGNAL + 2};
    enum { N = sizeof(order) / sizeof(order[0]) };
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            assert_int_equal(cli_status_merge(order[i], order[k]), order[i > k ? i : k]);
}

/* Every error of core/err.h ends in a status that is documented. */
static void every_error_has_a_status(void **state)
{
    (void)state;
    static const enum err_code codes[] = {
#define CODE(code, ...) code,
        ERR_CODES(CODE)
#undef CODE
    };
    for (size_t i = 1; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct err err = {.code = codes[i]};
        assert_in_range(err_exit_status(&err), STATUS_RETRY, STATUS_NEVER);
        /* "worth another try" is what status 1 says; only a bug of ours has it without being so */
        if (err_is_retryable(&err))
            assert_int_equal(err_exit_status(&err), STATUS_RETRY);
    }
}

static void the_table_is_sound(void **state)
{
    (void)state;
    size_t n;
    const struct command *commands = cli_commands(&n);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        const struct command *c = &commands[i];
        assert_non_null(c->name);
        assert_non_null(c->run);
        assert_non_null(c->operands);
        assert_non_null(c->summary);
        assert_true(c->max_operands == -1 || c->min_operands <= c->max_operands);
        /* an operand has a name that messages can use */
        assert_true(c->max_operands == 0 || *c->operands);
        for (size_t k = 0; k < c->n_accepted; k++)
            for (size_t j = 0; j < k; j++)
                assert_int_not_equal(c->accepted[k], c->accepted[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging_statuses),
        cmocka_unit_test(every_error_has_a_status),
        cmocka_unit_test(the_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
