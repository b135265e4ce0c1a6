/* SPDX-License-Identifier: Apache-2.0
 *
 * status_private: members of a JSON object, as status.c and status_jobs.c write them: the name with
 * its quotes and colon, then the value. The comma before it is the caller's, where there is one.
 */
#ifndef EGRESS_REPORT_STATUS_PRIVATE_H
#define EGRESS_REPORT_STATUS_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

/* As a string; NULL gives null. */
void status_text(struct buf *out, const char *name, const char *text);
/* Unix milliseconds as ISO 8601; 0 gives null. */
void status_time(struct buf *out, const char *name, int64_t ms);
void status_bool(struct buf *out, const char *name, bool value);
void status_count(struct buf *out, const char *name, uint64_t n);

#endif
