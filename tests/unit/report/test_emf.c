/* SPDX-License-Identifier: Apache-2.0
 *
 * emf: a line that CloudWatch takes for metrics: each that is defined has a value, and within the
 * format's limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "report/emf.h"

enum { NOW = 1579532983 };

static json_t *formatted(const struct emf *emf, const char *function)
{
    struct buf line = BUF_INIT(EMF_LINE_MAX);
    assert_true(emf_format(emf, function, NOW * 1000LL, &line));
    assert_false(buf_overflowed(&line));
    assert_null(strchr(buf_str(&line), '\n'));
    json_t *root = json_loads(buf_str(&line), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_release(&line);
    return root;
}

/* Every metric that is defined is there, and nothing else but the dimension. */
static size_t n_defined(const json_t *root)
{
    const json_t *aws = json_object_get(root, "_aws");
    assert_int_equal(json_integer_value(json_object_get(aws, "Timestamp")), NOW * 1000LL);
    const json_t *directive = json_array_get(json_object_get(aws, "CloudWatchMetrics"), 0);
    assert_string_equal(json_string_value(json_object_get(directive, "Namespace")), "Egress");
    const json_t *set = json_array_get(json_object_get(directive, "Dimensions"), 0);
    assert_string_equal(json_string_value(json_array_get(set, 0)), "FunctionName");
    const json_t *metrics = json_object_get(directive, "Metrics");
    for (size_t i = 0; i < json_array_size(metrics); i++) {
        const json_t *metric = json_array_get(metrics, i);
        assert_non_null(json_object_get(root, json_string_value(json_object_get(metric, "Name"))));
        assert_true(json_is_string(json_object_get(metric, "Unit")));
    }
    assert_int_equal(json_object_size(root), json_array_size(metrics) + 2);
    return json_array_size(metrics);
}

static void nothing_is_no_line(void **state)
{
    (void)state;
    struct emf emf = {0};
    struct buf line = BUF_INIT(EMF_LINE_MAX);
    assert_false(emf_format(&emf, "f", 0, &line));
    assert_int_equal(line.len, 0);
    buf_release(&line);
}

static void counts_and_values(void **state)
{
    (void)state;
    struct emf emf = {0};
    emf.count[EMF_STORED] = 2;
    emf.count[EMF_BYTES] = UINT64_C(5000000000);
    emf_value(&emf, EMF_SECONDS_TO_EXPIRY, 86400);
    emf_value(&emf, EMF_SECONDS_TO_EXPIRY, -5);
    json_t *root = formatted(&emf, "a \"function\"");
    assert_int_equal(n_defined(root), 3);
    assert_string_equal(json_string_value(json_object_get(root, "FunctionName")), "a \"function\"");
    assert_int_equal(json_integer_value(json_object_get(root, "Stored")), 2);
    assert_int_equal(json_integer_value(json_object_get(root, "Bytes")), 5000000000);
    const json_t *left = json_object_get(root, "SecondsToExpiry");
    assert_int_equal(json_array_size(left), 2);
    assert_int_equal(json_integer_value(json_array_get(left, 0)), 86400);
    assert_int_equal(json_integer_value(json_array_get(left, 1)), 0);
    json_decref(root);
}

static void everything_at_its_largest_fits(void **state)
{
    (void)state;
    struct emf emf = {0};
    for (int i = 0; i < EMF_COUNTS_N; i++)
        emf.count[i] = INT64_MAX;
    for (int i = 0; i < EMF_VALUES_N; i++)
        for (int j = 0; j < EMF_VALUES_MAX + 1; j++)
            emf_value(&emf, (enum emf_kind)i, INT64_MAX);
    json_t *root =
        formatted(&emf, "the-longest-name-of-a-function-has-64-characters-and-no-more-ok");
    assert_int_equal(n_defined(root), EMF_COUNTS_N + EMF_VALUES_N);
    assert_int_equal(json_array_size(json_object_get(root, "AgeAtReceipt")), EMF_VALUES_MAX);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_no_line),
        cmocka_unit_test(counts_and_values),
        cmocka_unit_test(everything_at_its_largest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
