/* SPDX-License-Identifier: Apache-2.0
 *
 * banned: functions that cannot be used safely do not compile. Included before everything else.
 */
#ifndef EGRESS_CORE_BANNED_H
#define EGRESS_CORE_BANNED_H

/* The headers first, so that poisoning does not hit their declarations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison gets strcpy strcat sprintf vsprintf strncpy strncat strtok atoi atol atoll      \
    gmtime localtime ctime asctime

#endif
