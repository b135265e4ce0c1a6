/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51, expiry: never an earlier date, and not believed before it is asked again; against a
 * scripted server.
 */
#include "platform/voxel51.h"

#include "scripted_server.h"

#include "core/clock.h"
#include "core/log.h"
#include "net/http.h"

static struct loop *loop;
static const int64_t day_ms = 24 * 3600 * (int64_t)1000;

struct asked {
    int64_t expires_ms;
    struct err err;
    unsigned dones;
};

static void on_done(void *arg, const struct err *err)
{
    struct asked *a = arg;
    a->dones++;
    if (err)
        a->err = *err;
    loop_stop(loop);
}

enum { BEFORE, AFTER, N_DETAILS };

struct scene {
    struct asked asked;
    char *put; /* the body of the PUT; NULL: there was none */
    char dates[N_DETAILS][DATE_TEXT_SIZE];
};

/* Extends job a by 3 days. `before` and `after` are the details, with %s for a date so many
 * milliseconds from now; status: of the PUT. */
static void play(struct scene *scene, const char *before, int64_t before_ms, int status,
                 const char *after, int64_t after_ms)
{
    struct err err = {0};
    char details[N_DETAILS][256];
    *scene = (struct scene){0};
    int64_t now = clock_wall_ms();
    date_format_iso8601(now + before_ms, scene->dates[BEFORE]);
    date_format_iso8601(now + after_ms, scene->dates[AFTER]);
    snprintf(details[BEFORE], 256, "{\"job\":{\"id\":\"a\",\"state\":\"COMPLETE\"%s%s%s}}", before,
             strchr(before, ':') ? scene->dates[BEFORE] : "", strchr(before, ':') ? "\"" : "");
    snprintf(details[AFTER], 256, "{\"job\":{\"id\":\"a\",\"state\":\"COMPLETE\"%s%s\"}}", after,
             scene->dates[AFTER]);
    const struct row rows[] = {{"GET /v1/jobs/a ", 200, "", details[BEFORE]},
                               {"PUT /v1/jobs/a/ttl ", status, "", "", 2},
                               {"GET /v1/jobs/a ", 200, "", details[AFTER]},
                               {NULL}};
    struct server *server = server_start(rows);
    char base[80], key[] = "SECRET.key";
    snprintf(base, sizeof(base), "%s/v1", server->url);
    struct token token = {.private_key = key, .base_url = base};
    struct source *source = voxel51_new(loop, &(struct voxel51_config){.token = &token}, &err);
    source->ops->extend(source, "a", 3, &scene->asked.expires_ms, on_done, &scene->asked);
    assert_int_equal(scene->asked.dones, 0);
    loop_run(loop);
    assert_int_equal(scene->asked.dones, 1);
    source->ops->free(source);
    server_stop(server);
    for (size_t i = 0; i < server->n_requests; i++)
        if (strncmp(server->requests[i], "PUT", 3) == 0 && !scene->put)
            scene->put = xstrdup(strstr(server->requests[i], "\r\n\r\n") + 4);
    server_free(server);
}

static const char expires[] = ",\"expiration_date\":\"";

/* The date in "expiration_date=2020-01-02T03%3A04%3A05.000Z". */
static int64_t date_of_form(const char *form)
{
    char date[DATE_TEXT_SIZE];
    int64_t ms;
    assert_int_equal(strncmp(form, "expiration_date=", 16), 0);
    assert_int_equal(strlen(form), 16 + 28);
    snprintf(date, sizeof(date), "%.13s:%.2s:%s", form + 16, form + 32, form + 37);
    assert_int_equal(date_parse_iso8601(date, &ms), 0);
    return ms;
}

static void put_off(void **state)
{
    (void)state;
    struct scene s;
    int64_t now = clock_wall_ms();
    play(&s, expires, day_ms, 204, expires, 3 * day_ms);
    assert_int_equal(s.asked.err.code, ERR_NONE);
    assert_non_null(s.put);
    int64_t sent = date_of_form(s.put);
    assert_true(sent >= now + 3 * day_ms && sent <= clock_wall_ms() + 3 * day_ms);
    assert_true(s.asked.expires_ms >= now + 3 * day_ms - 1000);
    free(s.put);
}

static void never_to_an_earlier_date(void **state)
{
    (void)state;
    static const int64_t later[] = {3 * 24 * 3600 * 1000LL + 5000, 4 * 24 * 3600 * 1000LL,
                                    4000 * 24 * 3600 * 1000LL};
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        struct scene s;
        int64_t now = clock_wall_ms();
        play(&s, expires, later[i], 204, expires, 0);
        assert_null(s.put);
        assert_int_equal(s.asked.err.code, ERR_NONE);
        assert_true(s.asked.expires_ms >= now + later[i]);
    }
}

static void not_without_knowing_the_present_one(void **state)
{
    (void)state;
    struct scene s;
    play(&s, "", 0, 204, expires, 3 * day_ms);
    assert_null(s.put);
    assert_int_equal(s.asked.err.code, ERR_PROTOCOL);
    play(&s, expires, -5000, 204, expires, 3 * day_ms);
    assert_null(s.put);
    assert_int_equal(s.asked.err.code, ERR_JOB_EXPIRED);
    play(&s, ",\"expired\":1,\"expiration_date\":\"", day_ms, 204, expires, 3 * day_ms);
    assert_null(s.put);
    assert_int_equal(s.asked.err.code, ERR_JOB_EXPIRED);
}

static void a_yes_is_not_believed(void **state)
{
    (void)state;
    struct scene s;
    play(&s, expires, day_ms, 200, expires, day_ms);
    assert_non_null(s.put);
    assert_int_equal(s.asked.err.code, ERR_PROTOCOL);
    assert_int_equal(s.asked.expires_ms, 0);
    free(s.put);
    play(&s, expires, day_ms, 200, ",\"expired\":true,\"expiration_date\":\"", 2 * day_ms);
    assert_int_equal(s.asked.err.code, ERR_PROTOCOL);
    free(s.put);
    play(&s, expires, day_ms, 200, expires, 2 * day_ms); /* less than asked for, but later */
    assert_int_equal(s.asked.err.code, ERR_NONE);
    free(s.put);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum err_code code;
        bool again;
    } rows[] = {{400, ERR_HTTP, false}, {401, ERR_AUTH, false}, {503, ERR_HTTP, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene s;
        play(&s, expires, day_ms, rows[i].status, expires, day_ms);
        assert_int_equal(s.asked.err.code, rows[i].code);
        assert_int_equal(s.asked.err.http_status, rows[i].status);
        assert_int_equal(err_is_retryable(&s.asked.err), rows[i].again);
        free(s.put);
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
        cmocka_unit_test(put_off),
        cmocka_unit_test(never_to_an_earlier_date),
        cmocka_unit_test(not_without_knowing_the_present_one),
        cmocka_unit_test(a_yes_is_not_believed),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
