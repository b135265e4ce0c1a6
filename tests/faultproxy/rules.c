/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading rules, and drawing the lots.
 */
#include "rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

enum { RULES_MAX = 32, HOW_EITHER = 0, HOW_RST, HOW_FIN };

struct rule {
    char *text; /* owned */
    struct hit hit;
    bool has_bytes, has_fraction, only_reused;
    int how;
    double probability;
    char method[16], path[256], query[128]; /* "" matches all */
    int64_t skip, count;                    /* of the matches: left alone; hit at most */
    int64_t max_in_flight;                  /* matches above it; 0: always */
    int64_t matched, hits;
};

struct rules {
    uint64_t seed;
    pthread_mutex_t lock; /* over what follows */
    bool off;
    int64_t in_flight;
    int n;
    struct rule rule[RULES_MAX];
};

static const struct {
    const char *name, *text;
} faults[] = {
#define FAULT_ROW(code, name, text) {name, text},
    FAULTS(FAULT_ROW)
#undef FAULT_ROW
};

const char *fault_name(enum fault fault)
{
    return faults[fault].name;
}

const char *fault_text(enum fault fault)
{
    return faults[fault].text;
}

struct rules *rules_new(uint64_t seed)
{
    struct rules *rules = xcalloc(1, sizeof(*rules));
    rules->seed = seed;
    CHECK(pthread_mutex_init(&rules->lock, NULL) == 0);
    return rules;
}

void rules_free(struct rules *rules)
{
    for (int i = 0; i < rules->n; i++)
        free(rules->rule[i].text);
    pthread_mutex_destroy(&rules->lock);
    free(rules);
}

static int parse_share(const char *value, double *out)
{
    char *end;
    errno = 0;
    double x = strtod(value, &end);
    if (errno || end == value || *end || !(x >= 0 && x <= 1))
        return -1;
    *out = x;
    return 0;
}

static int copy(char *out, size_t size, const char *value)
{
    int n = snprintf(out, size, "%s", value);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

static int one_of(const char *value, const char *first, const char *second, int *out)
{
    *out = strcmp(value, first) == 0 ? 1 : strcmp(value, second) == 0 ? 2 : 0;
    return *out ? 0 : -1;
}

static int set_integer(struct rule *rule, const char *name, const char *value)
{
    int64_t n;
    if (strcmp(name, "status") == 0 && text_parse_int(value, 200, 599, &n) == 0)
        rule->hit.status = (int)n;
    else if (strcmp(name, "retry-after") == 0 && text_parse_int(value, 0, 100000, &n) == 0)
        rule->hit.retry_after_s = (int)n;
    else if (strcmp(name, "ms") == 0 && text_parse_int(value, 0, 3600 * 1000, &n) == 0)
        rule->hit.ms = n;
    else if (strcmp(name, "skip") == 0 && text_parse_int(value, 0, INT32_MAX, &n) == 0)
        rule->skip = n;
    else if (strcmp(name, "count") == 0 && text_parse_int(value, 0, INT32_MAX, &n) == 0)
        rule->count = n;
    else if (strcmp(name, "max-inflight") == 0 && text_parse_int(value, 1, INT32_MAX, &n) == 0)
        rule->max_in_flight = n;
    else
        return -1;
    return 0;
}

static int set(struct rule *rule, const char *name, const char *value)
{
    int which = 0;
    int rc = -1;
    if (strcmp(name, "probability") == 0)
        rc = parse_share(value, &rule->probability);
    else if (strcmp(name, "fraction") == 0) {
        rule->has_fraction = true;
        rc = parse_share(value, &rule->hit.fraction);
    } else if (strcmp(name, "bytes") == 0) {
        rule->has_bytes = true;
        rc = text_parse_size(value, &rule->hit.bytes);
    } else if (strcmp(name, "method") == 0)
        rc = copy(rule->method, sizeof(rule->method), value);
    else if (strcmp(name, "path") == 0)
        rc = copy(rule->path, sizeof(rule->path), value);
    else if (strcmp(name, "query") == 0)
        rc = copy(rule->query, sizeof(rule->query), value);
    else if (strcmp(name, "code") == 0)
        rc = copy(rule->hit.code, sizeof(rule->hit.code), value);
    else if (strcmp(name, "how") == 0)
        rc = one_of(value, "rst", "fin", &rule->how);
    else if (strcmp(name, "reused") == 0) {
        rc = one_of(value, "yes", "no", &which);
        rule->only_reused = which == 1;
    } else
        rc = set_integer(rule, name, value);
    return rc;
}

static int read_rule(struct rule *rule, char *text, struct err *err)
{
    char *rest = NULL;
    const char *name = strtok_r(text, ",", &rest);
    int fault = 0;
    while (name && fault < FAULT_COUNT && strcmp(name, faults[fault].name) != 0)
        fault++;
    if (!name || fault == FAULT_COUNT)
        return err_set(err, ERR_USAGE, "no fault \"%s\"; see --help", name ? name : "");
    rule->hit.fault = (enum fault)fault;
    for (char *item; (item = strtok_r(NULL, ",", &rest));) {
        char *value = strchr(item, '=');
        if (!value)
            return err_set(err, ERR_USAGE, "\"%s\" is not NAME=VALUE", item);
        *value++ = '\0';
        if (set(rule, item, value) < 0)
            return err_set(err, ERR_USAGE, "%s=%s: no such name, or not such a value; see --help",
                           item, value);
    }
    return 0;
}

int rules_add(struct rules *rules, const char *text, struct err *err)
{
    if (rules->n == RULES_MAX)
        return err_set(err, ERR_USAGE, "more than %d rules", RULES_MAX);
    struct rule rule = {
        .hit = {.bytes = 1 << 20, .ms = -1, .status = 503, .retry_after_s = -1, .code = "SlowDown"},
        .probability = 1,
        .count = INT64_MAX,
    };
    char *scratch = xstrdup(text);
    int rc = read_rule(&rule, scratch, err);
    free(scratch);
    if (rc < 0)
        return -1;
    if (rule.hit.ms < 0)
        rule.hit.ms = rule.hit.fault == FAULT_STALL ? 600 * 1000 : 1000;
    rule.text = xstrdup(text);
    rules->rule[rules->n++] = rule;
    return 0;
}

void rules_switch(struct rules *rules, bool on)
{
    pthread_mutex_lock(&rules->lock);
    rules->off = !on;
    pthread_mutex_unlock(&rules->lock);
}

/* splitmix64's output function: every bit of x counts. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* In [0, 1); the same for the same arguments. */
static double draw(const struct rules *rules, const struct rule *rule, int what)
{
    uint64_t x = mix(rules->seed);
    x = mix(x ^ (uint64_t)(rule - rules->rule));
    x = mix(x ^ (uint64_t)rule->matched);
    return (double)(mix(x ^ (uint64_t)what) >> 11) * 0x1p-53;
}

/* The rule matches: is it hit? */
static bool try_rule(struct rules *rules, struct rule *rule, struct hit *hit)
{
    rule->matched++;
    if (rule->matched <= rule->skip || rule->hits >= rule->count ||
        draw(rules, rule, 0) >= rule->probability)
        return false;
    rule->hits++;
    *hit = rule->hit;
    if (!rule->has_fraction)
        hit->fraction = draw(rules, rule, 1);
    hit->rst = rule->how ? rule->how == HOW_RST : draw(rules, rule, 2) < 0.5;
    if (rule->hit.fault == FAULT_CUT_CONNECTION)
        hit->bytes = (uint64_t)(draw(rules, rule, 3) * (double)(rule->hit.bytes + 1));
    return true;
}

struct hit rules_for_connection(struct rules *rules)
{
    struct hit hit = {.fault = FAULT_NONE};
    pthread_mutex_lock(&rules->lock);
    for (int i = 0; i < rules->n && !rules->off; i++)
        if (rules->rule[i].hit.fault == FAULT_CUT_CONNECTION &&
            try_rule(rules, &rules->rule[i], &hit))
            break;
    pthread_mutex_unlock(&rules->lock);
    return hit;
}

static bool matches(const struct rules *rules, const struct rule *rule, const char *method,
                    const char *path, const char *query, bool reused)
{
    return rule->hit.fault != FAULT_CUT_CONNECTION &&
           (!rule->max_in_flight || rules->in_flight >= rule->max_in_flight) &&
           (!*rule->method || strcmp(rule->method, method) == 0) &&
           (!*rule->path || fnmatch(rule->path, path, 0) == 0) &&
           (!*rule->query || strstr(query, rule->query)) && (!rule->only_reused || reused);
}

struct hit rules_for_request(struct rules *rules, const char *method, const char *path,
                             const char *query, bool reused)
{
    struct hit hit = {.fault = FAULT_NONE};
    pthread_mutex_lock(&rules->lock);
    for (int i = 0; i < rules->n && !rules->off; i++)
        if (matches(rules, &rules->rule[i], method, path, query, reused) &&
            try_rule(rules, &rules->rule[i], &hit))
            break;
    rules->in_flight += hit.fault != FAULT_ANSWER;
    pthread_mutex_unlock(&rules->lock);
    return hit;
}

void rules_answered(struct rules *rules)
{
    pthread_mutex_lock(&rules->lock);
    rules->in_flight--;
    pthread_mutex_unlock(&rules->lock);
}

void rules_report(struct rules *rules, struct buf *out)
{
    pthread_mutex_lock(&rules->lock);
    buf_byte(out, '[');
    for (int i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->rule[i];
        buf_str_append(out, i ? ",{\"rule\":" : "{\"rule\":");
        text_json_quote(out, rule->text);
        buf_printf(out, ",\"matched\":%lld,\"hit\":%lld}", (long long)rule->matched,
                   (long long)rule->hits);
    }
    buf_byte(out, ']');
    pthread_mutex_unlock(&rules->lock);
}
