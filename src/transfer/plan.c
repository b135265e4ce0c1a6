/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/plan.h"

#include "core/text.h"

#define MIB (1024 * UINT64_C(1024))

/* S3 has 10,000 part numbers and parts of at least 5 MiB. An output of unknown length begins with
 * parts of 8 MiB, which double with every 1,000 of them until half of the memory is reached: with
 * 128 MiB of it that is 8, 16, 32 MiB x 1,000, then 64 MiB, about 492 GiB. A store with fewer
 * numbers gets the same shape with shorter tiers. */
#define FIRST_BYTES (8 * MIB)
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
    part = min_u64(max_u64(part, FIRST_BYTES), part_max);
    layout->single = size <= part;
    if (!layout->single && part < need)
        return refuse((int64_t)size, limits, part_max, need, err);
    uint64_t parts = layout->single ? 1 : divide_up(size, part);
    layout->tiers[0] = (struct plan_tier){layout->single ? size : part, (uint32_t)parts};
    return 0;
}

static void layout_growing(const struct sink_limits *limits, uint64_t part_max,
                           struct plan_layout *layout)
{
    uint32_t left = limits->parts_max;
    uint32_t step = (uint32_t)min_u64(left / PLAN_TIERS_MAX, GROWING_PARTS);
    for (int i = 0; left > 0; i++) {
        uint64_t bytes = step ? max_u64(FIRST_BYTES << i, limits->part_min) : part_max;
        bool largest = bytes >= part_max || i == PLAN_TIERS_MAX - 1;
        uint32_t parts = largest ? left : step;
        layout->tiers[i] = (struct plan_tier){min_u64(bytes, part_max), parts};
        left -= parts;
    }
}

/* A quarter of the memory: half of it would reach twice as far, but let one output at a time move
 * through two buffers only. */
static void layout_equal(const struct sink_limits *limits, uint64_t part_max, uint64_t memory,
                         struct plan_layout *layout)
{
    uint64_t bytes = max_u64(max_u64(memory / 4, FIRST_BYTES), limits->part_min);
    layout->tiers[0] = (struct plan_tier){min_u64(bytes, part_max), limits->parts_max};
}

int plan_layout_for(int64_t size, const struct sink_limits *limits, uint64_t memory,
                    struct plan_layout *layout, struct err *err)
{
    CHECK(limits->parts_max > 0 && limits->part_max >= limits->part_min);
    struct plan_layout got = {.size = size < 0 ? -1 : size};
    uint64_t part_max = min_u64(limits->part_max, memory / 2);
    if (size >= 0) {
        if (layout_known((uint64_t)size, limits, part_max, &got, err) < 0)
            return -1;
    } else if (part_max < limits->part_min) {
        return refuse(-1, limits, part_max, limits->part_min, err);
    } else if (limits->equal_parts) {
        layout_equal(limits, part_max, memory, &got);
    } else {
        layout_growing(limits, part_max, &got);
    }
    *layout = got;
    return 0;
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

bool plan_layout_suits(const struct plan_layout *layout, const struct sink_limits *limits)
{
    uint64_t parts = 0, bytes = 0;
    for (int i = 0; i < PLAN_TIERS_MAX && layout->tiers[i].parts; i++) {
        const struct plan_tier *t = &layout->tiers[i];
        if (limits->equal_parts && t->part_bytes != layout->tiers[0].part_bytes)
            return false;
        if (t->part_bytes < limits->part_min || t->part_bytes > limits->part_max)
            return false;
        parts += t->parts;
        bytes += multiply_capped(t->parts, t->part_bytes);
    }
    return parts <= limits->parts_max && (layout->size < 0 || bytes >= (uint64_t)layout->size);
}

int plan_outgrown(const struct plan_layout *layout, struct err *err)
{
    char max_text[TEXT_SIZE_MAX], part_text[TEXT_SIZE_MAX];
    uint64_t part_max = plan_part_max(layout);
    uint32_t parts = 0;
    for (int i = 0; i < PLAN_TIERS_MAX; i++)
        parts += layout->tiers[i].parts;
    text_format_size(plan_size_max(layout), max_text);
    text_format_size(part_max, part_text);
    if (part_max < FIRST_BYTES << (PLAN_TIERS_MAX - 1))
        return err_set(err, ERR_TOO_LARGE,
                       "an output of unknown length is longer than %s, the most that %u parts of "
                       "at most %s hold; a larger --memory, such as %lluMiB, takes more",
                       max_text, parts, part_text,
                       (unsigned long long)divide_up(8 * part_max, MIB));
    return err_set(err, ERR_TOO_LARGE,
                   "an output of unknown length is longer than %s, the most that is supported "
                   "without its length",
                   max_text);
}
