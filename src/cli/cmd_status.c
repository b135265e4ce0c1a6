/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_status: `egress status`: how a running daemon stands, or one of its jobs.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "core/clock.h"
#include "core/job_id.h"
#include "core/mem.h"
#include "core/text.h"

enum { WATCH_S = 2, AGO_SIZE = 32, RUNNING_SHOWN = 20 };

/* ---- reading the answer: what is missing in it is 0 or "" ---- */

static const json_t *member(const json_t *root, const char *path)
{
    char name[64];
    while (root && *path) {
        size_t len = strcspn(path, ".");
        snprintf(name, sizeof(name), "%.*s", (int)len, path);
        root = json_object_get(root, name);
        path += len + (path[len] == '.');
    }
    return root;
}

static int64_t number(const json_t *root, const char *path)
{
    return (int64_t)json_number_value(member(root, path));
}

/* What a terminal would take for commands is made harmless. */
static const char *text(const json_t *root, const char *path, char *out, size_t size)
{
    const char *s = json_string_value(member(root, path));
    snprintf(out, size, "%s", s ? s : "");
    text_make_printable(out);
    return out;
}

/* ---- words ---- */

/* "3 d 4 h", "12 h", "45 s" */
static const char *format_time(int64_t ms, char out[AGO_SIZE])
{
    static const struct {
        int64_t s;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    int64_t s = ms > 0 ? ms / 1000 : 0;
    size_t i = 0;
    while (i < 3 && s < units[i].s)
        i++;
    int64_t rest = i < 2 ? s % units[i].s / units[i + 1].s : 0;
    int n = snprintf(out, AGO_SIZE, "%" PRId64 " %s", s / units[i].s, units[i].name);
    if (rest)
        snprintf(out + n, AGO_SIZE - (size_t)n, " %" PRId64 " %s", rest, units[i + 1].name);
    return out;
}

/* From then to now, or from now to then when it is ahead; "" when the date is not there. */
static const char *format_distance(const json_t *root, const char *path, char out[AGO_SIZE])
{
    int64_t ms;
    const char *date = json_string_value(member(root, path));
    *out = '\0';
    if (date && date_parse_iso8601(date, &ms) == 0)
        format_time(llabs(clock_wall_ms() - ms), out);
    return out;
}

static bool is_past(const json_t *root, const char *path)
{
    int64_t ms;
    const char *date = json_string_value(member(root, path));
    return date && date_parse_iso8601(date, &ms) == 0 && ms < clock_wall_ms();
}

/* ---- all of it ---- */

static void print_queue(const json_t *st)
{
    char ago[AGO_SIZE];
    printf("queue      %" PRId64 " ready, %" PRId64 " waiting, %" PRId64 " running",
           number(st, "jobs.ready"), number(st, "jobs.waiting"), number(st, "jobs.running"));
    if (*format_distance(st, "oldest_received", ago))
        printf("; the oldest came %s ago", ago);
    printf("%s\n", json_is_true(member(st, "paused")) ? "; PAUSED (egress resume)" : "");
    printf("expiry     %" PRId64 " unfinished within %s", number(st, "near_expiry.jobs"),
           format_time(number(st, "near_expiry.within_s") * 1000, ago));
    if (*format_distance(st, "soonest_expiry", ago))
        printf("; the soonest %s%s%s", is_past(st, "soonest_expiry") ? "" : "in ", ago,
               is_past(st, "soonest_expiry") ? " ago" : "");
    putchar('\n');
}

static void print_counts(const json_t *st)
{
    char size[TEXT_SIZE_MAX], ago[AGO_SIZE], next[AGO_SIZE];
    printf("ended      %" PRId64 " stored, %" PRId64 " failed, %" PRId64 " given up%s\n",
           number(st, "jobs.stored"), number(st, "jobs.failed"), number(st, "jobs.dead"),
           number(st, "jobs.dead") ? " (egress retry --dead)" : "");
    printf("transfers  %" PRId64 " stored (%s), %" PRId64 " already stored, %" PRId64
           " to be tried again, since the start\n",
           number(st, "transfers.stored"),
           text_format_size((uint64_t)number(st, "transfers.bytes"), size),
           number(st, "transfers.already_stored"), number(st, "transfers.later"));
    printf("webhooks   %" PRId64 " accepted (%" PRId64 " of them known), %" PRId64
           " unauthorized, %" PRId64 " rejected, %" PRId64 " not taken\n",
           number(st, "webhooks.accepted"), number(st, "webhooks.known"),
           number(st, "webhooks.unauthorized"), number(st, "webhooks.rejected"),
           number(st, "webhooks.unavailable"));
    format_distance(st, "sync.last", ago);
    format_distance(st, "sync.next", next);
    printf("sync       %s%s%s%s%s; %" PRId64 " repaired\n", *ago ? ago : "none yet",
           *ago ? " ago" : "", *next ? ", next " : "",
           *next && !is_past(st, "sync.next") ? "in " : "", next, number(st, "sync.repaired"));
}

static void print_running(const json_t *st)
{
    const json_t *list = member(st, "running");
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < RUNNING_SHOWN; i++) {
        const json_t *r = json_array_get(list, i);
        char job[JOB_ID_MAX + 1], received[TEXT_SIZE_MAX], size[TEXT_SIZE_MAX], since[AGO_SIZE];
        int64_t of = number(r, "size");
        printf("  %-38s %s", text(r, "id", job, sizeof(job)),
               text_format_size((uint64_t)number(r, "received"), received));
        if (json_is_integer(member(r, "size")) && of > 0)
            printf(" of %s (%" PRId64 " %%)", text_format_size((uint64_t)of, size),
                   number(r, "received") * 100 / of);
        printf(", %s\n", format_distance(r, "started", since));
    }
    if (n > RUNNING_SHOWN)
        printf("  and %zu more\n", n - RUNNING_SHOWN);
}

static void print_status(const json_t *st)
{
    char version[64], up[AGO_SIZE], to[1024];
    printf("egress %s, up %s, storing into %s%s\n", text(st, "version", version, sizeof(version)),
           format_distance(st, "started", up), text(st, "destination", to, sizeof(to)),
           json_is_true(member(st, "draining")) ? "; ENDING" : "");
    print_queue(st);
    print_counts(st);
    print_running(st);
}

/* ---- one job ---- */

static void print_history(const json_t *root)
{
    const json_t *list = member(root, "history");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char at[64], what[64], why[2048];
        const json_t *entry = json_array_get(list, i);
        text(entry, "text", why, sizeof(why));
        printf("  %s  %s%s%s\n", text(entry, "at", at, sizeof(at)),
               text(entry, "what", what, sizeof(what)), *why ? ": " : "", why);
    }
}

static void print_job(const json_t *root)
{
    static const char *const dates[] = {"received", "expires", "next_try", "ended"};
    char id[JOB_ID_MAX + 1], state[32], date[64], why[2048], where[4096], size[TEXT_SIZE_MAX];
    const json_t *job = member(root, "job");
    printf("job        %s\nstate      %s, %" PRId64 " failed tr%s\n",
           text(job, "id", id, sizeof(id)), text(job, "state", state, sizeof(state)),
           number(job, "attempts"), number(job, "attempts") == 1 ? "y" : "ies");
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
        if (*text(job, dates[i], date, sizeof(date)))
            printf("%-10s %s\n", dates[i], date);
    if (*text(job, "error.message", why, sizeof(why)))
        printf("error      %s\n", why);
    const json_t *objects = member(job, "objects");
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *object = json_array_get(objects, i);
        printf("object     %s (%s)\n", text(object, "location", where, sizeof(where)),
               text_format_size((uint64_t)number(object, "size"), size));
    }
    puts("history");
    print_history(root);
}

/* ---- the command ---- */

static int show(const struct command_context *ctx, struct control *control, const char *path,
                bool clear)
{
    struct err err = {0};
    struct buf answer = BUF_INIT(CONTROL_ANSWER_MAX);
    int status = STATUS_OK;
    if (control_call(control, "GET", path, NULL, &answer, &err) < 0) {
        status = cli_fail(ctx, &err);
    } else if (settings_on(ctx->settings, SET_JSON)) {
        puts(buf_str(&answer));
    } else {
        json_t *root = json_loads(buf_str(&answer), 0, NULL);
        if (clear)
            fputs("\033[H\033[2J", stdout);
        if (member(root, "job"))
            print_job(root);
        else
            print_status(root);
        json_decref(root);
    }
    fflush(stdout);
    buf_release(&answer);
    return status;
}

int cmd_status(const struct command_context *ctx)
{
    struct err err = {0};
    const struct timespec pause = {.tv_sec = WATCH_S};
    const char *job = ctx->n_operands ? ctx->operands[0] : NULL;
    bool watch = settings_on(ctx->settings, SET_WATCH);
    bool clear = watch && isatty(STDOUT_FILENO);
    if (job && !job_id_is_valid(job)) {
        err_set(&err, ERR_USAGE, "%.64s: no job id", job);
        return cli_fail(ctx, &err);
    }
    struct control *control = control_open(ctx->settings, &err);
    if (!control)
        return cli_fail(ctx, &err);
    char *path = job ? xprintf("/api/jobs/%s", job) : xstrdup("/api/status");
    int status = show(ctx, control, path, clear);
    while (watch && status == STATUS_OK && !ferror(stdout)) { /* SIGINT ends it, by its default */
        nanosleep(&pause, NULL);
        status = show(ctx, control, path, clear);
    }
    free(path);
    control_close(control);
    return status;
}
