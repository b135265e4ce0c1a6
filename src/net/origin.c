/* SPDX-License-Identifier: Apache-2.0
 *
 * origin: see origin.h.
 *
 * Nobody waits for ever. Who waits has not been sent and holds nothing of the origin; it is let in
 * when one that runs ends or is paused. One that runs moves bytes or is ended by its time-outs. One
 * that is paused waits for memory, which uploads give back that may themselves wait here, when the
 * source and the store are one origin: that is why it does not count, and why it does not queue
 * when it goes on. So the limit may be exceeded by what was paused, never kept up by it; and as
 * memory is bounded, what goes on ends or is paused again, and those who wait are let in.
 */
#include "net/origin.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"

struct origins {
    struct origin *first;
    size_t n;
};

struct origins *origins_new(void)
{
    return xcalloc(1, sizeof(struct origins));
}

void origins_free(struct origins *origins)
{
    while (origins->first) {
        struct origin *origin = origins->first;
        CHECK(origin->users == 0);
        origins->first = origin->next;
        free(origin);
    }
    free(origins);
}

static bool is_of(const struct origin *origin, const struct url *url)
{
    return origin->port == url->port && strcmp(origin->host, url->host) == 0 &&
           strcmp(origin->scheme, url->scheme) == 0;
}

/* Forgets what was not used for longest. */
static void trim(struct origins *origins)
{
    while (origins->n > ORIGINS_MAX) {
        struct origin **found = NULL;
        for (struct origin **at = &origins->first; *at; at = &(*at)->next)
            if ((*at)->users == 0)
                found = at;
        if (!found)
            return;
        struct origin *origin = *found;
        *found = origin->next;
        free(origin);
        origins->n--;
    }
}

struct origin *origin_get(struct origins *origins, const struct url *url)
{
    struct origin **at = &origins->first;
    while (*at && !is_of(*at, url))
        at = &(*at)->next;
    struct origin *origin = *at;
    if (origin) {
        *at = origin->next;
    } else {
        origin = xcalloc(1, sizeof(*origin));
        memcpy(origin->scheme, url->scheme, sizeof(origin->scheme));
        memcpy(origin->host, url->host, sizeof(origin->host));
        origin->port = url->port;
        origin->default_port = url->default_port;
        origin->budget.tokens = RETRY_BUDGET_MAX;
        origins->n++;
    }
    origin->next = origins->first;
    origins->first = origin;
    origin->users++;
    trim(origins);
    return origin;
}

void origin_put(struct origins *origins, struct origin *origin)
{
    CHECK(origin->users > 0);
    origin->users--;
    trim(origins);
}

/* ---- the queue ---- */

static void append(struct origin *origin, struct origin_turn *turn)
{
    turn->state = TURN_WAITING;
    turn->prev = origin->last;
    turn->next = NULL;
    if (origin->last)
        origin->last->next = turn;
    else
        origin->first = turn;
    origin->last = turn;
}

static void take_out(struct origin *origin, struct origin_turn *turn)
{
    if (turn->prev)
        turn->prev->next = turn->next;
    else
        origin->first = turn->next;
    if (turn->next)
        turn->next->prev = turn->prev;
    else
        origin->last = turn->prev;
    turn->prev = turn->next = NULL;
}

static bool is_full(const struct origin *origin)
{
    return origin->limit && origin->running >= origin->limit;
}

static void begin(struct origin *origin, struct origin_turn *turn)
{
    turn->state = TURN_RUNNING;
    turn->among = ++origin->running;
    turn->lowerings = origin->lowerings;
}

static void let_in(struct origin *origin)
{
    while (origin->first && !is_full(origin)) {
        struct origin_turn *turn = origin->first;
        take_out(origin, turn);
        begin(origin, turn);
        turn->come(turn->arg);
    }
}

/* ---- the limit ---- */

static char *name_of(const struct origin *origin)
{
    return origin->default_port ? xprintf("%s://%s", origin->scheme, origin->host)
                                : xprintf("%s://%s:%u", origin->scheme, origin->host, origin->port);
}

/* What ran at once is what was too many, whether or not the limit allowed for more. Now, or when
 * the refused one was sent: a refusal may be the first or the last answer of a burst. */
static void lower(struct origin *origin, const struct origin_turn *turn, int status)
{
    unsigned many = turn->among > origin->running ? turn->among : origin->running;
    if (origin->limit && many > origin->limit)
        many = origin->limit;
    bool first = origin->limit == 0;
    origin->limit = many > 1 ? many / 2 : 1;
    origin->good = 0;
    origin->lowerings++;
    if (first) {
        origin->peak = many;
        char *name = name_of(origin);
        log_event(LOG_INFO, LOG_FIELDS(LOG_TEXT("origin", name), LOG_NUM("limit", origin->limit)),
                  "%s answers %d: at most %u of %u requests at a time from now on", name, status,
                  origin->limit, many);
        free(name);
    } else {
        log_debug("%s: at most %u requests at a time", origin->host, origin->limit);
    }
}

static void raise_by_one(struct origin *origin)
{
    origin->good = 0;
    origin->limit++;
    if (origin->limit <= origin->peak)
        return;
    origin->limit = 0;
    char *name = name_of(origin);
    log_event(LOG_INFO, LOG_FIELDS(LOG_TEXT("origin", name)),
              "%s takes as many requests at a time as before", name);
    free(name);
}

/* ---- turns ---- */

bool turn_take(struct origin_turn *turn, struct origin *origin, void (*come)(void *arg), void *arg)
{
    CHECK(turn->state == TURN_NONE);
    turn->origin = origin;
    turn->come = come;
    turn->arg = arg;
    if (is_full(origin)) {
        append(origin, turn);
        return false;
    }
    begin(origin, turn);
    return true;
}

void turn_pause(struct origin_turn *turn)
{
    if (turn->state != TURN_RUNNING)
        return;
    turn->state = TURN_PAUSED;
    turn->origin->running--;
    let_in(turn->origin);
}

void turn_resume(struct origin_turn *turn)
{
    if (turn->state != TURN_PAUSED)
        return;
    turn->state = TURN_RUNNING;
    turn->origin->running++;
}

bool turn_end(struct origin_turn *turn, int status)
{
    struct origin *origin = turn->origin;
    bool refused = status == 429 || status == 503, known = false;
    if (turn->state == TURN_NONE)
        return false;
    if (turn->state == TURN_WAITING) {
        take_out(origin, turn);
    } else if (refused) {
        known = turn->lowerings != origin->lowerings;
        if (!known)
            lower(origin, turn, status);
    } else if (origin->limit && status > 0 && status < 500 && ++origin->good >= TURNS_FOR_RAISE) {
        raise_by_one(origin);
    }
    if (turn->state == TURN_RUNNING)
        origin->running--;
    turn->state = TURN_NONE;
    let_in(origin);
    return known;
}
