/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

static const struct {
    const char *name;
    bool retry;
    int exit_status;
} codes[] = {
#define ERR_ROW(code, name, retry, status) [code] = {name, retry, status},
    ERR_CODES(ERR_ROW)
#undef ERR_ROW
};

/* Messages are one line whatever went into them: a server's text must neither fake a log line nor
 * steer a terminal. */
static void one_line(char *s)
{
    for (char *p = s; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    text_make_printable(s);
}

static void set_v(struct err *err, enum err_code code, const char *fmt, va_list ap)
{
    char msg[sizeof(err->msg)];
    /* Formatted aside first: the arguments may point into err->msg. */
    vsnprintf(msg, sizeof(msg), fmt, ap);
    memset(err, 0, sizeof(*err));
    err->code = code;
    memcpy(err->msg, msg, sizeof(msg));
    one_line(err->msg);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_v(err, code, fmt, ap);
    va_end(ap);
    return -1;
}

int err_set_errno(struct err *err, enum err_code code, int errnum, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_v(err, code, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->msg);
    char text[128] = "";
    if (strerror_r(errnum, text, sizeof(text)) != 0)
        snprintf(text, sizeof(text), "error %d", errnum);
    snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", text);
    return -1;
}

void err_prefix(struct err *err, const char *fmt, ...)
{
    char msg[sizeof(err->msg)];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(msg))
        return;
    snprintf(msg + n, sizeof(msg) - (size_t)n, ": %s", err->msg);
    memcpy(err->msg, msg, sizeof(msg));
    one_line(err->msg);
}

const char *err_name(enum err_code code)
{
    return codes[code].name;
}

bool err_is_retryable(const struct err *err)
{
    /* A status that none of the layers understood will be the same next time, except a server's
     * own failures and the few that HTTP defines as "try again". */
    if (err->code == ERR_HTTP && err->http_status && err->http_status < 500)
        return err->http_status == 408 || err->http_status == 425 || err->http_status == 429;
    return codes[err->code].retry;
}

int err_exit_status(const struct err *err)
{
    if (err->code == ERR_HTTP && !err_is_retryable(err))
        return 4;
    return codes[err->code].exit_status;
}

void check_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "egress: bug: %s does not hold (%s:%d)\n", cond, file, line);
    abort();
}
