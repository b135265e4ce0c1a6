/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51, outputs: routes, ranges, what is believed of an answer's header, and that an error's
 * body is never an output, against scripted servers for the Platform and for the storage.
 */
#include "platform/voxel51.h"

#include "output_scene.h"
#include "tests/unit/names.h"

#define MD5 "XUFAKrxLKna5cZ2REBfFkg==" /* of "hello" */
#define SHA "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
#define CRC "mnG7TA=="

static void the_plain_way(void **state)
{
    (void)state;
    static const struct row platform[] = {
        {"GET /v1/jobs/j/output ", 200,
         "Content-Type: application/json\r\nETag: " ETAG "\r\nAccept-Ranges: bytes\r\n"
         "x-goog-hash: crc32c=" CRC "\r\nx-goog-hash: md5=" MD5 "\r\nDigest: SHA-256=" SHA "\r\n",
         "hello"},
        {NULL},
    };
    struct scene scene = {.platform = platform};
    play(&scene);
    assert_output(&scene, "hello");
    const struct got *got = &scene.got;
    assert_int_equal(got->meta.offset, 0);
    assert_int_equal(got->meta.size, 5);
    assert_true(got->meta.ranges);
    assert_string_equal(got->type, "application/json");
    assert_string_equal(got->encoding, "-");
    assert_string_equal(got->validator, ETAG);
    assert_string_equal(got->crc32c, CRC);
    assert_string_equal(got->md5, MD5);
    assert_string_equal(got->sha256, SHA);
    assert_non_null(strstr(scene.p->requests[0], "\r\nAuthorization: Bearer " KEY "\r\n"));
    assert_non_null(strstr(scene.p->requests[0], "\r\nAccept-Encoding: identity\r\n"));
    assert_null(strstr(scene.p->requests[0], "Range:"));
    clear(&scene);
}

static void little_is_said(void **state)
{
    (void)state;
    static const struct row platform[] = {
        {"GET ", 200,
         "Content-Type: a\xc3\xa4\r\nContent-Encoding: gzip\r\nETag: W/\"x\"\r\nTransfer-Encoding: "
         "chunked\r\nContent-MD5: nonsense\r\nx-goog-stored-content-encoding: identity\r\n",
         "5\r\nhello\r\n0\r\n\r\n", 1, true},
        {NULL},
    };
    struct scene scene = {.platform = platform, .got.pause_first = true};
    play(&scene);
    assert_output(&scene, "hello");
    assert_int_equal(scene.got.meta.size, -1);
    assert_false(scene.got.meta.ranges);
    assert_string_equal(scene.got.type, "-");
    assert_string_equal(scene.got.encoding, "gzip");
    assert_string_equal(scene.got.validator, "-");
    assert_string_equal(scene.got.md5, "-");
    clear(&scene);
}

static void hashes_that_do_not_count(void **state)
{
    (void)state;
    /* of the packed object, which was unpacked on the way */
    static const struct row unpacked[] = {
        {"GET ", 200, "x-goog-hash: crc32c=" CRC "\r\nx-goog-stored-content-encoding: gzip\r\n",
         "x"},
        {NULL},
    };
    struct scene scene = {.platform = unpacked};
    play(&scene);
    assert_output(&scene, "x");
    assert_string_equal(scene.got.crc32c, "-");
    clear(&scene);

    static const struct row contradictory[] = {
        {"GET ", 200, "x-goog-hash: md5=" MD5 "\r\nContent-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "x"},
        {NULL},
    };
    scene = (struct scene){.platform = contradictory};
    play(&scene);
    assert_no_output(&scene, ERR_INTEGRITY, "contradict");
    clear(&scene);
}

static void going_on(void **state)
{
    (void)state;
    static const struct row platform[] = {
        {"GET /v1/jobs/j/output ", 206,
         "Content-Range: bytes 2-4/5\r\nETag: " ETAG "\r\nContent-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
         "x-goog-hash: md5=" MD5 "\r\n",
         "llo"},
        {NULL},
    };
    struct scene scene = {.platform = platform, .route = VOXEL51_OUTPUT, .offset = 2};
    play(&scene);
    assert_output(&scene, "llo");
    assert_int_equal(scene.got.meta.offset, 2);
    assert_int_equal(scene.got.meta.size, 5);
    assert_true(scene.got.meta.ranges);
    assert_string_equal(scene.got.md5, MD5);
    assert_string_equal(scene.got.validator, ETAG);
    assert_non_null(strstr(scene.p->requests[0], "\r\nRange: bytes=2-\r\n"));
    assert_non_null(strstr(scene.p->requests[0], "\r\nIf-Range: " ETAG "\r\n"));
    clear(&scene);
}

static void going_on_is_not_possible(void **state)
{
    (void)state;
    static const struct row whole[] = {{"GET ", 200, "ETag: \"v2\"\r\n", "HELLO"}, {NULL}};
    static const struct row changed[] = {
        {"GET ", 206, "Content-Range: bytes 2-4/5\r\nETag: \"v2\"\r\n", "LLO"},
        {"GET ", 200, "ETag: \"v2\"\r\n", "HELLO"},
        {NULL},
    };
    static const struct row untagged[] = {
        {"GET ", 206, "Content-Range: bytes 2-4/5\r\n", "LLO"},
        {"GET ", 200, "ETag: \"v2\"\r\n", "HELLO"},
        {NULL},
    };
    static const struct row beyond[] = {
        {"GET ", 416, "Content-Range: bytes */1\r\n", ""},
        {"GET ", 200, "ETag: \"v2\"\r\n", "HELLO"},
        {NULL},
    };
    const struct row *const all[] = {whole, changed, untagged, beyond};
    for (size_t i = 0; i < 4; i++) {
        struct scene scene = {.platform = all[i], .route = VOXEL51_OUTPUT, .offset = 2};
        play(&scene);
        assert_output(&scene, "HELLO");
        assert_int_equal(scene.got.meta.offset, 0);
        assert_string_equal(scene.got.validator, "\"v2\"");
        assert_int_equal(scene.p->n_requests, i ? 2 : 1);
        if (i)
            assert_null(strstr(scene.p->requests[1], "Range:"));
        clear(&scene);
    }
}

static void ranges_that_do_not_fit(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "Content-Range: bytes 0-2/5\r\n",
        "Content-Range: bytes 3-5/6\r\n",
        "Content-Range: bytes 2-5/6\r\n", /* four, but three come */
        "Content-Range: bytes 2-4/4\r\n",
        "Content-Range: bytes */5\r\n",
        "Content-Type: multipart/byteranges; boundary=x\r\n",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct row rows[] = {{"GET ", 206, headers[i], "llo", 9}, {NULL}};
        struct scene scene = {.platform = rows, .route = VOXEL51_OUTPUT, .offset = 2};
        play(&scene);
        assert_no_output(&scene, ERR_PROTOCOL, "Content-Range");
        clear(&scene);
    }
    static const struct row unasked[] = {{"GET ", 206, "Content-Range: bytes 0-4/5\r\n", "hello"},
                                         {NULL}};
    struct scene scene = {.platform = unasked};
    play(&scene);
    assert_no_output(&scene, ERR_PROTOCOL, "no range was asked for");
    clear(&scene);
}

/* A part: asked for where the first byte came from, whatever the way to go on after a break is. */
static void a_part_by_itself(void **state)
{
    (void)state;
    static const struct row middle[] = {
        {"GET /v1/jobs/j/output ", 206, "Content-Range: bytes 1-3/5\r\nETag: " ETAG "\r\n", "ell"},
        {NULL}};
    struct scene scene = {.platform = middle, .offset = 1, .len = 3};
    play(&scene);
    assert_output(&scene, "ell");
    assert_int_equal(scene.got.meta.offset, 1);
    assert_int_equal(scene.got.meta.size, 5);
    assert_non_null(strstr(scene.p->requests[0], "\r\nRange: bytes=1-3\r\n"));
    assert_non_null(strstr(scene.p->requests[0], "\r\nIf-Range: " ETAG "\r\n"));
    clear(&scene);

    static const struct row first[] = {
        {"GET ", 206, "Content-Range: bytes 0-1/5\r\nETag: " ETAG "\r\n", "he"}, {NULL}};
    scene = (struct scene){.platform = first, .len = 2};
    play(&scene);
    assert_output(&scene, "he");
    assert_non_null(strstr(scene.p->requests[0], "\r\nRange: bytes=0-1\r\n"));
    clear(&scene);

    static const struct row longer[] = {
        {"GET ", 206, "Content-Range: bytes 1-4/5\r\nETag: " ETAG "\r\n", "ello", 9}, {NULL}};
    scene = (struct scene){.platform = longer, .offset = 1, .len = 3};
    play(&scene);
    assert_no_output(&scene, ERR_PROTOCOL, "Content-Range");
    clear(&scene);

    static const struct row changed[] = {
        {"GET ", 206, "Content-Range: bytes 1-3/5\r\nETag: \"v2\"\r\n", "ELL"},
        {"GET ", 200, "ETag: \"v2\"\r\n", "HELLO"},
        {NULL}};
    scene = (struct scene){.platform = changed, .offset = 1, .len = 3};
    play(&scene);
    assert_output(&scene, "HELLO");
    assert_int_equal(scene.got.meta.offset, 0);
    assert_null(strstr(scene.p->requests[1], "Range:"));
    clear(&scene);
}

static void redirected_to_the_storage(void **state)
{
    (void)state;
    static const struct row platform[] = {
        {"GET /v1/jobs/j/output ", 302, "Location: @/bucket/o?sig=1\r\n", "", 2}, {NULL}};
    static const struct row storage[] = {{"GET /bucket/o?sig=1 ", 403, "", "<Error/>"},
                                         {"GET /bucket/o?sig=1 ", 200, "", "hello"},
                                         {NULL}};
    struct scene scene = {.platform = platform, .storage = storage};
    play(&scene); /* an expired redirect is asked for again */
    assert_output(&scene, "hello");
    assert_int_equal(scene.s->n_requests, 2);
    assert_null(strstr(scene.s->requests[1], "Authorization"));
    assert_null(strstr(scene.s->requests[1], "SECRET"));
    clear(&scene);
}

#define URL_ANSWER "{\"url\":\"@/o?sig=1\"}"

static void by_signed_url(void **state)
{
    (void)state;
    static const struct row platform[] = {{"GET /v1/jobs/j/output-url ", 200, "", URL_ANSWER, 2},
                                          {NULL}};
    static const struct row storage[] = {
        {"GET /o?sig=1 ", 403, "", "<Error/>"}, {"GET /o?sig=1 ", 200, "", "hello"}, {NULL}};
    struct scene scene = {.platform = platform, .storage = storage, .route = VOXEL51_OUTPUT_URL};
    play(&scene); /* the first one has expired already: a fresh one, once */
    assert_output(&scene, "hello");
    assert_non_null(strstr(scene.p->requests[0], "\r\nAuthorization: Bearer " KEY "\r\n"));
    for (size_t i = 0; i < scene.s->n_requests; i++)
        assert_null(strstr(scene.s->requests[i], "Authorization"));
    clear(&scene);

    static const struct row refusing[] = {{"GET /o?sig=1 ", 403, "", "<Error/>", 9}, {NULL}};
    scene.storage = refusing;
    scene.got = (struct got){0};
    play(&scene);
    assert_no_output(&scene, ERR_PROTOCOL, "the storage behind the signed URL refused it");
    assert_int_equal(scene.s->n_requests, 2);
    clear(&scene);

    static const struct row unauthorized[] = {{"GET /o?sig=1 ", 401, "", "", 9}, {NULL}};
    scene.storage = unauthorized;
    scene.got = (struct got){0};
    play(&scene); /* no fault of the token, which the storage has not seen */
    assert_no_output(&scene, ERR_PROTOCOL, "the storage");
    clear(&scene);
}

static void auto_goes_on_by_signed_url(void **state)
{
    (void)state;
    static const struct row platform[] = {{"GET /v1/jobs/j/output-url ", 200, "", URL_ANSWER},
                                          {NULL}};
    static const struct row storage[] = {
        {"GET /o?sig=1 ", 206, "Content-Range: bytes 2-4/5\r\nETag: " ETAG "\r\n", "llo"}, {NULL}};
    struct scene scene = {.platform = platform, .storage = storage, .offset = 2};
    play(&scene);
    assert_output(&scene, "llo");
    assert_non_null(strstr(scene.s->requests[0], "\r\nRange: bytes=2-\r\n"));
    assert_null(strstr(scene.s->requests[0], "Authorization"));
    clear(&scene);
}

static void auto_falls_back(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        struct row storage;
    } cases[] = {
        {404, "{\"error\":{\"code\":404}}", {"-"}},
        {200, "{}", {"-"}},
        {200, "{\"url\":\"ftp://h/o?sig=1\"}", {"-"}},
        {200, "{\"url\":7}", {"-"}},
        {200, URL_ANSWER, {"GET /o?sig=1 ", 403, "", "<Error/>", 9}},
        {200, URL_ANSWER, {"GET /o?sig=1 ", 416, "", "", 9}},
        {200, URL_ANSWER, {"GET /o?sig=1 ", 200, "ETag: \"other\"\r\n", "hello"}},
        {200, URL_ANSWER, {"GET /o?sig=1 ", 206, "Content-Range: bytes 2-4/5\r\n", "LLO"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct row storage[] = {cases[i].storage, {NULL}};
        struct row platform[] = {
            {"GET /v1/jobs/j/output-url ", cases[i].status, "", cases[i].body},
            {"GET /v1/jobs/j/output ", 206, "Content-Range: bytes 2-4/5\r\nETag: " ETAG "\r\n",
             "llo"},
            {NULL},
        };
        struct scene scene = {.platform = platform, .storage = storage, .offset = 2};
        play(&scene);
        assert_output(&scene, "llo");
        assert_non_null(strstr(scene.p->requests[1], "\r\nRange: bytes=2-\r\n"));
        clear(&scene);
    }
}

static void signed_urls_that_are_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{}",
        "x",
        "{\"url\":\"\"}",
        "{\"url\":\"/o?sig=1\"}",
        "{\"url\":\"file:///o?sig=1\"}",
        "{\"url\":\"http://u:sig=1@h/\"}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct row platform[] = {{"GET ", 200, "", bodies[i]}, {NULL}};
        struct scene scene = {.platform = platform, .route = VOXEL51_OUTPUT_URL};
        play(&scene);
        assert_no_output(&scene, ERR_PROTOCOL, "signed URL");
        clear(&scene);
    }
}

static void a_signed_url_to_a_local_address(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]", "169.254.169.254"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        char *body = xprintf("{\"url\":\"http://%s/o?sig=1\"}", hosts[i]);
        struct row platform[] = {
            {"GET http://platform.test/v1/jobs/j/output-url ", 200, "", body},
            {NULL},
        };
        struct scene scene = {.platform = platform, .route = VOXEL51_OUTPUT_URL, .remote = true};
        play(&scene);
        assert_no_output(&scene, ERR_PROTOCOL, "local address");
        assert_int_equal(scene.p->n_requests, 1);
        clear(&scene);
        free(body);
    }
    static const struct row platform[] = {
        {"GET http://platform.test/v1/jobs/j/output-url ", 200, "",
         "{\"url\":\"http://s.test/o\"}"},
        {"GET http://s.test/o ", 200, "", "hello"},
        {NULL},
    };
    struct scene scene = {.platform = platform, .route = VOXEL51_OUTPUT_URL, .remote = true};
    play(&scene);
    assert_output(&scene, "hello");
    clear(&scene);
}

/* Its name looks harmless; the address behind it is seen, as no proxy stands between. */
static void a_signed_url_to_a_name_of_this_machine(void **state)
{
    (void)state;
    static const struct row storage[] = {{"GET /o", 200, "", "prey"}, {NULL}};
    char name[NAME_SIZE];
    if (!name_of_loopback(name))
        skip();
    struct server *s = server_start(storage);
    char *body = xprintf("{\"url\":\"http://%s%s/o?sig=1\"}", name, strrchr(s->url, ':'));
    struct row platform[] = {
        {"GET http://platform.test/v1/jobs/j/output-url ", 200, "", body},
        {NULL},
    };
    struct scene scene = {.platform = platform, .route = VOXEL51_OUTPUT_URL, .remote = true};
    setenv("no_proxy", name, 1);
    play(&scene);
    unsetenv("no_proxy");
    assert_no_output(&scene, ERR_PROTOCOL, "signed URL");
    assert_no_output(&scene, ERR_PROTOCOL, "leads to the local address 127.0.0.1");
    server_stop(s);
    assert_int_equal(s->n_requests, 0);
    server_free(s);
    clear(&scene);
    free(body);
}

/* Errors of either route: never an output, each with its own outcome. */
static void errors_are_no_outputs(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        bool expired;
        enum err_code code;
        const char *part;
    } cases[] = {
        {401, "{\"error\":{\"code\":401,\"message\":\"who?\"}}", false, ERR_AUTH, "who?"},
        {401, "{}", true, ERR_AUTH, "token"},
        {403, "{\"error\":{\"code\":403,\"message\":\"not you\"}}", false, ERR_AUTH, "not you"},
        {404, "{\"error\":{\"code\":404,\"message\":\"none\"}}", false, ERR_JOB_NO_OUTPUT, "none"},
        {404, "{\"error\":{\"code\":404,\"message\":\"none\"}}", true, ERR_JOB_EXPIRED, "none"},
        {403, "{}", true, ERR_JOB_EXPIRED, "expired"},
        {410, "<html>", true, ERR_JOB_EXPIRED, "410"},
        {400, "<html>", false, ERR_JOB_NO_OUTPUT, "400"},
        {500, "{\"error\":{\"code\":500,\"message\":\"down\"}}", true, ERR_HTTP, "down"},
        {204, "", false, ERR_JOB_NO_OUTPUT, "204"},
        {202, "later", false, ERR_PROTOCOL, "202"},
        {304, "", false, ERR_HTTP, "304"},
        {0, "", false, ERR_NETWORK, "GET http://127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct row platform[] = {{"GET ", cases[i].status, "", cases[i].body, 2}, {NULL}};
        for (int route = VOXEL51_AUTO; route <= VOXEL51_OUTPUT_URL; route++) {
            if (route == VOXEL51_OUTPUT_URL && cases[i].status == 202)
                continue; /* is then no URL: a test of its own */
            struct scene scene = {
                .platform = platform,
                .route = (enum voxel51_route)route,
                .expires_ms = cases[i].expired ? 1 : clock_wall_ms() + 1000000,
            };
            play(&scene);
            assert_no_output(&scene, cases[i].code, cases[i].part);
            clear(&scene);
        }
    }
}

static void pages_are_no_outputs(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool believed;
    } cases[] = {
        {"Content-Type: text/html\r\n", false},
        {"Content-Type: Text/HTML; charset=utf-8\r\nContent-MD5: nonsense\r\n", false},
        {"Content-Type: text/html\r\nETag: W/\"x\"\r\n", true},
        {"Content-Type: text/html\r\nx-goog-hash: crc32c=" CRC "\r\n", true},
        {"Content-Type: text/plain\r\n", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct row rows[] = {{"GET ", 200, cases[i].headers, "<h1>"}, {NULL}};
        struct scene scene = {.platform = rows};
        play(&scene);
        if (cases[i].believed)
            assert_output(&scene, "<h1>");
        else
            assert_no_output(&scene, ERR_PROTOCOL, "an HTML page came");
        clear(&scene);
    }
}

static void an_end_that_is_none(void **state)
{
    (void)state;
    static const struct row unknown[] = {{"GET ", 200, "ETag: " ETAG "\r\n", "hel", 1, true},
                                         {NULL}};
    struct scene scene = {.platform = unknown};
    play(&scene);
    assert_no_output(&scene, ERR_PROTOCOL, "without a length");
    clear(&scene);

    static const struct row checked[] = {
        {"GET ", 200, "Content-MD5: " MD5 "\r\n", "hello", 1, true}, {NULL}};
    scene = (struct scene){.platform = checked};
    play(&scene);
    assert_output(&scene, "hello");
    assert_int_equal(scene.got.meta.size, -1);
    clear(&scene);
}

static void breaks(void **state)
{
    (void)state;
    static const struct row midway[] = {
        {"GET ", 200, "Content-Length: 9\r\nETag: " ETAG "\r\n", "hel", 1, true}, {NULL}};
    struct scene scene = {.platform = midway};
    play(&scene);
    assert_true(scene.got.failed);
    assert_int_equal(scene.got.err.code, ERR_NETWORK);
    assert_int_equal(scene.got.opens, 1);
    assert_string_equal(buf_str(&scene.got.data), "hel");
    clear(&scene);

    /* Before the first byte net asks again; on_open has come and does not come twice. */
    static const struct row at_once[] = {
        {"GET ", 200, "Content-Length: 5\r\nETag: " ETAG "\r\n", "", 1, true},
        {"GET ", 200, "ETag: " ETAG "\r\n", "hello"},
        {NULL},
    };
    scene = (struct scene){.platform = at_once};
    play(&scene);
    assert_output(&scene, "hello");
    clear(&scene);

    static const struct row other[] = {
        {"GET ", 200, "Content-Length: 5\r\nETag: " ETAG "\r\n", "", 1, true},
        {"GET ", 200, "ETag: \"v2\"\r\n", "HELLO"},
        {NULL},
    };
    scene = (struct scene){.platform = other};
    play(&scene);
    assert_int_equal(scene.got.err.code, ERR_PROTOCOL);
    assert_int_equal(scene.got.data.len, 0);
    clear(&scene);
}

static void ended_by_the_caller(void **state)
{
    (void)state;
    static const struct row rows[] = {{"GET ", 200, "", "hello"}, {NULL}};
    struct scene scene = {.platform = rows, .got.refuse_open = true};
    play(&scene);
    assert_int_equal(scene.got.err.code, ERR_TOO_LARGE);
    assert_int_equal(scene.got.data.len, 0);
    clear(&scene);

    static const struct row longer[] = {{"GET ", 200, "Content-Length: 99\r\n", "hello", 1, true},
                                        {NULL}};
    scene = (struct scene){.platform = longer, .got.cancel_on_data = true};
    play(&scene);
    assert_int_equal(scene.got.err.code, ERR_CANCELLED);
    clear(&scene);
}

static void empty_outputs(void **state)
{
    (void)state;
    static const struct row rows[] = {{"GET ", 200, "", ""}, {NULL}};
    struct scene scene = {.platform = rows};
    play(&scene);
    assert_output(&scene, "");
    assert_int_equal(scene.got.meta.size, 0);
    clear(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_way),
        cmocka_unit_test(little_is_said),
        cmocka_unit_test(hashes_that_do_not_count),
        cmocka_unit_test(going_on),
        cmocka_unit_test(going_on_is_not_possible),
        cmocka_unit_test(a_part_by_itself),
        cmocka_unit_test(ranges_that_do_not_fit),
        cmocka_unit_test(redirected_to_the_storage),
        cmocka_unit_test(by_signed_url),
        cmocka_unit_test(auto_goes_on_by_signed_url),
        cmocka_unit_test(auto_falls_back),
        cmocka_unit_test(signed_urls_that_are_refused),
        cmocka_unit_test(a_signed_url_to_a_local_address),
        cmocka_unit_test(a_signed_url_to_a_name_of_this_machine),
        cmocka_unit_test(errors_are_no_outputs),
        cmocka_unit_test(pages_are_no_outputs),
        cmocka_unit_test(an_end_that_is_none),
        cmocka_unit_test(breaks),
        cmocka_unit_test(ended_by_the_caller),
        cmocka_unit_test(empty_outputs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
