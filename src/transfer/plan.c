/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/plan.h"

#include "core/text.h"

#define MIB (1024 * UINT64_C(1024))

/* S3 has 10,000 part numbers and parts of at least 5 MiB: 8, 16, 32 MiB x 1,000, then 64 MiB reach
 * about 492 GiB. A store with fewer numbers gets the same shape with shorter tiers. */
static const uint64_t growing_bytes[PLAN_TIERS_MAX] = {8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB};
enum { GROWING_PARTS = 1000 };

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint64_t multiply_capped(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* Parts of at most part_max bytes (half of the memory, or the store's limit) are too small for this
 * output; parts of `need` bytes would do. */
static int refuse(int64_t size, const struct sink_limits *limits, uint64_t part_max, uint64_t need,
                  struct err *err)
{
    char what[96] = "an output of unknown length";
    char size_text[TEXT_SIZE_MAX], part_text[TEXT_SIZE_MAX], most_text[TEXT_SIZE_MAX];
    if (size >= 0)
        snprintf(what, sizeof(what), "an output of %s (%lld bytes)",
                 text_format_size((uint64_t)size, size_text), (long long)size);
    bool too_large_for_store = need > limits->part_max;
    uint64_t limit = too_large_for_store ? limits->part_max : part_max;
    text_format_size(limit, part_text);
    text_format_size(multiply_capped(limit, limits->parts_max), most_text);
    if (too_large_for_store)
        return err_set(err, ERR_TOO_LARGE,
                       "%s is more than the destination takes: %s, in %u parts of at most %s", what,
                       most_text, limits->parts_max, part_text);
    unsigned long long memory_mib = divide_up(2 * need, MIB);
    if (limit < limits->part_min)
        return err_set(err, ERR_TOO_LARGE,
                       "%s does not fit: parts of at most %s (half of --memory) are smaller than "
                       "the destination takes; it needs --memory %lluMiB",
                       what, part_text, memory_mib);
    return err_set(err, ERR_TOO_LARGE,
                   "%s is too large: %u parts of at most %s (half of --memory) hold %s; it needs "
                   "--memory %lluMiB",
                   what, limits->parts_max, part_text, most_text, memory_mib);
}

static int layout_known(uint64_t size, const struct sink_limits *limits, uint64_t part_max,
                        struct plan_layout *layout, struct err *err)
{
    uint64_t need = max_u64(divide_up(size, limits->parts_max), limits->part_min);
    uint64_t part = multiply_capped(divide_up(need, MIB), MIB);
    part = min_u64(max_u64(part, growing_bytes[0]), part_max);
    layout->single = size <= part;
    if (!layout->single && part < need)
        return refuse((int64_t)size, limits, part_max, need, err);
    uint64_t parts = layout->single ? 1 : divide_up(size, part);
    layout->tiers[0] = (struct plan_tier){layout->single ? size : part, (uint32_t)parts};
    return 0;
}

static int layout_growing(const struct sink_limits *limits, uint64_t part_max,
                          struct plan_layout *layout, struct err *err)
{
    if (part_max < limits->part_min)
        return refuse(-1, limits, part_max, limits->part_min, err);
    uint32_t left = limits->parts_max;
    uint32_t step = (uint32_t)min_u64(left / 10, GROWING_PARTS);
    for (int i = 0; i < PLAN_TIERS_MAX; i++) {
        uint32_t parts = i == PLAN_TIERS_MAX - 1 ? left : step;
        uint64_t bytes = min_u64(max_u64(growing_bytes[i], limits->part_min), part_max);
        layout->tiers[i] = (struct plan_tier){bytes, parts};
        left -= parts;
    }
    return 0;
}

int plan_layout_for(int64_t size, const struct sink_limits *limits, uint64_t memory,
                    struct plan_layout *layout, struct err *err)
{
    CHECK(limits->parts_max > 0 && limits->part_max >= limits->part_min);
    struct plan_layout got = {.size = size < 0 ? -1 : size};
    uint64_t part_max = min_u64(limits->part_max, memory / 2);
    int rc = size < 0 ? layout_growing(limits, part_max, &got, err)
                      : layout_known((uint64_t)size, limits, part_max, &got, err);
    if (rc == 0)
        *layout = got;
    return rc;
}

bool plan_part(const struct plan_layout *layout, uint32_t number, uint64_t *offset, uint64_t *len)
{
    if (number == 0)
        return false;
    uint64_t start = 0;
    uint32_t index = number - 1;
    for (const struct plan_tier *t = layout->tiers; t < layout->tiers + PLAN_TIERS_MAX; t++) {
        if (index < t->parts) {
            *offset = start + index * t->part_bytes;
            *len = layout->size < 0 ? t->part_bytes
                                    : min_u64(t->part_bytes, (uint64_t)layout->size - *offset);
            return true;
        }
        start += t->parts * t->part_bytes;
        index -= t->parts;
    }
    return false;
}

uint32_t plan_part_count(const struct plan_layout *layout, uint64_t size)
{
    if (size > plan_size_max(layout))
        return 0;
    if (size == 0)
        return 1;
    uint32_t count = 0;
    for (const struct plan_tier *t = layout->tiers; size > 0; t++) {
        uint64_t held = min_u64(size, t->parts * t->part_bytes);
        if (held)
            count += (uint32_t)divide_up(held, t->part_bytes);
        size -= held;
    }
    return count;
}

uint64_t plan_size_max(const struct plan_layout *layout)
{
    if (layout->size >= 0)
        return (uint64_t)layout->size;
    uint64_t max = 0;
    for (int i = 0; i < PLAN_TIERS_MAX; i++)
        max += layout->tiers[i].parts * layout->tiers[i].part_bytes;
    return max;
}

uint64_t plan_part_max(const struct plan_layout *layout)
{
    uint64_t max = 0;
    for (int i = 0; i < PLAN_TIERS_MAX; i++)
        if (layout->tiers[i].parts)
            max = max_u64(max, layout->tiers[i].part_bytes);
    return max;
}

int plan_outgrown(const struct plan_layout *layout, struct err *err)
{
    char max_text[TEXT_SIZE_MAX];
    text_format_size(plan_size_max(layout), max_text);
    uint64_t largest = growing_bytes[PLAN_TIERS_MAX - 1];
    if (plan_part_max(layout) < largest)
        return err_set(err, ERR_TOO_LARGE,
                       "an output of unknown length is longer than %s, the most that this --memory "
                       "allows; --memory %lluMiB allows the most there is",
                       max_text, (unsigned long long)divide_up(2 * largest, MIB));
    return err_set(err, ERR_TOO_LARGE,
                   "an output of unknown length is longer than %s, the most that is supported "
                   "without its length",
                   max_text);
}
