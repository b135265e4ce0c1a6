/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy_event: three shapes told apart, base64 decoded strictly, hostile ones refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mem.h"
#include "event/event.h"
#include "ingress/proxy_event.h"

#define ID "016f6063-51a1-4948-a827-ce4c31ec53ed"

static struct ingress_request parsed(const char *data)
{
    struct ingress_request request;
    struct err err = {0};
    if (proxy_event_parse(data, strlen(data), &request, &err) < 0)
        fail_msg("%s: %s", data, err.msg);
    assert_int_equal(request.body[request.body_len], '\0');
    return request;
}

static void is(const char *data, enum ingress_shape shape, const char *method, const char *path,
               const char *body)
{
    struct ingress_request request = parsed(data);
    assert_int_equal(request.shape, shape);
    assert_string_equal(request.method, method);
    assert_string_equal(request.path, path);
    assert_string_equal(request.body, body);
    assert_int_equal(request.body_len, strlen(body));
    ingress_request_release(&request);
}

static void refused(const char *data, const char *says)
{
    struct ingress_request request;
    struct err err = {0};
    assert_int_equal(proxy_event_parse(data, strlen(data), &request, &err), -1);
    assert_int_equal(err.code, ERR_INPUT);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

static void the_samples_all_name_the_same_job(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        enum ingress_shape shape;
    } samples[] = {{"event.json", INGRESS_PROXY_V1},
                   {"events/bare.json", INGRESS_BARE},
                   {"events/proxy-v1.json", INGRESS_PROXY_V1},
                   {"events/proxy-v2.json", INGRESS_PROXY_V2},
                   {"events/base64.json", INGRESS_PROXY_V2}};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char data[8192];
        FILE *f = fopen(samples[i].file, "r"); /* make runs the tests from the top */
        if (!f)
            fail_msg("%s cannot be opened", samples[i].file);
        data[fread(data, 1, sizeof(data) - 1, f)] = '\0';
        fclose(f);
        struct ingress_request request = parsed(data);
        struct event event;
        struct err err = {0};
        assert_int_equal(request.shape, samples[i].shape);
        assert_string_equal(request.method, "POST");
        assert_string_equal(request.path, samples[i].shape == INGRESS_BARE ? "" : "/job-complete");
        assert_int_equal(event_parse(request.body, request.body_len, &event, &err), 0);
        assert_string_equal(event.id, ID);
        event_release(&event);
        ingress_request_release(&request);
    }
}

static void version_1(void **state)
{
    (void)state;
    is("{\"httpMethod\":\"POST\",\"path\":\"/p\",\"body\":\"b\",\"isBase64Encoded\":false}",
       INGRESS_PROXY_V1, "POST", "/p", "b");
    is("{\"version\":\"1.0\",\"httpMethod\":\"GET\",\"path\":\"/p\",\"body\":null,"
       "\"requestContext\":{\"httpMethod\":\"GET\"}}",
       INGRESS_PROXY_V1, "GET", "/p", "");
    is("{\"httpMethod\":\"POST\"}", INGRESS_PROXY_V1, "POST", "", "");
    is("{\"httpMethod\":\"POST\",\"path\":7,\"body\":\"\"}", INGRESS_PROXY_V1, "POST", "", "");
    is("{\"body\":\"{}\"}", INGRESS_PROXY_V1, "POST", "", "{}");
}

static void version_2(void **state)
{
    (void)state;
    is("{\"version\":\"2.0\",\"rawPath\":\"/p\",\"requestContext\":{\"http\":{\"method\":\"PUT\"}},"
       "\"body\":\"b\"}",
       INGRESS_PROXY_V2, "PUT", "/p", "b");
    is("{\"version\":\"2.0\",\"requestContext\":{\"http\":{\"method\":\"GET\"}}}", INGRESS_PROXY_V2,
       "GET", "", "");
    refused("{\"version\":\"2.0\",\"requestContext\":{\"http\":{}}}",
            "no requestContext.http.method");
    refused("{\"version\":\"2.0\",\"requestContext\":{\"http\":7}}",
            "no requestContext.http.method");
}

static void what_is_no_proxy_event_is_the_body_itself(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "not json",
        "[]",
        "7",
        "{}",
        "{\"id\":\"a\",\"event\":\"job_complete\"}",
        "[[[[",
        "{\"id\":\"a\",\"body\":\"x\"}",
        "{\"httpMethod\":\"GET\",\"httpMethod\":\"POST\"}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        is(bodies[i], INGRESS_BARE, "POST", "", bodies[i]);
}

static void base64(void **state)
{
    (void)state;
    is("{\"httpMethod\":\"POST\",\"body\":\"Zm9vYg==\",\"isBase64Encoded\":true}", INGRESS_PROXY_V1,
       "POST", "", "foob");
    is("{\"httpMethod\":\"POST\",\"body\":\"\",\"isBase64Encoded\":true}", INGRESS_PROXY_V1, "POST",
       "", "");
    is("{\"httpMethod\":\"POST\",\"body\":null,\"isBase64Encoded\":true}", INGRESS_PROXY_V1, "POST",
       "", "");
    is("{\"httpMethod\":\"POST\",\"body\":\"Zm9v\",\"isBase64Encoded\":null}", INGRESS_PROXY_V1,
       "POST", "", "Zm9v");
    static const char *const bad[] = {"Zm9vYg",   "Zm9vYg=", "Zm9v\\n",    "{}",
                                      "Zm9vYh==", "Zm-_",    "Z\\u0000==", "\\u00e9\\u00e9"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *data =
            xprintf("{\"httpMethod\":\"POST\",\"body\":\"%s\",\"isBase64Encoded\":true}", bad[i]);
        refused(data, "not base64");
        free(data);
    }
}

static void decoded_bytes_may_be_any(void **state)
{
    (void)state;
    struct ingress_request request =
        parsed("{\"httpMethod\":\"POST\",\"body\":\"AP8A\",\"isBase64Encoded\":true}");
    assert_int_equal(request.body_len, 3);
    assert_memory_equal(request.body, "\0\xff\0", 4);
    ingress_request_release(&request);
    request = parsed("{\"httpMethod\":\"POST\",\"body\":\"a\\u0000b\"}");
    assert_int_equal(request.body_len, 3);
    assert_memory_equal(request.body, "a\0b", 4);
    ingress_request_release(&request);
}

static void has_tokens(const char *data, const char *query, const char *header)
{
    struct ingress_request request = parsed(data);
    assert_string_equal(request.query_token ? request.query_token : "(none)", query);
    assert_string_equal(request.header_token ? request.header_token : "(none)", header);
    ingress_request_release(&request);
}

static void tokens(void **state)
{
    (void)state;
    has_tokens("{\"httpMethod\":\"POST\",\"queryStringParameters\":{\"token\":\"q\"},"
               "\"headers\":{\"Host\":\"h\",\"X-Egress-Token\":\"t\"}}",
               "q", "t");
    has_tokens("{\"requestContext\":{\"http\":{\"method\":\"POST\"}},"
               "\"queryStringParameters\":{\"Token\":\"q\"},"
               "\"headers\":{\"x-egress-token\":\"t\"}}",
               "(none)", "t");
    has_tokens("{\"httpMethod\":\"POST\",\"queryStringParameters\":null,\"headers\":null}",
               "(none)", "(none)");
    has_tokens("{\"httpMethod\":\"POST\",\"queryStringParameters\":[\"token\"],\"headers\":7}",
               "(none)", "(none)");
    has_tokens("{\"httpMethod\":\"POST\",\"queryStringParameters\":{\"token\":[\"q\"]},"
               "\"headers\":{\"x-egress-token\":\"a\\u0000b\"}}",
               "(none)", "(none)");
    has_tokens(
        "{\"id\":\"a\",\"event\":\"job_complete\",\"queryStringParameters\":{\"token\":\"q\"}}",
        "(none)", "(none)");
}

static void members_of_the_wrong_type(void **state)
{
    (void)state;
    refused("{\"httpMethod\":7,\"body\":\"\"}", "HTTP method is not a plain string");
    refused("{\"httpMethod\":null,\"body\":\"\"}", "HTTP method is not a plain string");
    refused("{\"httpMethod\":\"POST\\u0000\",\"body\":\"\"}", "HTTP method is not a plain string");
    refused("{\"httpMethod\":\"POST\",\"body\":{\"id\":\"a\"}}", "\"body\" is not a string");
    refused("{\"httpMethod\":\"POST\",\"body\":7}", "\"body\" is not a string");
    refused("{\"httpMethod\":\"POST\",\"isBase64Encoded\":\"true\"}", "neither true nor false");
    refused("{\"requestContext\":{\"http\":{\"method\":[]}}}", "HTTP method is not a plain string");
}

static void size_and_depth(void **state)
{
    (void)state;
    char *data = xcalloc(PROXY_EVENT_MAX + 2, 1);
    memset(data, '[', PROXY_EVENT_MAX + 1);
    struct ingress_request request;
    struct err err = {0};
    assert_int_equal(proxy_event_parse(data, PROXY_EVENT_MAX, &request, &err), 0);
    assert_int_equal(request.shape, INGRESS_BARE);
    ingress_request_release(&request);
    assert_int_equal(proxy_event_parse(data, PROXY_EVENT_MAX + 1, &request, &err), -1);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_all_name_the_same_job),
        cmocka_unit_test(version_1),
        cmocka_unit_test(version_2),
        cmocka_unit_test(what_is_no_proxy_event_is_the_body_itself),
        cmocka_unit_test(base64),
        cmocka_unit_test(decoded_bytes_may_be_any),
        cmocka_unit_test(tokens),
        cmocka_unit_test(members_of_the_wrong_type),
        cmocka_unit_test(size_and_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
