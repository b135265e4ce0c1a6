/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: the two clocks, and dates as the protocols write them. Times are milliseconds. Any thread.
 */
#ifndef EGRESS_CORE_CLOCK_H
#define EGRESS_CORE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* never jumps; for waits and rates */
int64_t clock_wall_ms(void); /* since 1970-01-01 UTC; for dates only */

enum { DATE_TEXT_SIZE = 40 };

/* "2020-01-20T15:09:42.000Z" */
void date_format_iso8601(int64_t unix_ms, char out[DATE_TEXT_SIZE]);
/* "2020-01-20" */
void date_format_day(int64_t unix_ms, char out[DATE_TEXT_SIZE]);
/* "20200120T150942Z", as AWS signatures have it */
void date_format_amz(int64_t unix_ms, char out[DATE_TEXT_SIZE]);
/* "Mon, 20 Jan 2020 15:09:42 GMT" (RFC 9110, IMF-fixdate) */
void date_format_http(int64_t unix_ms, char out[DATE_TEXT_SIZE]);

/* ISO 8601 date and time: 'T' or a space between, seconds and fraction optional, zone `Z`,
 * `+hh:mm`, `+hhmm` or `+hh`; without a zone it is UTC (platform API, naive timestamps).
 * 0 or -1. */
int date_parse_iso8601(const char *s, int64_t *unix_ms);
/* The three forms of RFC 9110, 5.6.7. 0 or -1. */
int date_parse_http(const char *s, int64_t *unix_ms);

#endif
