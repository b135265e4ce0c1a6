/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_runtime: what is asked of the runtime API, and that no answer of it leads to a tight loop,
 * a lost invocation or a crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "ingress/lambda_runtime.h"
#include "net/http.h"
#include "tests/unit/scripted_http.h"

#define ID  "Lambda-Runtime-Aws-Request-Id: r-1\r\n"
#define FAR "Lambda-Runtime-Deadline-Ms: 99999999999999\r\n"
#define TAKEN                                                                                      \
    {                                                                                              \
        "202 Accepted\r\n", "{\"status\":\"OK\"}\n", SCRIPTED_KEEP                                 \
    }

struct bench {
    struct loop *loop;
    struct scripted_http *server;
    struct lambda_runtime *runtime;
    char *result; /* what the function answers; NULL: it fails */
    int answers;  /* after so many it stops */
    int invocations;
    bool ended;
    struct err end;
    char *payload, *arn, *trace; /* of the latest invocation */
    int64_t deadline_ms;
};

static void on_invocation(void *arg, const struct lambda_invocation *in)
{
    struct bench *b = arg;
    free(b->payload);
    free(b->arn);
    free(b->trace);
    b->payload = xstrndup(in->payload, in->payload_len);
    b->arn = xstrdup(in->function_arn);
    b->trace = xstrdup(getenv(LAMBDA_TRACE_ID));
    b->deadline_ms = in->deadline_ms;
    struct err err = {0};
    if (b->invocations++ == b->answers) {
        loop_stop(b->loop);
    } else if (b->result) {
        lambda_runtime_respond(b->runtime, b->result, strlen(b->result));
    } else {
        err_set(&err, ERR_CONFIG, "it is \"broken\"");
        lambda_runtime_fail(b->runtime, "Egress.config", &err);
    }
}

static void on_end(void *arg, const struct err *err)
{
    struct bench *b = arg;
    b->ended = true;
    b->end = *err;
    loop_stop(b->loop);
}

/* Answers so many invocations with "{}" and stops at the next. */
static struct bench *start(const struct scripted_answer *answers, size_t n, int to_answer)
{
    struct err err = {0};
    struct bench *b = xcalloc(1, sizeof(*b));
    b->loop = loop_new(&err);
    assert_non_null(b->loop);
    b->server = scripted_http_start(answers, n);
    b->result = xstrdup("{}");
    b->answers = to_answer;
    struct lambda_runtime_config config = {.loop = b->loop,
                                           .address = scripted_http_url(b->server) + 7,
                                           .on_invocation = on_invocation,
                                           .on_end = on_end,
                                           .arg = b};
    b->runtime = lambda_runtime_new(&config);
    return b;
}

static void run(struct bench *b)
{
    lambda_runtime_next(b->runtime);
    loop_run(b->loop);
}

static bool asked(const struct bench *b, size_t i, const char *text)
{
    return strstr(scripted_http_request(b->server, i), text) != NULL;
}

static void end(struct bench *b, size_t requests)
{
    lambda_runtime_free(b->runtime);
    loop_free(b->loop);
    assert_int_equal(scripted_http_stop(b->server), requests);
}

static void bench_free(struct bench *b)
{
    scripted_http_free(b->server);
    free(b->result);
    free(b->payload);
    free(b->arn);
    free(b->trace);
    free(b);
}

static void an_invocation_and_its_response(void **state)
{
    (void)state;
    char soon[256];
    int64_t deadline_ms = clock_wall_ms() + 60000;
    snprintf(soon, sizeof(soon),
             "200 OK\r\n" ID "Lambda-Runtime-Deadline-Ms: %lld\r\n"
             "Lambda-Runtime-Trace-Id: Root=1-5e;Sampled=1\r\n",
             (long long)deadline_ms);
    struct scripted_answer answers[] = {
        {soon, "{\"a\":1}", SCRIPTED_KEEP},
        TAKEN,
        {"200 OK\r\nlambda-runtime-aws-request-id: r-2\r\n"
         "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:x\r\n" FAR,
         "second"},
    };
    struct bench *b = start(answers, 3, 1);
    b->result = xrealloc(b->result, 32);
    memcpy(b->result, "{\"statusCode\":200}", 19);
    run(b);
    assert_string_equal(b->payload, "second");
    assert_string_equal(b->arn, "arn:aws:lambda:x");
    assert_null(b->trace); /* it had none, and does not inherit */
    assert_int_equal(b->deadline_ms, 0);
    end(b, 3);
    assert_true(asked(b, 0, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"));
    assert_true(asked(b, 1, "POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\n"));
    assert_true(asked(b, 1, "\r\n\r\n{\"statusCode\":200}"));
    assert_false(asked(b, 1, "Error-Type"));
    bench_free(b);

    b = start(answers, 1, 0);
    run(b);
    assert_string_equal(b->payload, "{\"a\":1}");
    assert_string_equal(b->trace, "Root=1-5e;Sampled=1");
    assert_int_equal(b->deadline_ms, deadline_ms);
    end(b, 1);
    bench_free(b);
}

static void a_failure_is_told_with_its_type(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n" ID FAR, "{}", SCRIPTED_KEEP}, TAKEN, {"200 OK\r\n" ID FAR, "{}"}};
    struct bench *b = start(answers, 3, 1);
    free(b->result);
    b->result = NULL;
    run(b);
    end(b, 3);
    assert_true(asked(b, 1, "POST /2018-06-01/runtime/invocation/r-1/error HTTP/1.1\r\n"));
    assert_true(asked(b, 1, "\r\nLambda-Runtime-Function-Error-Type: Egress.config\r\n"));
    assert_true(asked(b, 1,
                      "\r\n\r\n{\"errorMessage\":\"it is \\\"broken\\\"\",\"errorType\":"
                      "\"Egress.config\",\"stackTrace\":[]}"));
    bench_free(b);
}

static void a_function_that_cannot_start(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {TAKEN};
    struct err err = {0};
    struct bench *b = start(answers, 1, 0);
    err_set(&err, ERR_CONFIG, "no bucket");
    lambda_runtime_init_fail(b->runtime, "Egress.config", &err);
    loop_run(b->loop);
    assert_true(b->ended);
    assert_string_equal(b->end.msg, "no bucket");
    end(b, 1);
    assert_true(asked(b, 0, "POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"));
    assert_true(asked(b, 0, "\"no bucket\""));
    bench_free(b);
}

/* Each is asked again, after a pause; then all is well. */
static void malformed_answers_to_next(void **state)
{
    (void)state;
    static const struct scripted_answer bad[] = {
        {"200 OK\r\n" FAR, "{}"},
        {"200 OK\r\nLambda-Runtime-Aws-Request-Id: a/../b\r\n", "{}"},
        {"200 OK\r\nLambda-Runtime-Aws-Request-Id:\r\n", "{}"},
        {"204 No Content\r\n" ID, ""},
        {"400 Bad Request\r\n" ID, "{}"},
        {"500 Oops\r\n", "{}"},
        {"302 Found\r\nLocation: /elsewhere\r\n", ""},
        {"garbage\r\n\r\n", "", SCRIPTED_RAW},
        {NULL, "", SCRIPTED_RESET},
        {NULL, ""},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct scripted_answer answers[] = {bad[i], {"200 OK\r\n" ID FAR, "{}"}};
        struct bench *b = start(answers, 2, 0);
        int64_t began_ms = clock_mono_ms();
        run(b);
        assert_int_equal(b->invocations, 1);
        assert_true(clock_mono_ms() - began_ms >= 100);
        end(b, 2);
        bench_free(b);
    }
}

static void garbage_deadlines_are_none(void **state)
{
    (void)state;
    static const char *const deadlines[] = {
        "", "Lambda-Runtime-Deadline-Ms: soon\r\n", "Lambda-Runtime-Deadline-Ms: -1\r\n",
        "Lambda-Runtime-Deadline-Ms: 5\r\n",
        "Lambda-Runtime-Deadline-Ms: 99999999999999999999999\r\n"};
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        char *head = xprintf("200 OK\r\n" ID "%s", deadlines[i]);
        struct scripted_answer answers[] = {{head, "{}"}};
        struct bench *b = start(answers, 1, 0);
        b->deadline_ms = -7;
        run(b);
        assert_int_equal(b->deadline_ms, 0);
        end(b, 1);
        bench_free(b);
        free(head);
    }
}

/* It has a name, so whoever waits for it is told. */
static void a_payload_that_is_cut_or_too_long(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\n" ID FAR "Content-Length: 1000\r\n\r\n{",
        "HTTP/1.1 200 OK\r\n" ID FAR "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzzz",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct scripted_answer answers[] = {
            {heads[i], "", SCRIPTED_RAW}, TAKEN, {"200 OK\r\n" ID FAR, "{}"}};
        struct bench *b = start(answers, 3, 0);
        run(b);
        assert_int_equal(b->invocations, 1);
        end(b, 3);
        assert_true(asked(b, 1, "/invocation/r-1/error HTTP"));
        assert_true(asked(b, 1, "Error-Type: Egress.payload\r\n"));
        bench_free(b);
    }
}

static void it_is_given_up_after_failures_in_a_row(void **state)
{
    (void)state;
    struct bench *b = start(NULL, 0, 0);
    int64_t began_ms = clock_mono_ms();
    run(b);
    assert_true(b->ended);
    assert_non_null(strstr(b->end.msg, "6 failures in a row"));
    assert_non_null(strstr(b->end.msg, "501"));
    assert_in_range(clock_mono_ms() - began_ms, 3000, 20000);
    end(b, RUNTIME_FAILURES_MAX);
    bench_free(b);
}

/* That `next` works in between does not help it. */
static void refused_responses_are_failures_in_a_row(void **state)
{
    (void)state;
    enum { N = 2 * RUNTIME_FAILURES_MAX };
    struct scripted_answer answers[N];
    for (size_t i = 0; i < N; i++)
        answers[i] = i % 2 == 0 ? (struct scripted_answer){"200 OK\r\n" ID FAR, "{}", SCRIPTED_KEEP}
                                : (struct scripted_answer){"403 No\r\n", "", SCRIPTED_KEEP};
    struct bench *b = start(answers, N, 100);
    run(b);
    assert_true(b->ended);
    assert_non_null(strstr(b->end.msg, "403"));
    end(b, N);
    bench_free(b);
}

static int set_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_options options = {.connect_timeout_ms = 2000,
                                   .stall_timeout_ms = 1000,
                                   .max_attempts = 1,
                                   .user_agent = "bench/1"};
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody there: it must not be asked */
    unsetenv(LAMBDA_TRACE_ID);
    return http_init(&options, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invocation_and_its_response),
        cmocka_unit_test(a_failure_is_told_with_its_type),
        cmocka_unit_test(a_function_that_cannot_start),
        cmocka_unit_test(malformed_answers_to_next),
        cmocka_unit_test(garbage_deadlines_are_none),
        cmocka_unit_test(a_payload_that_is_cut_or_too_long),
        cmocka_unit_test(it_is_given_up_after_failures_in_a_row),
        cmocka_unit_test(refused_responses_are_failures_in_a_row),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
