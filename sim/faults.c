/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of faults, how they are written, and which request has which.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "core/text.h"
#include "routes.h"

enum value { NO_VALUE, TIME, BYTES, COUNT, STATUS, STATUS_RETRY, CHOICE, TARGET };

/* What a slot is; a kind of fault happens to some of them. */
enum { HTTP = 1, JSON = 2, OUTPUT = 4, SIGNED = 8, WEBHOOK = 16 };

struct row {
    const char *name;
    enum value value;
    const char *initial; /* NULL: a value must be given; "": none is one too */
    const char *choices; /* for CHOICE and TARGET: "a|b|c"; number is the place in it */
    unsigned where;
    const char *help;
};

static const struct row table[FAULT_KINDS] = {
    [FAULT_LATENCY] = {"latency", TIME, NULL, NULL, HTTP | WEBHOOK,
                       "wait before the answer; a webhook is sent later, so others overtake it"},
    [FAULT_STATUS] = {"status", STATUS_RETRY, NULL, NULL, HTTP,
                      "an error with that status; SECONDS: with Retry-After (see retry_after)"},
    [FAULT_HTML] = {"html", STATUS, "502", NULL, HTTP,
                    "an HTML page, as a proxy in between would send it"},
    [FAULT_BROKEN_JSON] = {"broken_json", NO_VALUE, "", NULL, JSON,
                           "status 200 and JSON that breaks off"},
    [FAULT_GARBAGE] = {"garbage", CHOICE, "bytes", "bytes|header|length|chunk", HTTP,
                       "not HTTP; or a header line, two Content-Length, a chunk that are not"},
    [FAULT_HEADERS] = {"headers", BYTES, "10M", NULL, HTTP, "so many bytes of header lines"},
    [FAULT_ENDLESS] = {"endless", NO_VALUE, "", NULL, HTTP, "a chunked body that never ends"},
    [FAULT_REDIRECT] = {"redirect", TARGET, NULL, "loop|host|http|loopback", HTTP,
                        "302: back here for ever; the same path at localhost, at http:// and the "
                        "request's Host, at 127.0.0.1; or to a URL"},
    [FAULT_DROP] = {"drop", NO_VALUE, "", NULL, HTTP | WEBHOOK,
                    "the connection is closed without an answer; a webhook is never sent"},
    [FAULT_RESET] = {"reset", BYTES, "", NULL, HTTP,
                     "the connection is reset after so many bytes of the body; without a value "
                     "after a number that is drawn"},
    [FAULT_TRUNCATE] = {"truncate", BYTES, "", NULL, HTTP,
                        "the same, but closed in an orderly way"},
    [FAULT_STALL] = {"stall", TIME, "", NULL, HTTP,
                     "silence in mid-body; without a value until the client goes away"},
    [FAULT_SLOW] = {"slow", BYTES, NULL, NULL, HTTP, "so many bytes of the body a second"},
    [FAULT_CHANGED] = {"changed", NO_VALUE, "", NULL, OUTPUT,
                       "from this answer on a generated output has other bytes and another ETag: "
                       "--output-version 1, then 2, ..."},
    [FAULT_EXPIRE] = {"expire", CHOICE, "later", "later|now|cut", SIGNED,
                      "the job's signed URLs expire: after this answer, before it, or in "
                      "mid-body, which it cuts; later ones get 403 until a new URL is asked for"},
    [FAULT_DUPLICATE] = {"duplicate", COUNT, "2", NULL, WEBHOOK,
                         "sent so often, webhook_retry_ms apart, though it was accepted"},
};

/* ---- slots ----------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    size_t len = strlen(s), end_len = strlen(end);
    return len >= end_len && strcmp(s + len - end_len, end) == 0;
}

static size_t count_routes(void)
{
    size_t n = 0;
    while (routes[n].method)
        n++;
    return n;
}

/* What the slot is; 0: there is none, or it has no faults. */
static unsigned slot_class(size_t slot)
{
    if (slot == FAULT_WEBHOOK)
        return WEBHOOK;
    if (slot / 2 >= count_routes())
        return 0;
    const struct route *route = &routes[slot / 2];
    bool head = slot % 2;
    if (strncmp(route->pattern, "/sim/", 5) == 0 || (head && strcmp(route->method, "GET") != 0))
        return 0;
    if (ends_with(route->pattern, "/output"))
        return strncmp(route->pattern, "/signed/", 8) == 0 ? HTTP | OUTPUT | SIGNED : HTTP | OUTPUT;
    if (ends_with(route->pattern, "/log"))
        return strncmp(route->pattern, "/signed/", 8) == 0 ? HTTP | SIGNED : HTTP;
    return HTTP | JSON;
}

const char *fault_slot_name(size_t slot, char out[SLOT_NAME_SIZE])
{
    if (slot == FAULT_WEBHOOK)
        snprintf(out, SLOT_NAME_SIZE, "WEBHOOK");
    else
        snprintf(out, SLOT_NAME_SIZE, "%s %s", slot % 2 ? "HEAD" : routes[slot / 2].method,
                 routes[slot / 2].pattern);
    return out;
}

const char *fault_kind_name(enum fault_kind kind)
{
    return table[kind].name;
}

/* ---- values ---------------------------------------------------------------------------------- */

static int parse_place(const char *choices, const char *value, int64_t *number)
{
    size_t len = strlen(value);
    int64_t place = 0;
    for (const char *p = choices;; p++, place++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, value, n) == 0)
            return *number = place, 0;
        p += n;
        if (!*p)
            return -1;
    }
}

/* "503" or "503,20" */
static int parse_status_retry(struct fault *fault, const char *value)
{
    char code[8];
    size_t len = strcspn(value, ",");
    snprintf(code, sizeof(code), "%.*s", len < sizeof(code) ? (int)len : 0, value);
    if (value[len] && text_parse_int(value + len + 1, 0, 1000000, &fault->retry_after_s) < 0)
        return -1;
    return text_parse_int(code, 400, 599, &fault->number);
}

static int parse_target(struct fault *fault, const char *choices, const char *value)
{
    if (parse_place(choices, value, &fault->number) == 0)
        return 0;
    if (strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
        return -1;
    for (const char *p = value; *p; p++)
        if (*p <= ' ' || *p > '~')
            return -1;
    fault->number = REDIRECT_URL;
    snprintf(fault->url, sizeof(fault->url), "%s", value);
    return 0;
}

static int parse_value(struct fault *fault, const struct row *row, const char *value)
{
    uint64_t bytes;
    fault->number = fault->retry_after_s = -1;
    if (!*value)
        return row->initial && !*row->initial ? 0 : -1;
    switch (row->value) {
    case NO_VALUE:
        break;
    case TIME:
        return text_parse_duration(value, &fault->number);
    case BYTES:
        if (text_parse_size(value, &bytes) < 0 || bytes > INT64_MAX)
            return -1;
        if (fault->kind == FAULT_SLOW && bytes == 0)
            return -1;
        return fault->number = (int64_t)bytes, 0;
    case COUNT:
        return text_parse_int(value, 1, 1000, &fault->number);
    case STATUS:
        return text_parse_int(value, 200, 599, &fault->number);
    case STATUS_RETRY:
        return parse_status_retry(fault, value);
    case CHOICE:
        return parse_place(row->choices, value, &fault->number);
    case TARGET:
        return parse_target(fault, row->choices, value);
    }
    return -1;
}

static const char *expected(const struct row *row, char out[SLOT_NAME_SIZE])
{
    static const char *const texts[] = {
        [NO_VALUE] = "nothing",
        [TIME] = "a time such as 200ms, 5s or 1h",
        [BYTES] = "bytes such as 512 or 1M",
        [COUNT] = "1..1000",
        [STATUS] = "200..599",
        [STATUS_RETRY] = "400..599, or so and \",SECONDS\"",
    };
    if (row->value == CHOICE || row->value == TARGET)
        snprintf(out, SLOT_NAME_SIZE, "%s%s", row->choices,
                 row->value == TARGET ? ", or a URL (http or https)" : "");
    else
        snprintf(out, SLOT_NAME_SIZE, "%s", texts[row->value]);
    return out;
}

/* ---- when ------------------------------------------------------------------------------------ */

/* "5", "0.5%", "#3", "#1..4", "#2.." */
static int parse_when(struct fault *fault, const char *when)
{
    char first[24], *end;
    if (*when == '#') {
        const char *dots = strstr(++when, "..");
        size_t len = dots ? (size_t)(dots - when) : strlen(when);
        snprintf(first, sizeof(first), "%.*s", len < sizeof(first) ? (int)len : 0, when);
        if (text_parse_int(first, 1, INT64_MAX, &fault->first) < 0)
            return -1;
        fault->last = dots ? INT64_MAX : fault->first;
        if (dots && dots[2])
            return text_parse_int(dots + 2, fault->first, INT64_MAX, &fault->last);
        return 0;
    }
    size_t digits = strspn(when, "0123456789.");
    if (digits == 0 || (when[digits] && strcmp(when + digits, "%") != 0))
        return -1;
    fault->percent = strtod(when, &end);
    return end == when + digits && fault->percent <= 100 ? 0 : -1;
}

static int parse_route(struct fault *fault, const char *route, struct err *err)
{
    char name[SLOT_NAME_SIZE];
    bool known = false, fits = false;
    for (size_t slot = 0; slot < FAULT_SLOTS; slot++) {
        unsigned class = slot_class(slot);
        if (class == 0)
            continue;
        bool all = strcmp(route, "*") == 0 && class != WEBHOOK;
        if (!all && strcmp(route, fault_slot_name(slot, name)) != 0)
            continue;
        known = true;
        fault->slots[slot] = (class & table[fault->kind].where) != 0;
        fits = fits || fault->slots[slot];
    }
    if (!known)
        return err_set(err, ERR_USAGE,
                       "--fault: \"%s\" is not a route; --help lists them, * means all", route);
    if (!fits)
        return err_set(err, ERR_USAGE, "--fault: %s does not happen to %s", table[fault->kind].name,
                       route);
    return 0;
}

static int check_sums(const struct faults *faults, struct err *err)
{
    char name[SLOT_NAME_SIZE];
    for (size_t slot = 0; slot < FAULT_SLOTS; slot++) {
        double sum = 0;
        for (size_t i = 0; i < faults->n; i++)
            if (faults->all[i].slots[slot])
                sum += faults->all[i].percent;
        if (sum > 100.000001)
            return err_set(err, ERR_USAGE,
                           "--fault: the percentages of %s add up to %g; expected 100 at most",
                           fault_slot_name(slot, name), sum);
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int parse_kind(struct fault *fault, char *kind, struct err *err)
{
    char allowed[SLOT_NAME_SIZE];
    char *value = strchr(kind, '=');
    if (value)
        *value++ = '\0';
    for (size_t i = 0; i < FAULT_KINDS; i++) {
        const struct row *row = &table[i];
        if (strcmp(row->name, kind) != 0)
            continue;
        fault->kind = (enum fault_kind)i;
        if (value ? *value && parse_value(fault, row, value) == 0
                  : parse_value(fault, row, row->initial ? row->initial : "") == 0)
            return 0;
        return err_set(err, ERR_USAGE, "--fault: %s=%s is not allowed; expected %s", kind,
                       value ? value : "", expected(row, allowed));
    }
    return err_set(err, ERR_USAGE, "--fault: \"%s\" is not a kind of fault; --help lists them",
                   kind);
}

int faults_add(struct faults *faults, const char *text, struct err *err)
{
    char copy[FAULT_TEXT_SIZE];
    if (faults->n == FAULTS_MAX)
        return err_set(err, ERR_USAGE, "--fault: %d times at most", FAULTS_MAX);
    struct fault *fault = &faults->all[faults->n];
    *fault = (struct fault){0};
    if (strlen(text) >= sizeof(copy))
        return err_set(err, ERR_USAGE, "--fault: longer than %zu bytes", sizeof(copy) - 1);
    snprintf(copy, sizeof(copy), "%s", text);
    char *kind = strchr(copy, ':');
    char *when = kind ? strrchr(kind, '@') : NULL;
    if (!when)
        return err_set(err, ERR_USAGE,
                       "--fault %s: expected ROUTE:KIND[=VALUE]@WHEN; --help lists them", text);
    *kind++ = *when++ = '\0';
    if (parse_kind(fault, kind, err) < 0 || parse_route(fault, copy, err) < 0)
        return -1;
    if (parse_when(fault, when) < 0)
        return err_set(err, ERR_USAGE,
                       "--fault: @%s is not allowed; expected a percentage such as 5 or 0.5, or "
                       "requests by number such as #1, #2..4 or #3..",
                       when);
    faults->n++;
    return check_sums(faults, err);
}

void faults_seed(struct faults *faults, uint64_t seed)
{
    char name[SLOT_NAME_SIZE];
    for (size_t slot = 0; slot < FAULT_SLOTS; slot++)
        if (slot_class(slot))
            faults->keys[slot] = content_key(fault_slot_name(slot, name), seed);
}

const struct fault *faults_decide(const struct faults *faults, size_t slot, uint64_t n,
                                  uint64_t *drawn)
{
    if (faults->n == 0)
        return NULL;
    uint64_t draw = content_mix(faults->keys[slot] + n);
    double place = (double)(draw >> 11) / (double)(1ull << 53) * 100;
    double end = 0;
    *drawn = content_mix(draw + 1);
    for (size_t i = 0; i < faults->n; i++) {
        const struct fault *fault = &faults->all[i];
        if (!fault->slots[slot])
            continue;
        /* The percentages lie one after another, so each is its own whatever the others are. */
        end += fault->percent;
        if (fault->first ? n + 1 >= (uint64_t)fault->first && n < (uint64_t)fault->last
                         : place < end)
            return fault;
    }
    return NULL;
}

void faults_help(FILE *out)
{
    char text[SLOT_NAME_SIZE];
    for (size_t i = 0; i < FAULT_KINDS; i++) {
        const struct row *row = &table[i];
        bool has_value = row->value != NO_VALUE, is_optional = row->initial != NULL;
        fprintf(out, "  %s%s\n      %s", row->name,
                !has_value    ? ""
                : is_optional ? "[=VALUE]"
                              : "=VALUE",
                row->help);
        if (has_value)
            fprintf(out, " (%s%s%s)", expected(row, text),
                    is_optional && *row->initial ? "; else " : "", is_optional ? row->initial : "");
        fputs(row->where & HTTP     ? "\n"
              : row->where & JSON   ? "; JSON routes\n"
              : row->where & OUTPUT ? "; routes of outputs\n"
              : row->where & SIGNED ? "; signed URLs\n"
                                    : "; WEBHOOK\n",
              out);
    }
    fputs("\nRoutes (and HEAD, instead of GET)\n", out);
    for (size_t slot = 0; slot < FAULT_SLOTS; slot++)
        if (slot_class(slot) && (slot % 2 == 0 || slot == FAULT_WEBHOOK))
            fprintf(out, "  %s\n", fault_slot_name(slot, text));
}
