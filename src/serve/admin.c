/* SPDX-License-Identifier: Apache-2.0
 *
 * admin: the admin address and the control socket: who may ask, and which route it is.
 *
 * The page is served to browsers, which send requests on behalf of any other page that is open: the
 * address asks for a Host of its own (no other name leads here), and for a header with a POST that
 * a page from elsewhere cannot set without asking first, which nobody here answers.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/job_id.h"
#include "core/mem.h"
#include "core/text.h"
#include "report/page.h"
#include "serve/serve_private.h"

#define JOB_PREFIX "/api/jobs/"

static const char *const plain_headers[] = {"Cache-Control", "no-store", "X-Content-Type-Options",
                                            "nosniff", NULL};
static const char page_policy[] = PAGE_SECURITY_POLICY;
static const char *const page_headers[] = {"Cache-Control",
                                           "no-cache",
                                           "X-Content-Type-Options",
                                           "nosniff",
                                           "Referrer-Policy",
                                           "no-referrer",
                                           "Content-Security-Policy",
                                           page_policy,
                                           NULL};

/* ---- answers ---- */

void serve_format_error(struct buf *out, const char *status, const struct err *err)
{
    buf_printf(out, "{\"status\":\"%s\",\"error\":\"%s\",\"message\":", status,
               err_name(err->code));
    text_json_quote(out, err->msg);
    buf_byte(out, '}');
}

static void answer_buf(struct httpd_request *rq, int status, const char *type,
                       const char *const *headers, struct buf *body)
{
    const struct httpd_answer answer = {
        .status = buf_overflowed(body) ? 500 : status,
        .content_type = type,
        .body = buf_str(body),
        .len = body->len,
        .headers = headers,
    };
    httpd_answer(rq, &answer);
    buf_release(body);
}

static void answer_error(struct httpd_request *rq, int status, const char *const *headers,
                         enum err_code code, const char *message)
{
    struct buf body = BUF_INIT(8192);
    struct err err = {0};
    err_set(&err, code, "%s", message);
    serve_format_error(&body, "rejected", &err);
    answer_buf(rq, status, NULL, headers, &body);
}

void admin_end(struct admin_call *call, int status, struct buf *body)
{
    struct serve *s = call->serve;
    answer_buf(call->rq, status, call->metrics ? "text/plain; version=0.0.4; charset=utf-8" : NULL,
               plain_headers, body);
    free(call);
    atomic_fetch_sub(&s->pending, 1);
}

void admin_end_error(struct admin_call *call, int status, const struct err *err)
{
    struct buf body = BUF_INIT(8192);
    call->metrics = false;
    serve_format_error(&body, status < 500 ? "rejected" : "failed", err);
    admin_end(call, status, &body);
}

/* ---- who may ask ---- */

/* Host without a port, or with brackets: "localhost", "127.0.0.1", "[::1]". */
static bool is_local_name(const char *host, size_t len)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == len && strncasecmp(host, names[i], len) == 0)
            return true;
    return false;
}

static bool host_is_ours(const struct serve *s, const struct httpd_request *rq)
{
    const char *host = httpd_header(rq, "Host");
    if (!s->admin_is_local) /* any name may lead here; the token is the lock */
        return true;
    if (!host)
        return false;
    const char *colon = strrchr(host, ':');
    bool has_port = colon && !strchr(colon, ']');
    return is_local_name(host, has_port ? (size_t)(colon - host) : strlen(host)) ||
           strcmp(host, s->admin_address) == 0;
}

/* Browsers say where a POST comes from; "null" is said by what hides it. */
static bool origin_is_ours(const struct httpd_request *rq)
{
    const char *origin = httpd_header(rq, "Origin"), *host = httpd_header(rq, "Host");
    if (!origin)
        return true;
    const char *name = strstr(origin, "://");
    return name && host && strcmp(name + 3, host) == 0;
}

static bool has_token(struct serve *s, const struct httpd_request *rq)
{
    struct err ignored = {0};
    const struct signature_given given = {.authorization = httpd_header(rq, "Authorization")};
    pthread_rwlock_rdlock(&s->secrets.lock);
    bool ok = !s->secrets.admin ||
              signature_check(s->secrets.admin, &given, clock_wall_ms(), &ignored) == 0;
    pthread_rwlock_unlock(&s->secrets.lock);
    return ok;
}

/* ---- routes ---- */

static void route_page(struct serve *s, struct httpd_request *rq)
{
    (void)s;
    const struct page_file *file = page_find(httpd_path(rq));
    CHECK(file);
    const struct httpd_answer answer = {
        .status = 200,
        .content_type = file->content_type,
        .body = (const char *)file->data,
        .len = file->len,
        .headers = page_headers,
    };
    httpd_answer(rq, &answer);
}

static void answer_word(struct httpd_request *rq, int status, const char *word)
{
    struct buf body = BUF_INIT(256);
    buf_printf(&body, "{\"status\":\"%s\"}", word);
    answer_buf(rq, status, NULL, plain_headers, &body);
}

static void route_healthz(struct serve *s, struct httpd_request *rq)
{
    (void)s;
    answer_word(rq, 200, "alive");
}

static void route_readyz(struct serve *s, struct httpd_request *rq)
{
    if (atomic_load(&s->draining))
        answer_word(rq, 503, "ending");
    else if (!journal_takes(s->journal))
        answer_word(rq, 503, "the journal takes no jobs");
    else
        answer_word(rq, 200, "ready");
}

/* What goes through the journal or the loop. */
static struct admin_call *begin(struct serve *s, struct httpd_request *rq)
{
    struct admin_call *call = xcalloc(1, sizeof(*call));
    call->serve = s;
    call->rq = rq;
    return call;
}

static void route_status(struct serve *s, struct httpd_request *rq)
{
    admin_gather(begin(s, rq));
}

static void route_metrics(struct serve *s, struct httpd_request *rq)
{
    struct admin_call *call = begin(s, rq);
    call->metrics = true;
    admin_gather(call);
}

static void route_jobs(struct serve *s, struct httpd_request *rq)
{
    admin_list(begin(s, rq));
}

static void route_job(struct serve *s, struct httpd_request *rq)
{
    admin_get(begin(s, rq), httpd_path(rq) + strlen(JOB_PREFIX));
}

static void route_retry(struct serve *s, struct httpd_request *rq)
{
    admin_retry(begin(s, rq));
}

static void route_pause(struct serve *s, struct httpd_request *rq)
{
    admin_pause(begin(s, rq), true);
}

static void route_resume(struct serve *s, struct httpd_request *rq)
{
    admin_pause(begin(s, rq), false);
}

static void route_sync(struct serve *s, struct httpd_request *rq)
{
    admin_sync(begin(s, rq));
}

enum needs {
    NOTHING = 0,
    TOKEN = 1 << 0, /* where there is one */
    LATER = 1 << 1, /* answered by way of the journal or the loop: not once these end */
};

static const struct route {
    const char *method;
    const char *path; /* with a slash at its end: what begins so */
    void (*fn)(struct serve *s, struct httpd_request *rq);
    unsigned needs;
} routes[] = {
    {"GET", "/", route_page, NOTHING},
    {"GET", "/page.css", route_page, NOTHING},
    {"GET", "/page.js", route_page, NOTHING},
    {"GET", "/healthz", route_healthz, NOTHING},
    {"GET", "/readyz", route_readyz, TOKEN},
    {"GET", "/metrics", route_metrics, TOKEN | LATER},
    {"GET", "/api/status", route_status, TOKEN | LATER},
    {"GET", "/api/jobs", route_jobs, TOKEN | LATER},
    {"GET", JOB_PREFIX, route_job, TOKEN | LATER},
    {"POST", "/api/retry", route_retry, TOKEN | LATER},
    {"POST", "/api/pause", route_pause, TOKEN | LATER},
    {"POST", "/api/resume", route_resume, TOKEN | LATER},
    {"POST", "/api/sync", route_sync, TOKEN | LATER},
};

static bool path_fits(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);
    bool below = len > 1 && route->path[len - 1] == '/';
    return below ? strncmp(path, route->path, len) == 0 : strcmp(path, route->path) == 0;
}

/* NULL: answered, since there is none. */
static const struct route *find_route(struct httpd_request *rq)
{
    const char *method = httpd_method(rq);
    const struct route *other = NULL;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!path_fits(&routes[i], httpd_path(rq)))
            continue;
        if (strcmp(routes[i].method, method) == 0)
            return &routes[i];
        other = &routes[i];
    }
    if (other) {
        const char *const allow[] = {"Allow", other->method, NULL};
        answer_error(rq, 405, allow, ERR_INPUT, "another method is expected here; see Allow");
    } else {
        answer_error(rq, 404, plain_headers, ERR_NOT_FOUND, "no such path");
    }
    return NULL;
}

/* Counted before `ending` is looked at; see webhook_request(). While transfers are still being
 * finished, how far they are is told. */
static void run_route(struct serve *s, struct httpd_request *rq, const struct route *route)
{
    atomic_fetch_add(&s->pending, 1);
    if (route->needs & LATER && atomic_load(&s->ending)) {
        answer_error(rq, 503, plain_headers, ERR_CANCELLED, "the daemon is ending");
    } else {
        route->fn(s, rq);
        if (route->needs & LATER)
            return;
    }
    atomic_fetch_sub(&s->pending, 1);
}

void control_request(void *arg, struct httpd_request *rq)
{
    const struct route *route = find_route(rq);
    if (route)
        run_route(arg, rq, route);
}

void admin_request(void *arg, struct httpd_request *rq)
{
    static const char *const bearer[] = {"WWW-Authenticate", "Bearer", NULL};
    struct serve *s = arg;
    bool post = strcmp(httpd_method(rq), "POST") == 0;
    if (!host_is_ours(s, rq)) {
        answer_error(rq, 421, plain_headers, ERR_INPUT,
                     "this is not the Host that was asked for; expected localhost or the address");
        return;
    }
    const struct route *route = find_route(rq);
    if (!route)
        return;
    if (post && (!httpd_header(rq, "x-egress-request") || !origin_is_ours(rq)))
        answer_error(rq, 403, plain_headers, ERR_INPUT,
                     "a POST needs the header x-egress-request: 1, and no Origin but this one");
    else if (route->needs & TOKEN && !has_token(s, rq))
        answer_error(rq, 401, bearer, ERR_AUTH,
                     "expected Authorization: Bearer TOKEN, of --admin-token-file");
    else
        run_route(s, rq, route);
}
