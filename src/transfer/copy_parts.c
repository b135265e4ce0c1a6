/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_parts: the buffers of a copy: how they are had, filled, sent and given back.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/fault_point.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/pages.h"
#include "transfer/copy_private.h"

static void on_granted(void *arg, bool granted)
{
    struct copy *c = arg;
    c->claiming = false;
    if (granted) {
        c->spare += c->claim.bytes;
        c->share = SHARE_LARGE;
    }
    copy_go_on(c);
}

/* Claims more, of which `held` bytes are here already. */
static void claim(struct copy *c, uint64_t bytes, uint64_t held)
{
    uint64_t carry = c->share == SHARE_SMALL ? held : 0;
    c->claiming = true;
    part_pool_claim_large(c->rq.pool, &c->claim, bytes, carry, on_granted, c);
}

static void give_back(struct copy *c, uint64_t bytes)
{
    part_pool_release(c->rq.pool, bytes, c->share);
}

/* NULL: the copy has failed. */
static char *new_data(struct copy *c, uint64_t bytes)
{
    char *data = pages_alloc(bytes);
    if (!data) {
        struct err err = {0};
        err_set(&err, ERR_IO, "no memory for a part of %llu bytes; a smaller --memory may help",
                (unsigned long long)bytes);
        copy_fail(c, &err);
    }
    return data;
}

static struct part *new_part(struct copy *c, uint64_t cap)
{
    char *data = new_data(c, cap);
    if (!data)
        return NULL;
    struct part *p = xcalloc(1, sizeof(*p));
    CHECK(c->spare >= cap);
    c->spare -= cap;
    *p = (struct part){.copy = c, .data = data, .cap = cap, .next = c->parts};
    c->parts = p;
    return p;
}

static void free_part(struct copy *c, struct part *part)
{
    struct part **at = &c->parts;
    while (*at && *at != part)
        at = &(*at)->next;
    CHECK(*at);
    *at = part->next;
    give_back(c, part->cap);
    free(part->data);
    free(part);
}

void copy_free_parts(struct copy *c)
{
    CHECK(c->in_flight == 0);
    while (c->parts)
        free_part(c, c->parts);
    c->filling = NULL;
    give_back(c, c->spare);
    c->spare = 0;
}

void copy_begin_part(struct copy *c, struct part *p, uint64_t offset, uint64_t want)
{
    p->number = c->next_number++;
    p->offset = offset;
    p->want = want < p->cap ? want : p->cap;
    p->len = 0;
    p->crc32c = 0;
}

/* Makes `p` the part that is filled. */
static void fill(struct copy *c, struct part *p, uint64_t offset, uint64_t want)
{
    copy_begin_part(c, p, offset, want);
    c->filling = p;
}

int copy_plan(struct copy *c, struct err *err)
{
    if (plan_layout_for(c->size, &c->rq.sink->limits, part_pool_size(c->rq.pool), &c->layout, err) <
        0)
        return -1;
    uint64_t offset, len;
    CHECK(plan_part(&c->layout, 1, &offset, &len));
    c->next_number = 1;
    c->part_bytes = len;
    if (c->size >= 0 && len < c->spare) {
        give_back(c, c->spare - len);
        c->spare = len;
    }
    return 0;
}

/* The first buffer: as large as the output needs if that is known, a small one that may grow if
 * not. */
static bool first_buffer(struct copy *c)
{
    uint64_t need = c->part_bytes;
    if (c->size < 0 && need > COPY_SCOUT_BYTES)
        need = COPY_SCOUT_BYTES;
    if (c->spare < need) {
        claim(c, need - c->spare, c->spare);
        return false;
    }
    struct part *p = new_part(c, need);
    if (p)
        fill(c, p, 0, need);
    return p != NULL;
}

/* The first buffer was a small one and there is more: it becomes one of a part's size. */
static bool grow_first(struct copy *c)
{
    struct part *p = c->filling;
    uint64_t more = c->part_bytes - p->cap;
    if (c->spare < more) {
        claim(c, more - c->spare, c->spare + p->cap);
        return false;
    }
    char *data = new_data(c, c->part_bytes);
    if (!data)
        return false;
    memcpy(data, p->data, p->len);
    free(p->data);
    c->spare -= more;
    p->data = data;
    p->cap = p->want = c->part_bytes;
    return true;
}

/* The layout goes on with larger parts: all buffers are given back before the first larger one is
 * claimed, so that several copies that grow at once do not hold what the others wait for. */
static bool grow_parts(struct copy *c, uint64_t len)
{
    if (c->in_flight)
        return false;
    copy_free_parts(c);
    c->part_bytes = len;
    claim(c, len, 0);
    return false;
}

static struct part *idle_part(struct copy *c)
{
    for (struct part *p = c->parts; p; p = p->next)
        if (!p->op && !p->taken)
            return p;
    return NULL;
}

static unsigned idle_parts(const struct copy *c)
{
    unsigned n = 0;
    for (const struct part *p = c->parts; p; p = p->next)
        n += !p->op && !p->taken && p != c->filling;
    return n;
}

struct part *copy_spare_part(struct copy *c)
{
    struct part *p = idle_part(c);
    if (p || (!c->spare && !part_pool_try(c->rq.pool, c->part_bytes)))
        return p;
    if (!c->spare)
        c->spare = c->part_bytes;
    return new_part(c, c->part_bytes);
}

static bool next_buffer(struct copy *c)
{
    uint64_t offset, len;
    if (!plan_part(&c->layout, c->next_number, &offset, &len)) {
        struct err err = {0};
        plan_outgrown(&c->layout, &err);
        copy_fail(c, &err);
        return false;
    }
    if (len > c->part_bytes)
        return grow_parts(c, len);
    struct part *p = copy_spare_part(c);
    if (p)
        fill(c, p, offset, len);
    return p != NULL;
}

bool copy_make_room(struct copy *c)
{
    struct part *p = c->filling;
    if (p && p->len < p->want)
        return true;
    if (c->claiming || c->state == COPY_ABORT || c->state == COPY_HAND_OVER)
        return false;
    if (c->size >= 0 && c->received >= (uint64_t)c->size) {
        struct err err = {0};
        err_set(&err, ERR_INTEGRITY, "the source sent more than the %lld bytes it announced",
                (long long)c->size);
        copy_fail(c, &err);
        return false;
    }
    if (!p && c->next_number == 1)
        return first_buffer(c);
    if (p && p->number == 1 && p->cap < c->part_bytes)
        return grow_first(c);
    copy_need_upload(c);
    if (c->state != COPY_PARTS)
        return false;
    if (p && !copy_has_time(c)) {
        copy_hand_over(c);
        return false;
    }
    copy_send_filling(c);
    (void)copy_record(c, false);
    return c->state == COPY_PARTS && next_buffer(c);
}

void *copy_part_room(struct part *p, size_t *len)
{
    *len = (size_t)(p->want - p->len);
    return *len ? p->data + p->len : NULL;
}

size_t copy_pour(struct copy *c, struct part *p, const char *data, size_t len)
{
    size_t n = len < p->want - p->len ? len : (size_t)(p->want - p->len);
    if (!c->began_ms)
        c->began_ms = clock_mono_ms();
    if (data != p->data + p->len) /* see copy_part_room() */
        memcpy(p->data + p->len, data, n);
    p->crc32c = crc32c(p->crc32c, data, n);
    digest_bytes(&c->digest, data, n);
    p->len += n;
    c->received += n;
    return n;
}

size_t copy_take(struct copy *c, const char *data, size_t len)
{
    size_t taken = 0;
    while (taken < len && copy_make_room(c))
        taken += copy_pour(c, c->filling, data + taken, len - taken);
    return taken;
}

static void on_part_stored(void *arg, const struct err *err)
{
    struct part *p = arg;
    struct copy *c = p->copy;
    p->op = NULL;
    c->in_flight--;
    if (!err) {
        FAULT_POINT("transfer-part-stored");
        copy_part_took(c, p);
    }
    if (err && c->state == COPY_HAND_OVER) {
        log_info("%s: part %u is left out: %s", c->rq.key, p->number, err->msg);
        if (err->code == ERR_SPENT) /* then there is nothing to go on with */
            c->err = *err;
    } else if (err) {
        struct err why = *err;
        err_prefix(&why, "part %u", p->number);
        copy_upload_failed(c, &why);
    }
    /* One buffer is enough to go on with. The others are for speed: two may lie idle (memory that
     * is given back and had anew costs page faults), more would be kept from others by a source
     * that stalls. */
    bool spare = c->parts->next || c->ended;
    if (spare && (c->ended || idle_parts(c) > 2 || part_pool_is_wanted(c->rq.pool)))
        free_part(c, p);
    copy_go_on(c);
}

void copy_send_filling(struct copy *c)
{
    struct part *p = c->filling;
    c->filling = NULL;
    if (!p || p->len == 0)
        return;
    if (!c->ended) /* else it was counted when the stream ended */
        digest_part(&c->digest, p->crc32c, p->len);
    copy_keep_crc(c, p->crc32c);
    copy_put_part(c, p);
}

void copy_put_part(struct copy *c, struct part *p)
{
    c->in_flight++;
    p->sent_ms = clock_mono_ms();
    p->op = c->rq.sink->ops->put_part(c->upload, p->number, p->offset, p->data, (size_t)p->len,
                                      p->crc32c, on_part_stored, p);
}
