/* SPDX-License-Identifier: Apache-2.0
 *
 * accept: status and body of every answer, and how API Gateway gets them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "core/log.h"
#include "core/mem.h"
#include "ingress/accept.h"

#define GOOD "{\"id\":\"job-1\",\"event\":\"job_complete\",\"msg\":\"m\"}"

static FILE *log_file;

static int open_log(void **state)
{
    (void)state;
    log_file = tmpfile();
    log_init(log_file, LOG_INFO, LOG_HUMAN);
    return log_file ? 0 : -1;
}

static int close_log(void **state)
{
    (void)state;
    log_init(stderr, LOG_INFO, LOG_AUTO);
    return fclose(log_file);
}

static const char *logged(char out[4096])
{
    rewind(log_file);
    out[fread(out, 1, 4095, log_file)] = '\0';
    return out;
}

static const char *member(const json_t *root, const char *name)
{
    const char *s = json_string_value(json_object_get(root, name));
    return s ? s : "(none)";
}

/* Checks and releases the answer. */
static void is_error(struct answer *answer, int status, const char *status_text, const char *error,
                     const char *says)
{
    json_t *root = json_loads(answer->body, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(answer->status, status);
    assert_string_equal(member(root, "status"), status_text);
    assert_string_equal(member(root, "error"), error);
    if (!strstr(member(root, "message"), says))
        fail_msg("%s does not say \"%s\"", answer->body, says);
    json_decref(root);
    answer_release(answer);
}

static void refused(const char *method, const char *body, size_t len, int status, const char *error,
                    const char *says)
{
    struct event event;
    struct answer answer = {0};
    assert_false(accept_event(method, body, len, &event, &answer));
    is_error(&answer, status, "rejected", error, says);
}

static void accepts_and_logs(void **state)
{
    (void)state;
    struct event event;
    struct answer answer = {0};
    assert_true(accept_event("POST", GOOD, strlen(GOOD), &event, &answer));
    assert_string_equal(event.id, "job-1");
    assert_null(answer.body);
    event_release(&event);
    char text[4096];
    assert_string_equal(logged(text), "egress: webhook: job_complete: job job-1: m\n");
}

static void other_methods_get_405(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "PUT", "HEAD", "OPTIONS", "post", "POST ", ""};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        refused(methods[i], GOOD, strlen(GOOD), 405, "method", "expected POST");
}

static void bad_bodies_get_400_and_large_ones_413(void **state)
{
    (void)state;
    refused("POST", NULL, 0, 400, "input", "no body");
    refused("POST", "{", 1, 400, "input", "not JSON");
    refused("POST", "[]", 2, 400, "input", "not an object");
    refused("POST", "{}", 2, 400, "input", "no \"id\"");
    char *large = xcalloc(EVENT_BODY_MAX + 1, 1);
    refused("POST", large, EVENT_BODY_MAX + 1, 413, "too_large", "65536");
    free(large);
    char text[4096];
    assert_non_null(strstr(logged(text), "egress: warning: webhook rejected: no body"));
}

static void proxy_events(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        int status;
    } rows[] = {
        {"{\"httpMethod\":\"POST\",\"body\":\"{\\\"id\\\":\\\"a\\\",\\\"event\\\":\\\"job_"
         "complete\\\"}\"}",
         200},
        {GOOD, 200},
        {"{\"httpMethod\":\"GET\",\"body\":null}", 405},
        {"{\"httpMethod\":\"POST\",\"body\":null}", 400},
        {"{\"httpMethod\":\"POST\",\"body\":\"!\",\"isBase64Encoded\":true}", 400},
        {"{\"httpMethod\":\"POST\",\"body\":{}}", 400},
        {"", 400},
        {"nonsense", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct event event;
        struct answer answer = {.status = 200};
        if (accept_proxy_event(rows[i].data, strlen(rows[i].data), &event, &answer))
            event_release(&event);
        assert_int_equal(answer.status, rows[i].status);
        answer_release(&answer);
    }
}

static void a_large_body_in_a_proxy_event_gets_413(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        size_t len = i == 0 ? EVENT_BODY_MAX + 1 : 2 * 1024 * 1024;
        char *filler = xcalloc(len + 1, 1);
        memset(filler, ' ', len);
        char *data = xprintf("{\"httpMethod\":\"POST\",\"body\":\"%s\"}", filler);
        struct event event;
        struct answer answer = {0};
        assert_false(accept_proxy_event(data, strlen(data), &event, &answer));
        is_error(&answer, 413, "rejected", "too_large", "expected at most");
        free(data);
        free(filler);
    }
}

static void a_long_hostile_msg_is_capped_in_the_log(void **state)
{
    (void)state;
    char *msg = xcalloc(60001, 1);
    memset(msg, 'x', 60000);
    char *body =
        xprintf("{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"\\n\\u001b[2J%s\"}", msg);
    struct event event;
    struct answer answer = {0};
    assert_true(accept_event("POST", body, strlen(body), &event, &answer));
    event_release(&event);
    char text[4096];
    assert_true(strlen(logged(text)) < 300);
    assert_non_null(strstr(text, ": ??[2Jxxx"));
    assert_true(strchr(text, '\n') == text + strlen(text) - 1);
    free(body);
    free(msg);
}

static void stored(void **state)
{
    (void)state;
    const struct answer_object objects[] = {{"k\"1", "s3://b/k\"1", 7},
                                            {"k2", "s3://b/k2", 1ull << 40}};
    struct answer answer = {0};
    answer_stored(&answer, "job-1", false, objects, 2);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body,
                        "{\"status\":\"stored\",\"job\":\"job-1\",\"objects\":["
                        "{\"key\":\"k\\\"1\",\"location\":\"s3://b/k\\\"1\",\"size\":7},"
                        "{\"key\":\"k2\",\"location\":\"s3://b/k2\",\"size\":1099511627776}]}");
    answer_release(&answer);
    answer_stored(&answer, "job-1", true, NULL, 0);
    assert_string_equal(answer.body,
                        "{\"status\":\"already stored\",\"job\":\"job-1\",\"objects\":[]}");
    answer_release(&answer);
}

static void very_many_objects_stay_within_bounds(void **state)
{
    (void)state;
    enum { N = 5000 };
    char key[1025];
    memset(key, '\x01', 1024);
    key[1024] = '\0';
    struct answer_object *objects = xcalloc(N, sizeof(*objects));
    for (size_t i = 0; i < N; i++)
        objects[i] = (struct answer_object){key, key, 1};
    struct answer answer = {0};
    answer_stored(&answer, "job-1", false, objects, N);
    json_t *root = json_loads(answer.body, 0, NULL);
    assert_non_null(root);
    assert_in_range(json_array_size(json_object_get(root, "objects")), 10, ANSWER_OBJECTS_MAX);
    json_decref(root);
    struct buf out = BUF_INIT(ANSWER_TEXT_MAX);
    answer_format_proxy(&answer, &out);
    assert_false(buf_overflowed(&out));
    buf_release(&out);
    answer_release(&answer);
    free(objects);
}

static void failed(void **state)
{
    (void)state;
    struct err err = {0};
    struct answer answer = {0};
    err_set(&err, ERR_NETWORK, "cannot reach \"x\"");
    answer_failed(&answer, "job-1", &err);
    assert_string_equal(answer.body,
                        "{\"status\":\"failed\",\"job\":\"job-1\",\"error\":\"network\","
                        "\"message\":\"cannot reach \\\"x\\\"\"}");
    is_error(&answer, 500, "failed", "network", "cannot reach");
    answer_failed(&answer, NULL, &err);
    is_error(&answer, 500, "failed", "network", "cannot reach");
}

static void answers_of_the_function(void **state)
{
    (void)state;
    struct err err = {0};
    struct answer answer = {0};
    err_set(&err, ERR_AUTH, "no webhook token");
    answer_unauthorized(&answer, &err);
    is_error(&answer, 401, "rejected", "auth", "no webhook token");
    err_set(&err, ERR_TOO_LARGE, "the event is too long");
    answer_refused(&answer, &err);
    is_error(&answer, 413, "rejected", "too_large", "too long");
    err_set(&err, ERR_INPUT, "it is none");
    answer_refused(&answer, &err);
    is_error(&answer, 400, "rejected", "input", "none");
    answer_queued(&answer, "job-1");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"status\":\"queued\",\"job\":\"job-1\"}");
    answer_release(&answer);
}

static void what_is_wrong_inside_is_not_told_to_strangers(void **state)
{
    (void)state;
    struct err err = {0};
    struct answer answer = {0};
    err_set(&err, ERR_AUTH, "queue https://sqs/123456789012/q refused us");
    answer_unavailable(&answer, "job-1", &err);
    assert_null(strstr(answer.body, "123456789012"));
    is_error(&answer, 503, "not accepted", "auth", "send the webhook again");
    answer_unavailable(&answer, NULL, &err);
    assert_null(strstr(answer.body, "\"job\""));
    answer_release(&answer);
}

static void api_gateways_form(void **state)
{
    (void)state;
    struct answer answer = {200, xstrdup("{\"status\":\"stored\"}")};
    struct buf out = BUF_INIT(ANSWER_TEXT_MAX);
    answer_format_proxy(&answer, &out);
    assert_string_equal(buf_str(&out),
                        "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"application/json\"},"
                        "\"body\":\"{\\\"status\\\":\\\"stored\\\"}\"}");
    buf_clear(&out);
    answer.status = 405; /* RFC 9110, 15.5.6: says what is allowed */
    answer_format_proxy(&answer, &out);
    json_t *root = json_loads(buf_str(&out), 0, NULL);
    assert_string_equal(member(json_object_get(root, "headers"), "Allow"), "POST");
    json_decref(root);
    buf_release(&out);
    answer_release(&answer);
}

int main(void)
{
#define WITH_LOG(fn) cmocka_unit_test_setup_teardown(fn, open_log, close_log)
    const struct CMUnitTest tests[] = {
        WITH_LOG(accepts_and_logs),
        WITH_LOG(other_methods_get_405),
        WITH_LOG(bad_bodies_get_400_and_large_ones_413),
        WITH_LOG(proxy_events),
        WITH_LOG(a_large_body_in_a_proxy_event_gets_413),
        WITH_LOG(a_long_hostile_msg_is_capped_in_the_log),
        WITH_LOG(stored),
        WITH_LOG(very_many_objects_stay_within_bounds),
        WITH_LOG(failed),
        WITH_LOG(answers_of_the_function),
        WITH_LOG(what_is_wrong_inside_is_not_told_to_strangers),
        WITH_LOG(api_gateways_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
