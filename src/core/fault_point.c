/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fault_point.h"

#ifdef EGRESS_FAULT_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/err.h"
#include "core/text.h"

static atomic_llong passes;

void fault_point(const char *name)
{
    const char *wanted = getenv("EGRESS_FAULT_POINT");
    size_t len = strlen(name);
    int64_t nth = 1;
    if (!wanted || strncmp(wanted, name, len) != 0 || (wanted[len] && wanted[len] != ':'))
        return;
    if (wanted[len])
        CHECK(text_parse_int(wanted + len + 1, 1, INT64_MAX, &nth) == 0);
    if (atomic_fetch_add(&passes, 1) + 1 == nth)
        raise(SIGKILL);
}

#endif
