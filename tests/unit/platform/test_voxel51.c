/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51, details: what is asked, how calls are gathered, and how refusals are told apart, against
 * a scripted server.
 */
#include "platform/voxel51.h"

#include "scripted_server.h"

#include "core/log.h"
#include "net/http.h"

#define KEY "SECRET.key"

static struct loop *loop;
static size_t left; /* describes not yet told */

struct asked {
    struct source_job job;
    struct err err;
    bool told;
};

static void on_described(void *arg, const struct err *err)
{
    struct asked *a = arg;
    assert_false(a->told);
    a->told = true;
    if (err)
        a->err = *err;
    if (err)
        assert_null(strstr(err->msg, "SECRET"));
    if (--left == 0)
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

static void ask(struct source *source, const char *id, struct asked *a)
{
    left++;
    source->ops->describe(source, id, &a->job, on_described, a);
    assert_false(a->told); /* never from inside the call */
}

static void release(struct asked *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        source_job_release(&a[i].job);
}

static void one_is_asked_by_get(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"GET /v1/jobs/a-1 ", 200, "", "{\"job\":{\"id\":\"a-1\",\"state\":\"COMPLETE\"}}"},
        {NULL},
    };
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    struct asked a = {0};
    ask(source, "a-1", &a);
    loop_run(loop);
    source->ops->free(source);
    server_stop(server);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_int_equal(a.job.state, JOB_COMPLETE);
    assert_int_equal(server->n_requests, 1);
    assert_non_null(strstr(server->requests[0], "\r\nAuthorization: Bearer " KEY "\r\n"));
    server_free(server);
    release(&a, 1);
}

/* More is asked in two turns of the loop while the server holds back its first answer. */
struct more {
    struct loop_task task;
    struct source *source;
    struct asked *a;
    int gate;
};

static void ask_yet_more(void *arg)
{
    struct more *more = arg;
    ask(more->source, "d", &more->a[4]);
    ask(more->source, "e", &more->a[5]);
    assert_int_equal(write(more->gate, "", 1), 1);
}

static void ask_more(void *arg)
{
    struct more *more = arg;
    ask(more->source, "b", &more->a[1]);
    ask(more->source, "c", &more->a[2]);
    ask(more->source, "b", &more->a[3]);
    loop_post(loop, &more->task, ask_yet_more, more);
}

static void calls_are_gathered(void **state)
{
    (void)state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    const struct row rows[] = {
        {"GET /v1/jobs/a ", 200, "", "{\"job\":{\"id\":\"a\",\"state\":\"READY\"}}", 1, false,
         gate[0]},
        {"POST /v1/jobs/batch ", 200, "",
         "{\"responses\":{"
         "\"b\":{\"response\":{\"id\":\"b\",\"state\":\"COMPLETE\"}},"
         "\"c\":{\"success\":1,\"response\":{\"id\":\"c\",\"state\":\"FAILED\"}},"
         "\"d\":{\"success\":false,\"error\":{\"code\":404,\"message\":\"never heard of\"}}}}"},
        {"GET /v1/jobs/e ", 404, "", "{\"error\":{\"code\":404,\"message\":\"not that one\"}}"},
        {NULL},
    };
    struct server *server = server_start(rows);
    struct asked a[6] = {{{{0}}}};
    struct more more = {.source = make_source(server), .a = a, .gate = gate[1]};
    ask(more.source, "a", &a[0]);
    loop_post(loop, &more.task, ask_more, &more);
    loop_run(loop);
    more.source->ops->free(more.source);
    server_stop(server);

    assert_int_equal(server->n_requests, 3);
    assert_non_null(strstr(server->requests[1], "Content-Type: application/json\r\n"));
    assert_non_null(strstr(server->requests[1], "Authorization: Bearer " KEY "\r\n"));
    assert_non_null(strstr(server->requests[1],
                           "\r\n\r\n{\"action\":\"details\",\"ids\":[\"b\",\"c\",\"d\",\"e\"]}"));
    assert_int_equal(a[0].job.state, JOB_UNDERWAY);
    assert_int_equal(a[1].job.state, JOB_COMPLETE);
    assert_int_equal(a[2].job.state, JOB_FAILED);
    assert_string_equal(a[3].job.id, "b"); /* asked twice, sent once, told twice */
    assert_int_equal(a[4].err.code, ERR_JOB_UNKNOWN);
    assert_non_null(strstr(a[4].err.msg, "never heard of"));
    assert_int_equal(a[5].err.code, ERR_JOB_UNKNOWN); /* left out of the batch: asked alone */
    assert_non_null(strstr(a[5].err.msg, "not that one"));
    server_free(server);
    close(gate[0]);
    close(gate[1]);
    release(a, 6);
}

enum { MANY = 250 };

static void a_batch_holds_a_hundred(void **state)
{
    (void)state;
    struct buf all = BUF_INIT(64 * 1024);
    char ids[MANY][16];
    buf_str_append(&all, "{\"responses\":{");
    for (int i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof(ids[i]), "job-%03d", i);
        buf_printf(&all, "%s\"%s\":{\"response\":{\"id\":\"%s\",\"state\":\"COMPLETE\"}}",
                   i ? "," : "", ids[i], ids[i]);
    }
    buf_str_append(&all, "}}");
    struct row rows[] = {{"POST /v1/jobs/batch ", 200, "", buf_str(&all), 3}, {NULL}};
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    static struct asked a[MANY];
    for (int i = 0; i < MANY; i++)
        ask(source, ids[i], &a[i]);
    loop_run(loop);
    source->ops->free(source);
    server_stop(server);
    assert_int_equal(server->n_requests, 3);
    assert_non_null(strstr(server->requests[0], "\"job-099\"]}"));
    assert_non_null(strstr(server->requests[1], "[\"job-100\","));
    assert_non_null(strstr(server->requests[2], "\"job-249\"]}"));
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(a[i].err.code, ERR_NONE);
        assert_string_equal(a[i].job.id, ids[i]);
    }
    release(a, MANY);
    server_free(server);
    buf_release(&all);
}

/* Without a batch route every job is asked alone, and the route is not tried again. */
static void assert_asked_singly(int status, const char *body)
{
    struct row rows[] = {
        {"POST /v1/jobs/batch ", status, "", body, 1},
        {"GET /v1/jobs/a ", 200, "", "{\"job\":{\"id\":\"a\",\"state\":\"COMPLETE\"}}", 2},
        {"GET /v1/jobs/b ", 200, "", "{\"job\":{\"id\":\"b\",\"state\":\"RUNNING\"}}", 2},
        {NULL},
    };
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    for (int round = 0; round < 2; round++) {
        struct asked a[2] = {{{{0}}}};
        ask(source, "a", &a[0]);
        ask(source, "b", &a[1]);
        loop_run(loop);
        assert_int_equal(a[0].job.state, JOB_COMPLETE);
        assert_string_equal(a[1].job.state_text, "RUNNING");
        release(a, 2);
    }
    source->ops->free(source);
    server_stop(server);
    assert_int_equal(server->n_requests, 5);
    server_free(server);
}

static void without_a_batch_route(void **state)
{
    (void)state;
    assert_asked_singly(404, "{\"error\":{\"code\":404,\"message\":\"Not Found\"}}");
    assert_asked_singly(405, "");
    assert_asked_singly(400, "<html>");
    assert_asked_singly(200, "<html>");
}

static void a_batch_that_fails_as_a_whole(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"POST /v1/jobs/batch ", 401, "",
         "{\"error\":{\"code\":401,\"message\":\"Unauthorized\"}}"},
        {"POST /v1/jobs/batch ", 500, "", "", 2},
        {NULL},
    };
    static const enum err_code codes[] = {ERR_AUTH, ERR_HTTP};
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    for (int round = 0; round < 2; round++) {
        struct asked a[2] = {{{{0}}}};
        ask(source, "a", &a[0]);
        ask(source, "b", &a[1]);
        loop_run(loop);
        assert_int_equal(a[0].err.code, codes[round]);
        assert_int_equal(a[1].err.code, codes[round]);
        assert_int_equal(err_is_retryable(&a[1].err), codes[round] == ERR_HTTP);
        release(a, 2);
    }
    source->ops->free(source);
    server_stop(server);
    assert_int_equal(server->n_requests, 3); /* the 500 twice: net repeats it */
    server_free(server);
}

static void answers_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct row row;
        enum err_code code;
        const char *part;
    } cases[] = {
        {{"GET ", 401, "", "{\"error\":{\"code\":401,\"message\":\"bad\\nkey\"}}"},
         ERR_AUTH,
         "refused the token (401: bad?key)"},
        {{"GET ", 401, "", "<html>"}, ERR_AUTH, "refused the token (401)"},
        {{"GET ", 403, "", "{\"error\":{\"code\":403,\"message\":\"not yours\"}}"},
         ERR_JOB_UNKNOWN,
         "not yours"},
        {{"GET ", 403, "", "<html>"}, ERR_AUTH, "proxy"},
        {{"GET ", 404, "", "{\"error\":{\"code\":404,\"message\":\"no such\"}}"},
         ERR_JOB_UNKNOWN,
         "no such"},
        {{"GET ", 404, "", "<html>"}, ERR_JOB_UNKNOWN, "base URL"},
        {{"GET ", 400, "", "{\"error\":{\"code\":400}}"}, ERR_JOB_UNKNOWN, "(400)"},
        {{"GET ", 410, "", "{\"error\":{\"message\":\"was\"}}"}, ERR_JOB_UNKNOWN, "was"},
        {{"GET ", 429, "Retry-After: 3600\r\n", "{\"error\":{\"message\":\"slow\"}}"},
         ERR_HTTP,
         "slow"},
        {{"GET ", 500, "", "oops", 2}, ERR_HTTP, "500"},
        {{"GET ", 200, "Content-Type: text/html\r\n", "<html>"}, ERR_PROTOCOL, "200, text/html"},
        {{"GET ", 200, "", "{\"job\":{\"id\":\"b\",\"state\":\"READY\"}}"},
         ERR_PROTOCOL,
         "another job"},
        {{"GET ", 204, "", ""}, ERR_PROTOCOL, "204, no content type"},
        {{"GET ", 0, "", "", 2}, ERR_NETWORK, "GET http://127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct row rows[] = {cases[i].row, {NULL}};
        struct server *server = server_start(rows);
        struct source *source = make_source(server);
        struct asked a = {0};
        ask(source, "a", &a);
        loop_run(loop);
        source->ops->free(source);
        server_stop(server);
        if (a.err.code != cases[i].code || !strstr(a.err.msg, cases[i].part))
            fail_msg("case %zu: %s: %s", i, err_name(a.err.code), a.err.msg);
        assert_int_equal(a.err.retry_after_ms, cases[i].row.status == 429 ? 3600 * 1000 : 0);
        assert_null(a.job.outputs);
        server_free(server);
    }
}

static void what_is_no_job_id(void **state)
{
    (void)state;
    static const struct row rows[] = {{NULL}};
    char *longer = xprintf("%0129d", 0);
    const char *const ids[] = {"",    "..",  "../a", "a/b", "-a",       "_a",
                               "a b", "a\n", "a%2f", "a?b", "\xc3\xa4", longer};
    enum { N = sizeof(ids) / sizeof(ids[0]) };
    struct server *server = server_start(rows);
    struct source *source = make_source(server);
    struct asked a[N] = {{{{0}}}};
    for (size_t i = 0; i < N; i++)
        ask(source, ids[i], &a[i]);
    loop_run(loop);
    source->ops->free(source);
    server_stop(server);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(a[i].err.code, ERR_INPUT);
    assert_int_equal(server->n_requests, 0);
    server_free(server);
    free(longer);
}

static void a_base_url_that_is_none(void **state)
{
    (void)state;
    struct err err = {0};
    char key[] = "k", base[] = "ftp://h/v1";
    struct token token = {.private_key = key, .base_url = base};
    assert_null(voxel51_new(loop, &(struct voxel51_config){.token = &token}, &err));
    assert_int_equal(err.code, ERR_CONFIG);
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
        cmocka_unit_test(one_is_asked_by_get),
        cmocka_unit_test(calls_are_gathered),
        cmocka_unit_test(a_batch_holds_a_hundred),
        cmocka_unit_test(without_a_batch_route),
        cmocka_unit_test(a_batch_that_fails_as_a_whole),
        cmocka_unit_test(answers_told_apart),
        cmocka_unit_test(what_is_no_job_id),
        cmocka_unit_test(a_base_url_that_is_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
