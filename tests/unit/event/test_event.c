/* SPDX-License-Identifier: Apache-2.0
 *
 * event: what is accepted, and one clear error for each thing that is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mem.h"
#include "event/event.h"

#define ID "016f6063-51a1-4948-a827-ce4c31ec53ed"

static void accepted(const char *body, const char *id, const char *msg)
{
    struct event event;
    struct err err = {0};
    if (event_parse(body, strlen(body), &event, &err) < 0)
        fail_msg("%s: %s", body, err.msg);
    assert_string_equal(event.id, id);
    assert_string_equal(event.event, "job_complete");
    if (msg)
        assert_string_equal(event.msg, msg);
    else
        assert_null(event.msg);
    event_release(&event);
}

static void refused_bytes(const char *body, size_t len, enum err_code code, const char *says)
{
    struct event event;
    struct err err = {0};
    assert_int_equal(event_parse(body, len, &event, &err), -1);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    assert_null(strpbrk(err.msg, "\r\n"));
}

static void refused(const char *body, const char *says)
{
    refused_bytes(body, strlen(body), ERR_INPUT, says);
}

static void the_platforms_own_form(void **state)
{
    (void)state;
    accepted("{\"id\":\"" ID "\",\"event\":\"job_complete\",\"msg\":\"TEST\"}", ID, "TEST");
    accepted(" {\"msg\":\"\",\"event\":\"job_complete\",\"id\":\"" ID "\",\"more\":[1,{}]}\n", ID,
             "");
    accepted("{\"id\":\"" ID "\",\"event\":\"job\\u005fcomplete\"}", ID, NULL);
}

static void msg_may_be_anything(void **state)
{
    (void)state;
    static const char *const values[] = {"null", "7", "true", "[1]", "{\"a\":\"b\"}", "-1.5e3"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char *body = xprintf("{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":%s}", values[i]);
        accepted(body, "a", NULL);
        free(body);
    }
}

static void no_body_or_none_that_is_json(void **state)
{
    (void)state;
    refused("", "no body");
    refused_bytes(NULL, 0, ERR_INPUT, "no body");
    refused("   ", "not JSON: ends too early");
    refused("id=1&event=job_complete", "not JSON: syntax error");
    refused("{\"id\":\"" ID "\",\"event\":\"job_complete\"", "not JSON: ends too early");
    refused("{\"id\":\"" ID "\",\"event\":\"job_complete\"}x", "not JSON: something follows");
    refused("{'id':'x'}", "not JSON");
    refused("eyJpZCI6ImEifQ==", "not JSON");
    refused("\xef\xbb\xbf{}", "not JSON");
}

static void not_an_object(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "[]", "[{\"id\":\"a\",\"event\":\"job_complete\"}]", "\"a\"", "1", "null", "true"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        refused(bodies[i], "not an object");
}

static void wrong_ids(void **state)
{
    (void)state;
    refused("{}", "no \"id\"");
    refused("{\"event\":\"job_complete\"}", "no \"id\"");
    refused("{\"Id\":\"a\",\"event\":\"job_complete\"}", "no \"id\"");
    refused("{\"id\":null,\"event\":\"job_complete\"}", "\"id\" is null");
    refused("{\"id\":\"\",\"event\":\"job_complete\"}", "\"id\" is empty");
    refused("{\"id\":7,\"event\":\"job_complete\"}", "\"id\" is not a string");
    refused("{\"id\":[\"a\"],\"event\":\"job_complete\"}", "\"id\" is not a string");
    refused("{\"id\":\"../../etc/passwd\",\"event\":\"job_complete\"}", "\"../../etc/passwd\"");
    refused("{\"id\":\"a b\",\"event\":\"job_complete\"}", "not a job id: \"a b\"");
    refused("{\"id\":\"a\\nb\",\"event\":\"job_complete\"}", "not a job id: \"a b\"");
    refused("{\"id\":\"-a\",\"event\":\"job_complete\"}", "not a job id");
    refused("{\"id\":\"a/b\",\"event\":\"job_complete\"}", "not a job id");
    refused("{\"id\":\"\xc3\xa4\",\"event\":\"job_complete\"}", "not a job id");
    refused("{\"id\":\"a\\u0000\",\"event\":\"job_complete\"}", "NUL");
}

static void the_form_of_an_id(void **state)
{
    (void)state;
    char id[200];
    memset(id, 'a', sizeof(id));
    id[128] = '\0';
    assert_true(job_id_is_valid(id));
    id[128] = 'a';
    id[129] = '\0';
    assert_false(job_id_is_valid(id));
    static const char *const good[] = {"a", "0", "Z", "a-", "a_", "0--__--", ID};
    static const char *const bad[] = {"",    "-",  "_",  "-a", "_a",  ".",        "..",   "a.",
                                      "a b", " a", "a ", "a%", "a\n", "\xc3\xa9", "a\x7f"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(job_id_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(job_id_is_valid(bad[i]));
}

static void a_huge_id_is_not_repeated_whole(void **state)
{
    (void)state;
    char *id = xcalloc(10241, 1);
    memset(id, 'x', 10240);
    char *body = xprintf("{\"id\":\"%s\",\"event\":\"job_complete\"}", id);
    struct event event;
    struct err err = {0};
    assert_int_equal(event_parse(body, strlen(body), &event, &err), -1);
    assert_non_null(strstr(err.msg, "expected a letter or digit, then up to 127"));
    free(body);
    free(id);
}

static void wrong_events(void **state)
{
    (void)state;
    refused("{\"id\":\"a\"}", "no \"event\"");
    refused("{\"id\":\"a\",\"event\":null}", "\"event\" is not a string");
    refused("{\"id\":\"a\",\"event\":1}", "\"event\" is not a string");
    refused("{\"id\":\"a\",\"event\":\"\"}", "\"event\" is \"\"; expected \"job_complete\"");
    refused("{\"id\":\"a\",\"event\":\"job_fail\"}", "\"event\" is \"job_fail\"");
    refused("{\"id\":\"a\",\"event\":\"Job_Complete\"}", "\"event\" is");
    refused("{\"id\":\"a\",\"event\":\"job_complete \"}", "\"event\" is");
    refused("{\"id\":\"a\",\"event\":\"job_complete\\u0000\"}", "NUL");
}

static void hostile_json(void **state)
{
    (void)state;
    refused("{\"id\":\"a\",\"id\":\"b\",\"event\":\"job_complete\"}", "given twice");
    refused("{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"\xff\"}", "not UTF-8");
    refused("{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"\xed\xa0\x80\"}", "not UTF-8");
    refused("{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"\\ud800\"}", "not JSON");
    refused("{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"\\u0000\"}", "NUL");
    refused("{\"id\":\"a\",\"event\":\"job_complete\",\"\\u0000\":1}", "NUL");
    static const char raw_nul[] = "{\"id\":\"a\",\"event\":\"job_complete\"}\0";
    refused_bytes(raw_nul, sizeof(raw_nul), ERR_INPUT, "not JSON");
}

static void deep_nesting_is_an_ordinary_error(void **state)
{
    (void)state;
    enum { DEPTH = 60000 };
    char *body = xcalloc(EVENT_BODY_MAX, 1);
    memset(body, '[', DEPTH);
    refused(body, "nested too deep");
    int at = snprintf(body, 60, "{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":");
    memset(body + at, '[', DEPTH);
    refused(body, "nested too deep");
    for (size_t i = 0; i + 5 < DEPTH; i += 5)
        memcpy(body + i, "{\"a\":", 5);
    refused(body, "nested too deep");
    free(body);
}

static void size_limit(void **state)
{
    (void)state;
    static const char begin[] = "{\"id\":\"a\",\"event\":\"job_complete\",\"msg\":\"";
    char *body = xcalloc(EVENT_BODY_MAX + 2, 1);
    memset(body, 'm', EVENT_BODY_MAX);
    memcpy(body, begin, strlen(begin));
    memcpy(body + EVENT_BODY_MAX - 2, "\"}", 2);
    struct event event;
    struct err err = {0};
    assert_int_equal(event_parse(body, EVENT_BODY_MAX, &event, &err), 0);
    assert_int_equal(strlen(event.msg), EVENT_BODY_MAX - 2 - strlen(begin));
    event_release(&event);
    body[EVENT_BODY_MAX] = ' ';
    refused_bytes(body, EVENT_BODY_MAX + 1, ERR_TOO_LARGE,
                  "65537 bytes long; expected at most 65536");
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_platforms_own_form),
        cmocka_unit_test(msg_may_be_anything),
        cmocka_unit_test(no_body_or_none_that_is_json),
        cmocka_unit_test(not_an_object),
        cmocka_unit_test(wrong_ids),
        cmocka_unit_test(the_form_of_an_id),
        cmocka_unit_test(a_huge_id_is_not_repeated_whole),
        cmocka_unit_test(wrong_events),
        cmocka_unit_test(hostile_json),
        cmocka_unit_test(deep_nesting_is_an_ordinary_error),
        cmocka_unit_test(size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
