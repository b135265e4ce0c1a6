/* SPDX-License-Identifier: Apache-2.0
 *
 * job_id: the one rule for the ids of jobs, which come from strangers and end up in paths, keys and
 * URLs. Any thread.
 *
 *     if (!job_id_is_valid(id))
 *         return err_set(err, ERR_INPUT, "no job id");
 */
#ifndef EGRESS_CORE_JOB_ID_H
#define EGRESS_CORE_JOB_ID_H

#include <stdbool.h>

enum { JOB_ID_MAX = 128 }; /* bytes; a figure of ours: the Platform's are UUIDs of 36 */

/* [A-Za-z0-9][A-Za-z0-9_-]{0,127} */
bool job_id_is_valid(const char *id);

#endif
