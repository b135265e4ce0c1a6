/* SPDX-License-Identifier: Apache-2.0
 *
 * emf: what one invocation did -> a line of CloudWatch's embedded metric format, which becomes
 * metrics by being logged. Source: CloudWatch user guide, "Embedded metric format specification".
 * Pure. Any thread.
 *
 *     struct emf emf = {0};
 *     emf.count[EMF_STORED]++;
 *     emf_value(&emf, EMF_SECONDS_TO_EXPIRY, 86400);
 *     if (emf_format(&emf, "my-function", clock_wall_ms(), &line))
 *         puts(buf_str(&line));
 */
#ifndef EGRESS_REPORT_EMF_H
#define EGRESS_REPORT_EMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

#define EMF_NAMESPACE "Egress"
#define EMF_DIMENSION "FunctionName"

/* X(id, name, unit): counts, and quantities that add up. */
#define EMF_COUNTS(X)                                                                              \
    X(EMF_STORED, "Stored", "Count")           /* jobs */                                          \
    X(EMF_DUPLICATE, "Duplicate", "Count")     /* jobs that were stored already */                 \
    X(EMF_FAILED, "Failed", "Count")           /* for good, but for those below */                 \
    X(EMF_EXPIRED, "Expired", "Count")         /* the output was gone: lost */                     \
    X(EMF_HANDED_OVER, "HandedOver", "Count")  /* to another invocation */                         \
    X(EMF_LATER, "Later", "Count")             /* left to the queue for another try */             \
    X(EMF_REPAIRED, "RepairedBySync", "Count") /* jobs that no webhook had brought */              \
    X(EMF_BYTES, "Bytes", "Bytes")             /* stored */

/* X(id, name, unit): one value for each job that was stored. */
#define EMF_VALUES(X)                                                                              \
    X(EMF_SECONDS_TO_EXPIRY, "SecondsToExpiry", "Seconds") /* left by then */                      \
    X(EMF_AGE, "AgeAtReceipt", "Seconds") /* of the job, complete, when its event came */

enum emf_count {
#define EMF_ENUM(id, ...) id,
    EMF_COUNTS(EMF_ENUM) EMF_COUNTS_N
};
enum emf_kind {
    EMF_VALUES(EMF_ENUM) EMF_VALUES_N
#undef EMF_ENUM
};

enum {
    EMF_VALUES_MAX = 100, /* of one metric in a line: the format's limit; more are left out */
    EMF_LINE_MAX = 16 * 1024,
};

struct emf {
    uint64_t count[EMF_COUNTS_N];
    struct {
        size_t n;
        int64_t values[EMF_VALUES_MAX];
    } value[EMF_VALUES_N];
};

/* A negative one counts as 0. */
void emf_value(struct emf *emf, enum emf_kind kind, int64_t value);

/* Appends the line, without its end. False: there is nothing to tell, and nothing was appended.
 * out's cap is best EMF_LINE_MAX. now_ms: Unix time. */
bool emf_format(const struct emf *emf, const char *function, int64_t now_ms, struct buf *out);

#endif
