/* SPDX-License-Identifier: Apache-2.0 */
#include "core/job_id.h"

#include <string.h>

bool job_id_is_valid(const char *id)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t len = strnlen(id, JOB_ID_MAX + 1);
    return len >= 1 && len <= JOB_ID_MAX && *id != '_' && *id != '-' && strspn(id, allowed) == len;
}
