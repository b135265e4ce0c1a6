/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51, lists: which form is asked in, how pages follow each other when the list moves, and what
 * becomes of rows, against a scripted server. Its rows for one route answer in their order.
 */
#include "platform/voxel51.h"

#include "scripted_server.h"

#include "core/log.h"
#include "net/http.h"

#define KEY    "SECRET.key"
#define BODY   "GET /v1/jobs "
#define STRING "GET /v1/jobs?fields=id,state,expiration_date,expired,completion_date,failure_type&"
#define LIST   "GET /v1/jobs/list "
#define DONE   ",\"state\":\"COMPLETE\"}"

static struct loop *loop;

struct listed {
    struct source *source;
    struct buf ids; /* of the rows told, each with a blank after it */
    struct err err;
    unsigned dones, cancel_at, told;
};

static void on_job(void *arg, const struct source_job *job)
{
    struct listed *l = arg;
    assert_int_equal(l->dones, 0);
    buf_printf(&l->ids, "%s%s ", job->id, job->state == JOB_FAILED ? "!" : "");
    if (++l->told == l->cancel_at)
        l->source->ops->list_cancel(l->source);
}

static void on_done(void *arg, const struct err *err)
{
    struct listed *l = arg;
    l->dones++;
    if (err)
        l->err = *err;
    assert_null(strstr(l->err.msg, "SECRET"));
    loop_stop(loop);
}

static struct source *make_source(const struct server *server)
{
    struct err err = {0};
    char base[80], key[] = KEY;
    snprintf(base, sizeof(base), "%s/v1", server->url);
    struct token token = {.private_key = key, .base_url = base};
    struct source *source = voxel51_new(loop, &(struct voxel51_config){.token = &token}, &err);
    assert_non_null(source);
    return source;
}

/* Lists once; what was told is compared, the error's code too. */
static void list(struct source *source, const char *ids, enum err_code code)
{
    struct listed l = {.source = source, .ids = BUF_INIT(64 * 1024)};
    source->ops->list(source, 0, on_job, on_done, &l);
    assert_int_equal(l.dones, 0);
    loop_run(loop);
    assert_int_equal(l.dones, 1);
    assert_string_equal(buf_str(&l.ids), ids);
    if (l.err.code != code)
        fail_msg("%s: %s", err_name(l.err.code), l.err.msg);
    buf_release(&l.ids);
}

/* A run of one list against a script; the request bodies, "-" for none, in order. */
static void run(const struct row *rows, const char *ids, enum err_code code,
                const char *const *bodies, size_t n)
{
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    list(source, ids, code);
    source->ops->free(source);
    server_stop(server);
    assert_int_equal(server->n_requests, n);
    for (size_t i = 0; i < n; i++) {
        const char *body = strstr(server->requests[i], "\r\n\r\n") + 4;
        assert_non_null(strstr(server->requests[i], "\r\nAuthorization: Bearer " KEY "\r\n"));
        if (strcmp(bodies[i], "-") == 0)
            assert_string_equal(body, "");
        else
            assert_non_null(strstr(body, bodies[i]));
    }
    server_free(server);
}

#define RUN(rows, ids, code, ...)                                                                  \
    run(rows, ids, code, (const char *const[]){__VA_ARGS__},                                       \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const char first_body[] =
    "{\"fields\":\"id,state,expiration_date,expired,completion_date,failure_type\","
    "\"sort\":\"id:asc\",\"limit\":1000}";

static void pages_until_one_is_empty(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\",\"state\":\"FAILED\"}]}"},
        {BODY, 200, "",
         "{\"total\":2,\"jobs\":[{\"id\":\"b\",\"state\":\"FAILED\"},"
         "{\"id\":\"c\",\"state\":\"RUNNING\"},{\"id\":\"d\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"d\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[]}"},
        {NULL},
    };
    RUN(rows, "a b! d ", ERR_NONE, first_body, "\"limit\":1000,\"offset\":1}",
        "\"limit\":1000,\"offset\":3}", "\"limit\":1000,\"offset\":4}");
}

static void no_jobs(void **state)
{
    (void)state;
    static const struct row rows[] = {{BODY, 200, "", "{\"jobs\":[],\"count\":0}"}, {NULL}};
    RUN(rows, "", ERR_NONE, first_body);
}

static void one_a_page(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE "]}", 2},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"b\"" DONE "]}", 2},
        {BODY, 200, "", "{\"jobs\":[]}"},
        {NULL},
    };
    RUN(rows, "a b ", ERR_NONE, first_body, first_body, "\"offset\":1}", "\"offset\":1}",
        "\"offset\":2}");
}

/* j0 to j2 went away while we were at j9: what is at 9 now is beyond what we know. */
static void rows_that_went_away(void **state)
{
    (void)state;
    struct buf ten = BUF_INIT(4096);
    buf_str_append(&ten, "{\"jobs\":[");
    for (int i = 0; i < 10; i++)
        buf_printf(&ten, "%s{\"id\":\"j%d\"" DONE, i ? "," : "", i);
    buf_str_append(&ten, "]}");
    const struct row rows[] = {
        {BODY, 200, "", buf_str(&ten)},
        {BODY, 200, "", "{\"jobs\":[]}"},
        {BODY, 200, "",
         "{\"jobs\":[{\"id\":\"j9\"" DONE ",{\"id\":\"k0\"" DONE ",{\"id\":\"k1\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"k1\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[]}"},
        {NULL},
    };
    RUN(rows, "j0 j1 j2 j3 j4 j5 j6 j7 j8 j9 k0 k1 ", ERR_NONE, first_body, "\"offset\":9}",
        "\"offset\":6}", "\"offset\":8}", "\"offset\":9}");
    buf_release(&ten);
}

/* The row that we knew is gone itself: from the start once more. */
static void the_known_row_went_away(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"d\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"c\"" DONE ",{\"id\":\"d\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"d\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[]}"},
        {NULL},
    };
    RUN(rows, "a b d c d ", ERR_NONE, first_body, "\"offset\":1}", first_body, "\"offset\":1}",
        "\"offset\":2}");
}

static void the_forms_one_after_the_other(void **state)
{
    (void)state;
    static const struct row by_string[] = {
        {BODY, 405, "", "{\"error\":{\"code\":405,\"message\":\"no\"}}"},
        {STRING "sort=id%3Aasc&limit=1000 ", 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE "]}", 2},
        {STRING "sort=id%3Aasc&limit=1000&offset=1 ", 200, "", "{\"jobs\":[]}"},
        {NULL},
    };
    RUN(by_string, "a ", ERR_NONE, first_body, "-", "-", "-");
    static const struct row by_list[] = {
        {BODY, 403, "", "<html>a proxy</html>"},
        {STRING, 200, "", "<html>a portal</html>"},
        {LIST, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE "]}"},
        {NULL},
    };
    RUN(by_list, "a ", ERR_NONE, first_body, "-", "-");
    static const struct row ignored[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\"" DONE "]}", 2},
        {STRING, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\"" DONE "]}", 2},
        {LIST, 200, "",
         "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\"" DONE ",{\"id\":\"c\"" DONE "]}"},
        {NULL},
    };
    RUN(ignored, "a b a a b a a b c ", ERR_NONE, first_body, "\"offset\":1}", "-", "-", "-");
}

static void the_form_is_remembered(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {BODY, 404, "", ""},
        {STRING, 501, "", ""},
        {LIST, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE "]}", 2},
        {NULL},
    };
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    list(source, "a ", ERR_NONE);
    list(source, "a ", ERR_NONE);
    source->ops->free(source);
    server_stop(server);
    assert_int_equal(server->n_requests, 4);
    server_free(server);
}

static void what_ends_it(void **state)
{
    (void)state;
    static const struct row refused[] = {
        {BODY, 401, "", "{\"error\":{\"code\":401,\"message\":\"who\"}}"}, {NULL}};
    RUN(refused, "", ERR_AUTH, first_body);
    static const struct row down[] = {{BODY, 503, "", "", 2}, {NULL}};
    RUN(down, "", ERR_HTTP, first_body, first_body); /* no other form for that */
    static const struct row never[] = {
        {BODY, 404, "", ""}, {STRING, 404, "", ""}, {LIST, 404, "", "x"}, {NULL}};
    RUN(never, "", ERR_HTTP, first_body, "-", "-");
    static const struct row forbidden[] = {
        {BODY, 403, "", ""}, {STRING, 403, "", ""}, {LIST, 403, "", "x"}, {NULL}};
    RUN(forbidden, "", ERR_AUTH, first_body, "-", "-");
    static const struct row later[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\"" DONE "]}"},
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"b\"" DONE ","},
        {NULL},
    };
    RUN(later, "a b ", ERR_PROTOCOL, first_body, "\"offset\":1}");
}

static void rows_without_a_state_are_looked_up(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {BODY, 404, "", ""},
        {STRING, 404, "", ""},
        {LIST, 200, "",
         "{\"jobs\":[{\"id\":\"a\"},{\"id\":\"b\",\"state\":null},{\"id\":\"c\"},{\"id\":\"d\"},"
         "{\"id\":\"e\"" DONE "]}"},
        {"POST /v1/jobs/batch ", 200, "",
         "{\"responses\":{\"a\":{\"response\":{\"id\":\"a\",\"state\":\"COMPLETE\"}},"
         "\"b\":{\"response\":{\"id\":\"b\",\"state\":\"RUNNING\"}},"
         "\"c\":{\"error\":{\"code\":404,\"message\":\"\"}},"
         "\"d\":{\"response\":{\"id\":\"d\",\"state\":\"FAILED\"}}}}"},
        {NULL},
    };
    RUN(rows, "e a d! ", ERR_NONE, first_body, "-", "-", "{\"action\":\"details\"");
    static const struct row fails[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"},{\"id\":\"b\"" DONE "]}"},
        {"GET /v1/jobs/a ", 401, "", ""},
        {NULL},
    };
    RUN(fails, "b ", ERR_AUTH, first_body, "-");
}

static void a_long_answer(void **state)
{
    (void)state;
    enum { ROWS = 100000 };
    struct buf text = BUF_INIT(64 << 20);
    buf_str_append(&text, "{\"jobs\":[");
    for (int i = 0; i < ROWS; i++)
        buf_printf(&text, "%s{\"id\":\"job-%d\",\"state\":\"COMPLETE\",\"name\":\"%0100d\"}",
                   i ? "," : "", i, i);
    buf_str_append(&text, "]}");
    assert_true(text.len > 10 << 20);
    const struct row rows[] = {
        {BODY, 404, "", ""}, {STRING, 404, "", ""}, {LIST, 200, "", buf_str(&text)}, {NULL}};
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    struct listed l = {.source = source, .ids = BUF_INIT(4 << 20)};
    source->ops->list(source, 0, on_job, on_done, &l);
    loop_run(loop);
    assert_int_equal(l.err.code, ERR_NONE);
    assert_int_equal(l.told, ROWS);
    source->ops->free(source);
    server_stop(server);
    server_free(server);
    buf_release(&l.ids);
    buf_release(&text);
}

static void cancelled(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {BODY, 200, "", "{\"jobs\":[{\"id\":\"a\"" DONE ",{\"id\":\"b\"},{\"id\":\"c\"" DONE "]}"},
        {"GET /v1/jobs/b ", 200, "", "{\"job\":{\"id\":\"b\"" DONE "}"},
        {BODY, 200, "", "{\"jobs\":[]}"},
        {NULL},
    };
    /* 0: before the first answer; else from inside each() */
    for (unsigned at = 0; at <= 3; at++) {
        struct server *server = server_start(rows);
        struct source *source = make_source(server);
        struct listed l = {.source = source, .ids = BUF_INIT(4096), .cancel_at = at};
        source->ops->list(source, 0, on_job, on_done, &l);
        for (int twice = 0; at == 0 && twice < 2; twice++)
            source->ops->list_cancel(source);
        loop_run(loop);
        assert_int_equal(l.dones, 1);
        assert_int_equal(l.err.code, ERR_CANCELLED);
        source->ops->list_cancel(source); /* nothing under way: nothing happens */
        source->ops->free(source);
        server_stop(server);
        server_free(server);
        buf_release(&l.ids);
    }
}

static int set_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_options options = {
        .connect_timeout_ms = 5000,
        .stall_timeout_ms = 20000,
        .max_attempts = 2,
        .user_agent = "egress-test",
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    if (http_init(&options, &err) < 0 || !(loop = loop_new(&err)))
        fail_msg("%s", err.msg);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_until_one_is_empty),
        cmocka_unit_test(no_jobs),
        cmocka_unit_test(one_a_page),
        cmocka_unit_test(rows_that_went_away),
        cmocka_unit_test(the_known_row_went_away),
        cmocka_unit_test(the_forms_one_after_the_other),
        cmocka_unit_test(the_form_is_remembered),
        cmocka_unit_test(what_ends_it),
        cmocka_unit_test(rows_without_a_state_are_looked_up),
        cmocka_unit_test(a_long_answer),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
