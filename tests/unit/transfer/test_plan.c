/* SPDX-License-Identifier: Apache-2.0
 *
 * plan: the parts tile every object exactly, within the store's limits and the memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/buf.h"
#include "transfer/plan.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

static const struct sink_limits s3 = {5 * MIB, 5 * GIB, 10000, true};
static const struct sink_limits few_parts = {5 * MIB, 5 * GIB, 1000, true};
static const struct sink_limits directory = {1, UINT64_C(1) << 40, UINT32_MAX, false};
static const struct sink_limits odd = {9 * MIB + 1, 9 * MIB + 1, 7, true};
static const struct sink_limits equal = {5 * MIB, 5 * GIB, 10000, true, true};
static const struct sink_limits *const all_limits[] = {&s3, &few_parts, &directory, &odd, &equal};
enum { N_LIMITS = sizeof(all_limits) / sizeof(all_limits[0]) };

static struct plan_layout layout_of(int64_t size, const struct sink_limits *limits, uint64_t memory)
{
    struct plan_layout layout;
    struct err err = {0};
    if (plan_layout_for(size, limits, memory, &layout, &err) < 0)
        fail_msg("%lld: %s", (long long)size, err.msg);
    return layout;
}

static uint64_t offset_of(const struct plan_layout *layout, uint32_t number)
{
    uint64_t offset = UINT64_MAX, len;
    assert_true(plan_part(layout, number, &offset, &len));
    return offset;
}

/* Parts `from`..`to` follow each other without a gap, and each keeps to the limits. */
static void check_run(const struct plan_layout *layout, const struct sink_limits *limits,
                      uint64_t memory, uint32_t from, uint32_t to)
{
    uint64_t expected = offset_of(layout, from);
    uint32_t last =
        layout->size >= 0 ? plan_part_count(layout, (uint64_t)layout->size) : limits->parts_max;
    for (uint32_t n = from; n <= to; n++) {
        uint64_t offset, len;
        assert_true(plan_part(layout, n, &offset, &len));
        assert_true(offset == expected);
        assert_true(len <= memory / 2 && len <= limits->part_max && len <= plan_part_max(layout));
        assert_true(len >= limits->part_min || n == last);
        assert_true(len > 0 || layout->size == 0);
        expected += len;
    }
}

static void check_known(uint64_t size, const struct sink_limits *limits, uint64_t memory)
{
    struct plan_layout layout = layout_of((int64_t)size, limits, memory);
    uint32_t count = plan_part_count(&layout, size);
    uint64_t offset, len;
    assert_in_range(count, 1, limits->parts_max);
    assert_int_equal(offset_of(&layout, 1), 0);
    assert_true(plan_part(&layout, count, &offset, &len));
    assert_true(offset + len == size);
    assert_false(plan_part(&layout, count + 1, &offset, &len));
    assert_false(plan_part(&layout, 0, &offset, &len));
    assert_false(plan_part(&layout, UINT32_MAX, &offset, &len) && count < UINT32_MAX);
    assert_int_equal(layout.single, count == 1);
    assert_true(plan_size_max(&layout) == size);
    assert_int_equal(plan_part_count(&layout, size + 1), 0);
    uint32_t edge = count < 300 ? count : 300;
    check_run(&layout, limits, memory, 1, edge);
    check_run(&layout, limits, memory, count - edge + 1, count);
}

static void known_sizes_are_tiled_exactly(void **state)
{
    (void)state;
    const uint64_t memories[] = {16 * MIB, 20 * MIB + 3, 64 * MIB, GIB, 12 * GIB};
    const uint64_t sizes[] = {0,   1,        4095,     5 * MIB, 8 * MIB,  9 * MIB,        64 * MIB,
                              GIB, 20 * GIB, 79 * GIB, TIB,     48 * TIB, 10000 * 5 * GIB};
    for (size_t m = 0; m < sizeof(memories) / sizeof(memories[0]); m++) {
        for (size_t l = 0; l < N_LIMITS; l++) {
            for (size_t s = 0; s < 3 * sizeof(sizes) / sizeof(sizes[0]); s++) {
                uint64_t size = sizes[s / 3] + s % 3 - 1; /* one less, as it is, one more */
                struct plan_layout layout;
                struct err err = {0};
                if (size == UINT64_MAX)
                    continue;
                if (plan_layout_for((int64_t)size, all_limits[l], memories[m], &layout, &err) == 0)
                    check_known(size, all_limits[l], memories[m]);
                else
                    assert_int_equal(err.code, ERR_TOO_LARGE);
            }
        }
    }
}

static void random_sizes_are_tiled_exactly(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252;
    for (int i = 0; i < 2000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        check_known(x >> (x % 40 + 24), &s3, TIB);
    }
}

static void small_ones_are_put_whole(void **state)
{
    (void)state;
    assert_true(layout_of(0, &s3, 64 * MIB).single);
    assert_true(layout_of(1, &s3, 64 * MIB).single);
    assert_true(layout_of(8 * MIB, &s3, 64 * MIB).single);
    assert_false(layout_of(8 * MIB + 1, &s3, 64 * MIB).single);
    assert_false(layout_of(-1, &s3, 64 * MIB).single);
    struct plan_layout empty = layout_of(0, &s3, 64 * MIB);
    uint64_t offset = 7, len = 7;
    assert_true(plan_part(&empty, 1, &offset, &len));
    assert_true(offset == 0 && len == 0);
    assert_true(plan_part_max(&empty) == 0);
    struct plan_layout small = layout_of(1000, &s3, 64 * MIB);
    assert_true(plan_part_max(&small) == 1000);
    /* Whole even where memory is too small for the store's parts. */
    assert_true(layout_of(1000, &s3, 4 * MIB).single);
}

static void known_sizes_have_uniform_parts(void **state)
{
    (void)state;
    struct plan_layout layout = layout_of(GIB, &s3, 64 * MIB);
    assert_true(plan_part_max(&layout) == 8 * MIB);
    assert_int_equal(plan_part_count(&layout, GIB), 128);
    /* ceil(200 GiB / 10,000) is 20.48 MiB */
    layout = layout_of((int64_t)(200 * GIB), &s3, 64 * MIB);
    assert_true(plan_part_max(&layout) == 21 * MIB);
    assert_true(offset_of(&layout, 101) == 2100 * MIB);
    /* The largest for this memory: 10,000 parts of half of it. */
    layout = layout_of((int64_t)(10000 * 32 * MIB), &s3, 64 * MIB);
    assert_int_equal(plan_part_count(&layout, 10000 * 32 * MIB), 10000);
    /* The largest S3 takes. */
    layout = layout_of((int64_t)(10000 * 5 * GIB), &s3, 10 * GIB);
    assert_int_equal(plan_part_count(&layout, 10000 * 5 * GIB), 10000);
}

static void unknown_sizes_grow(void **state)
{
    (void)state;
    struct plan_layout layout = layout_of(-1, &s3, 128 * MIB);
    assert_true(offset_of(&layout, 1001) == 8000 * MIB);
    assert_true(offset_of(&layout, 2001) == 24000 * MIB);
    assert_true(offset_of(&layout, 3001) == 56000 * MIB);
    check_run(&layout, &s3, 128 * MIB, 1, 10000);
    uint64_t offset, len;
    assert_true(plan_part(&layout, 10000, &offset, &len));
    assert_true(offset + len == plan_size_max(&layout));
    assert_int_equal(plan_size_max(&layout) / GIB, 492);
    assert_false(plan_part(&layout, 10001, &offset, &len));
    assert_true(plan_part_max(&layout) == 64 * MIB);
}

static void unknown_sizes_keep_to_memory_and_limits(void **state)
{
    (void)state;
    struct plan_layout layout = layout_of(-1, &s3, 64 * MIB);
    check_run(&layout, &s3, 64 * MIB, 1, 10000);
    assert_true(plan_size_max(&layout) == (56000 + 7000 * 32) * MIB);
    layout = layout_of(-1, &s3, 16 * MIB);
    check_run(&layout, &s3, 16 * MIB, 1, 10000);
    assert_true(plan_size_max(&layout) == 80000 * MIB);
    layout = layout_of(-1, &few_parts, 128 * MIB);
    check_run(&layout, &few_parts, 128 * MIB, 1, 1000);
    assert_true(plan_size_max(&layout) == (5600 + 700 * 64) * MIB);
    layout = layout_of(-1, &odd, 128 * MIB);
    check_run(&layout, &odd, 128 * MIB, 1, 7);
    layout = layout_of(-1, &directory, 128 * MIB);
    check_run(&layout, &directory, 128 * MIB, 2990, 3010);
    assert_true(offset_of(&layout, UINT32_MAX) > 1000 * TIB);
}

static void refused(int64_t size, const struct sink_limits *limits, uint64_t memory,
                    const char *says)
{
    struct plan_layout layout;
    struct err err = {0};
    assert_int_equal(plan_layout_for(size, limits, memory, &layout, &err), -1);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

/* Part sizes of an output of unknown length: "8x1000 16x1000 ...", in MiB. */
static void check_tiers(const struct sink_limits *limits, uint64_t memory, const char *expected)
{
    struct plan_layout layout = layout_of(-1, limits, memory);
    struct buf text = BUF_INIT(512);
    for (int i = 0; i < PLAN_TIERS_MAX && layout.tiers[i].parts; i++)
        buf_printf(&text, "%s%llux%u", i ? " " : "",
                   (unsigned long long)(layout.tiers[i].part_bytes / MIB), layout.tiers[i].parts);
    assert_string_equal(buf_str(&text), expected);
    buf_release(&text);
}

static void unknown_sizes_go_as_far_as_memory_allows(void **state)
{
    (void)state;
    struct sink_limits limits = s3;
    check_tiers(&s3, 16 * MIB, "8x10000");
    check_tiers(&s3, 64 * MIB, "8x1000 16x1000 32x8000");
    check_tiers(&s3, GIB, "8x1000 16x1000 32x1000 64x1000 128x1000 256x1000 512x4000");
    check_tiers(&s3, TIB,
                "8x1000 16x1000 32x1000 64x1000 128x1000 256x1000 512x1000 1024x1000 2048x1000 "
                "4096x1000");
    check_tiers(&few_parts, 64 * MIB, "8x100 16x100 32x800");
    limits.parts_max = 20;
    check_tiers(&limits, 64 * MIB, "8x2 16x2 32x16");
    limits.parts_max = 3;
    check_tiers(&limits, 64 * MIB, "32x3");
    limits.parts_max = 1;
    check_tiers(&limits, 64 * MIB, "32x1");
}

static void equal_parts_of_unknown_sizes(void **state)
{
    (void)state;
    struct sink_limits limits = equal;
    check_tiers(&equal, 16 * MIB, "8x10000"); /* half of it */
    check_tiers(&equal, 24 * MIB, "8x10000");
    check_tiers(&equal, 64 * MIB, "16x10000");
    check_tiers(&equal, TIB, "5120x10000");
    check_run(&(struct plan_layout){-1, false, {{16 * MIB, 10000}}}, &equal, 64 * MIB, 1, 10000);
    limits.parts_max = 3;
    check_tiers(&limits, 64 * MIB, "16x3");
    refused(-1, &equal, 8 * MIB, "--memory 10MiB");
}

static void few_parts_say_what_they_need(void **state)
{
    (void)state;
    struct sink_limits limits = equal;
    limits.parts_max = 3;
    refused(100 * (int64_t)MIB, &limits, 64 * MIB, "3 parts of at most 32.0 MiB");
    refused(100 * (int64_t)MIB, &limits, 64 * MIB, "--memory 67MiB");
    check_known(100 * MIB, &limits, 67 * MIB);
    refused((int64_t)(15 * GIB) + 1, &limits, TIB, "more than the destination takes: 15.0 GiB");
}

/* An upload begun under other settings goes on only if it can be ended under these. */
static void layouts_that_suit(void **state)
{
    (void)state;
    struct plan_layout growing = layout_of(-1, &s3, 64 * MIB);
    struct plan_layout even = layout_of(-1, &equal, 64 * MIB);
    struct plan_layout known = layout_of((int64_t)GIB, &s3, 64 * MIB); /* 128 parts */
    struct sink_limits limits = few_parts;
    assert_true(plan_layout_suits(&growing, &s3));
    assert_false(plan_layout_suits(&growing, &equal));
    assert_false(plan_layout_suits(&growing, &few_parts));
    assert_true(plan_layout_suits(&even, &s3) && plan_layout_suits(&even, &equal));
    assert_true(plan_layout_suits(&known, &equal) && plan_layout_suits(&known, &few_parts));
    limits.parts_max = 128;
    assert_true(plan_layout_suits(&known, &limits));
    limits.parts_max = 127;
    assert_false(plan_layout_suits(&known, &limits));
    struct plan_layout made_up = known; /* by whoever has written into the receipt */
    made_up.tiers[0].parts--;
    assert_false(plan_layout_suits(&made_up, &s3));
    made_up = growing;
    made_up.tiers[0].part_bytes = s3.part_min - 1;
    assert_false(plan_layout_suits(&made_up, &s3));
    made_up.tiers[0].part_bytes = s3.part_max + 1;
    assert_false(plan_layout_suits(&made_up, &s3));
}

static void parts_of_a_size_that_became_known(void **state)
{
    (void)state;
    struct plan_layout layout = layout_of(-1, &s3, 128 * MIB);
    static const struct {
        uint64_t size;
        uint32_t parts;
    } rows[] = {{0, 1},
                {1, 1},
                {8 * MIB, 1},
                {8 * MIB + 1, 2},
                {8000 * MIB, 1000},
                {8000 * MIB + 1, 1001},
                {8016 * MIB, 1001},
                {8016 * MIB + 1, 1002},
                {56000 * MIB, 3000},
                {56000 * MIB + 1, 3001},
                {504000 * MIB, 10000},
                {504000 * MIB + 1, 0},
                {UINT64_MAX, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(plan_part_count(&layout, rows[i].size), rows[i].parts);
}

static void too_large_says_what_it_needs(void **state)
{
    (void)state;
    refused((int64_t)TIB, &s3, 64 * MIB, "1.0 TiB (1099511627776 bytes) is too large");
    refused((int64_t)TIB, &s3, 64 * MIB, "hold 312.5 GiB");
    refused((int64_t)TIB, &s3, 64 * MIB, "--memory 210MiB");
    assert_false(layout_of((int64_t)TIB, &s3, 210 * MIB).single);
    refused((int64_t)TIB, &s3, 209 * MIB, "--memory 210MiB");
    refused((int64_t)(10000 * 5 * GIB) + 1, &s3, TIB, "more than the destination takes: 48.8 TiB");
    refused(INT64_MAX, &s3, 64 * MIB, "more than the destination takes");
    refused((int64_t)GIB, &s3, 8 * MIB, "--memory 10MiB");
    refused(-1, &s3, 8 * MIB, "--memory 10MiB");
}

static void the_memory_asked_for_is_enough(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252;
    for (int i = 0; i < 1000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t size = x % (10000 * 5 * GIB);
        struct plan_layout layout;
        struct err err = {0};
        if (plan_layout_for((int64_t)size, &s3, 16 * MIB, &layout, &err) == 0)
            continue;
        const char *flag = strstr(err.msg, "--memory ");
        while (flag && strstr(flag + 1, "--memory "))
            flag = strstr(flag + 1, "--memory ");
        assert_non_null(flag);
        uint64_t mib = strtoull(flag + strlen("--memory "), NULL, 10);
        check_known(size, &s3, mib * MIB);
        assert_int_equal(plan_layout_for((int64_t)size, &s3, (mib - 1) * MIB, &layout, &err), -1);
    }
}

static void outgrown_says_what_would_help(void **state)
{
    (void)state;
    struct err err = {0};
    struct plan_layout layout = layout_of(-1, &s3, 64 * MIB);
    assert_int_equal(plan_outgrown(&layout, &err), -1);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_non_null(strstr(err.msg, "longer than 273.4 GiB"));
    assert_non_null(strstr(err.msg, "10000 parts of at most 32.0 MiB"));
    assert_non_null(strstr(err.msg, "--memory, such as 256MiB"));
    struct plan_layout larger = layout_of(-1, &s3, 256 * MIB);
    assert_true(plan_size_max(&larger) > 2 * plan_size_max(&layout));
    layout = layout_of(-1, &equal, 64 * MIB);
    plan_outgrown(&layout, &err);
    assert_non_null(strstr(err.msg, "longer than 156.2 GiB"));
    assert_non_null(strstr(err.msg, "--memory, such as 128MiB"));
    layout = layout_of(-1, &s3, TIB);
    plan_outgrown(&layout, &err);
    assert_non_null(strstr(err.msg, "longer than 7.8 TiB"));
    assert_null(strstr(err.msg, "--memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sizes_are_tiled_exactly),
        cmocka_unit_test(random_sizes_are_tiled_exactly),
        cmocka_unit_test(small_ones_are_put_whole),
        cmocka_unit_test(known_sizes_have_uniform_parts),
        cmocka_unit_test(unknown_sizes_grow),
        cmocka_unit_test(unknown_sizes_keep_to_memory_and_limits),
        cmocka_unit_test(unknown_sizes_go_as_far_as_memory_allows),
        cmocka_unit_test(equal_parts_of_unknown_sizes),
        cmocka_unit_test(few_parts_say_what_they_need),
        cmocka_unit_test(layouts_that_suit),
        cmocka_unit_test(parts_of_a_size_that_became_known),
        cmocka_unit_test(too_large_says_what_it_needs),
        cmocka_unit_test(the_memory_asked_for_is_enough),
        cmocka_unit_test(outgrown_says_what_would_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
