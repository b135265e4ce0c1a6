/* SPDX-License-Identifier: Apache-2.0
 *
 * origin: what a loop remembers of each origin (scheme, host, port) that it talks to: a budget of
 * retries, and how many exchanges may run at a time once it has said that there are too many.
 *
 * Additive increase, multiplicative decrease: a 503 or 429 halves the number that runs, once for
 * all that were sent before the halving; every 16 answers allow one more; when as many run as did
 * when it began, there is no limit again. Those above the limit wait, first come, first served.
 * While an origin has never answered so, a turn costs a few additions.
 *
 * Loop's thread. Used by http.c alone.
 *
 *     struct origin *origin = origin_get(origins, &url);
 *     if (turn_take(&me->turn, origin, come, me)) go();       or come(me) later: note it, then go
 *     ... turn_pause(&me->turn); ... turn_resume(&me->turn);
 *     turn_end(&me->turn, status);
 *     origin_put(origins, origin);
 */
#ifndef EGRESS_NET_ORIGIN_H
#define EGRESS_NET_ORIGIN_H

#include "net/net_private.h"

enum {
    ORIGINS_MAX = 64,     /* remembered, besides those in use */
    TURNS_FOR_RAISE = 16, /* good answers for one more at a time */
};

struct origin_turn { /* embedded in the exchange; zero at first */
    enum { TURN_NONE, TURN_WAITING, TURN_RUNNING, TURN_PAUSED } state;
    struct origin *origin; /* borrowed */
    unsigned among;        /* how many ran when it began, itself included */
    unsigned lowerings;    /* of the origin, when it began */
    struct origin_turn *prev, *next;
    void (*come)(void *arg);
    void *arg;
};

struct origin {
    struct origin *next; /* the most recently used first */
    unsigned users;      /* between origin_get() and origin_put() */
    char scheme[8];
    char host[256];
    unsigned port;
    bool default_port;
    struct retry_budget budget;

    unsigned running; /* turns taken and not paused */
    unsigned limit;   /* of them; 0: none */
    unsigned peak;    /* what the limit has to reach to be none again */
    unsigned good;    /* answers since it was last changed */
    unsigned lowerings;
    struct origin_turn *first, *last; /* who waits */
};

struct origins;
struct origins *origins_new(void);
void origins_free(struct origins *origins); /* none is in use */

struct origin *origin_get(struct origins *origins, const struct url *url);
void origin_put(struct origins *origins, struct origin *origin);

/* True: go. False: come(arg) is called when the turn has come, unless turn_end() is before it; from
 * any call here, a libcurl callback's too, so it only notes that. */
bool turn_take(struct origin_turn *turn, struct origin *origin, void (*come)(void *arg), void *arg);

/* Its receiver takes no more for now: it counts for nothing until it goes on, which is at once. */
void turn_pause(struct origin_turn *turn);
void turn_resume(struct origin_turn *turn);

/* Ends the turn, or the waiting for one. status: of the answer; 0: none that tells anything.
 * Whether it is a refusal that the limit allows for already. */
bool turn_end(struct origin_turn *turn, int status);

#endif
