/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
    return now_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return now_ms(CLOCK_REALTIME);
}

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

/* Days since 1970-01-01 of a proleptic Gregorian date (POSIX has no portable timegm). */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static struct tm to_utc(int64_t unix_ms, int *ms)
{
    int64_t sec = unix_ms / 1000;
    *ms = (int)(unix_ms % 1000);
    if (*ms < 0) {
        *ms += 1000;
        sec--;
    }
    time_t t = (time_t)sec;
    struct tm tm = {0};
    gmtime_r(&t, &tm);
    return tm;
}

void date_format_iso8601(int64_t unix_ms, char out[DATE_TEXT_SIZE])
{
    int ms;
    struct tm tm = to_utc(unix_ms, &ms);
    /* Not %Y: it leaves out the zeros of an early year. */
    snprintf(out, DATE_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
}

void date_format_day(int64_t unix_ms, char out[DATE_TEXT_SIZE])
{
    int ms;
    struct tm tm = to_utc(unix_ms, &ms);
    snprintf(out, DATE_TEXT_SIZE, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

void date_format_amz(int64_t unix_ms, char out[DATE_TEXT_SIZE])
{
    int ms;
    struct tm tm = to_utc(unix_ms, &ms);
    strftime(out, DATE_TEXT_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

void date_format_http(int64_t unix_ms, char out[DATE_TEXT_SIZE])
{
    int ms;
    struct tm tm = to_utc(unix_ms, &ms);
    /* Not %a and %b: they follow the locale. */
    snprintf(out, DATE_TEXT_SIZE, "%.3s, %02d %s %04d %02d:%02d:%02d GMT",
             day_names[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12],
             (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool in_month(int y, int m, int d)
{
    static const int len[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= len[m - 1] + (leap && m == 2);
}

static int combine(int y, int mo, int d, int h, int mi, int s, int ms, int64_t *unix_ms)
{
    /* 60 is a leap second. */
    if (!in_month(y, mo, d) || h > 23 || mi > 59 || s > 60 || h < 0 || mi < 0 || s < 0)
        return -1;
    int of_day = h * 3600 + mi * 60 + s;
    *unix_ms = (days_from_civil(y, mo, d) * 86400 + of_day) * 1000 + ms;
    return 0;
}

/* Reads exactly n digits. */
static bool digits(const char **p, int n, int *value)
{
    *value = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        *value = *value * 10 + (**p - '0');
    }
    return true;
}

static bool take(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

/* "", "Z", "+hh", "+hhmm", "+hh:mm" -> minutes east of UTC. */
static bool zone(const char *p, int *minutes)
{
    *minutes = 0;
    if (*p == '\0' || strcmp(p, "Z") == 0 || strcmp(p, "z") == 0)
        return true;
    int sign = *p == '-' ? -1 : 1;
    int h, m = 0;
    if ((*p != '+' && *p != '-') || (p++, !digits(&p, 2, &h)))
        return false;
    if (*p) {
        take(&p, ':');
        if (!digits(&p, 2, &m))
            return false;
    }
    *minutes = sign * (h * 60 + m);
    return *p == '\0' && h <= 23 && m <= 59;
}

int date_parse_iso8601(const char *s, int64_t *unix_ms)
{
    int y, mo, d, h, mi, sec = 0, ms = 0, east;
    const char *p = s;
    if (!digits(&p, 4, &y) || !take(&p, '-') || !digits(&p, 2, &mo) || !take(&p, '-') ||
        !digits(&p, 2, &d) || (*p != 'T' && *p != 't' && *p != ' '))
        return -1;
    p++;
    if (!digits(&p, 2, &h) || !take(&p, ':') || !digits(&p, 2, &mi))
        return -1;
    if (take(&p, ':')) {
        if (!digits(&p, 2, &sec))
            return -1;
        if (take(&p, '.') || take(&p, ',')) {
            if (*p < '0' || *p > '9')
                return -1;
            for (int unit = 100; *p >= '0' && *p <= '9'; p++, unit /= 10)
                ms += (*p - '0') * unit;
        }
    }
    int64_t t;
    if (!zone(p, &east) || combine(y, mo, d, h, mi, sec, ms, &t) < 0)
        return -1;
    *unix_ms = t - (int64_t)east * 60000;
    return 0;
}

/* Skips the name of a day: short, or written out. It says nothing that the date does not. */
static bool day_name(const char **p, bool *written_out)
{
    for (int i = 0; i < 7; i++) {
        size_t n = strlen(day_names[i]);
        *written_out = strncmp(*p, day_names[i], n) == 0;
        if (*written_out || strncmp(*p, day_names[i], 3) == 0) {
            *p += *written_out ? n : 3;
            return true;
        }
    }
    return false;
}

static bool month_name(const char **p, int *month)
{
    for (int i = 0; i < 12; i++) {
        if (strncmp(*p, months[i], 3) == 0) {
            *month = i + 1;
            *p += 3;
            return true;
        }
    }
    return false;
}

static bool time_of_day(const char **p, int *h, int *mi, int *s)
{
    return digits(p, 2, h) && take(p, ':') && digits(p, 2, mi) && take(p, ':') && digits(p, 2, s);
}

int date_parse_http(const char *s, int64_t *unix_ms)
{
    int y, mo, d, h, mi, sec;
    bool written_out, ok;
    const char *p = s;
    if (!day_name(&p, &written_out))
        return -1;
    if (written_out) { /* Sunday, 06-Nov-94 08:49:37 GMT */
        ok = take(&p, ',') && take(&p, ' ') && digits(&p, 2, &d) && take(&p, '-') &&
             month_name(&p, &mo) && take(&p, '-') && digits(&p, 2, &y) && take(&p, ' ') &&
             time_of_day(&p, &h, &mi, &sec) && strcmp(p, " GMT") == 0;
        y = ok ? y + (y < 70 ? 2000 : 1900) : 0;
    } else if (take(&p, ',')) { /* Sun, 06 Nov 1994 08:49:37 GMT */
        ok = take(&p, ' ') && digits(&p, 2, &d) && take(&p, ' ') && month_name(&p, &mo) &&
             take(&p, ' ') && digits(&p, 4, &y) && take(&p, ' ') &&
             time_of_day(&p, &h, &mi, &sec) && strcmp(p, " GMT") == 0;
    } else { /* Sun Nov  6 08:49:37 1994 */
        ok = take(&p, ' ') && month_name(&p, &mo) && take(&p, ' ') &&
             digits(&p, take(&p, ' ') ? 1 : 2, &d) && take(&p, ' ') &&
             time_of_day(&p, &h, &mi, &sec) && take(&p, ' ') && digits(&p, 4, &y) && !*p;
    }
    return ok ? combine(y, mo, d, h, mi, sec, 0, unix_ms) : -1;
}
