/* SPDX-License-Identifier: Apache-2.0
 *
 * rules: which fault hits which connection or request; reproducible from a seed.
 *
 * A rule is text, "FAULT[,NAME=VALUE]...". Whether its n-th match is hit depends on (seed, rule, n)
 * alone, so a run with other timing has the same faults in the same order. The first rule that hits
 * wins. Any thread after rules_add().
 *
 *     struct rules *rules = rules_new(42);
 *     rules_add(rules, "lose-answer,method=POST,query=uploadId,count=1", &err);
 *     struct hit hit = rules_for_request(rules, "POST", "/b/k", "uploadId=x", false);
 *     if (hit.fault == FAULT_LOSE_ANSWER) ...
 */
#ifndef EGRESS_TESTS_FAULTPROXY_RULES_H
#define EGRESS_TESTS_FAULTPROXY_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

/* X(code, name, what it does) */
#define FAULTS(X)                                                                                  \
    X(FAULT_NONE, "none", "passes it on unharmed and ends the search for a rule")                  \
    X(FAULT_CUT_CONNECTION, "cut-connection",                                                      \
      "cuts the connection after at most bytes= in both directions together (1M)")                 \
    X(FAULT_CUT_REQUEST, "cut-request", "cuts within the request's body; fraction= says where")    \
    X(FAULT_CUT_ANSWER, "cut-answer", "cuts within the answer; fraction= says where")              \
    X(FAULT_TRUNCATE, "truncate",                                                                  \
      "leaves out the end of an answer and adapts its Content-Length; fraction= says where")       \
    X(FAULT_ANSWER, "answer", "answers status= (503) in the target's place, code= (SlowDown)")     \
    X(FAULT_LOSE_ANSWER, "lose-answer",                                                            \
      "lets the target do it, then cuts the connection instead of answering")                      \
    X(FAULT_DELAY, "delay", "passes the answer on ms= (1000) late")                                \
    X(FAULT_THROTTLE, "throttle", "passes on bytes= (1M) a second in each direction")              \
    X(FAULT_STALL, "stall", "within the answer, at fraction=, says no more for ms= (10 minutes)")

enum fault {
#define FAULT_ENUM(code, name, text) code,
    FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
};

struct hit {
    enum fault fault;
    double fraction; /* of a body, 0 to 1 */
    bool rst;        /* a cut is a reset, not an orderly end */
    uint64_t bytes;
    int64_t ms;
    int status;
    int retry_after_s; /* -1: no such header */
    char code[48];
};

struct rules; /* borrowed by every connection */

struct rules *rules_new(uint64_t seed);
void rules_free(struct rules *rules);
int rules_add(struct rules *rules, const char *text, struct err *err) MUST_CHECK;

/* off: nothing is hit until it is switched on again. */
void rules_switch(struct rules *rules, bool on);

struct hit rules_for_connection(struct rules *rules);
/* reused: not the first request of its connection. Unless it is FAULT_ANSWER, the request counts as
 * in flight until rules_answered(). */
struct hit rules_for_request(struct rules *rules, const char *method, const char *path,
                             const char *query, bool reused);

void rules_answered(struct rules *rules);

/* Appends [{"rule":TEXT,"matched":N,"hit":N},...]. */
void rules_report(struct rules *rules, struct buf *out);

const char *fault_name(enum fault fault);
const char *fault_text(enum fault fault);

#endif
