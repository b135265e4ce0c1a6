/* SPDX-License-Identifier: Apache-2.0
 *
 * Credentials that have to be fetched: each provider against a scripted endpoint, what hostile ones
 * answer, and when they are renewed.
 */
#include "aws/credentials.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/credentials_source.h"
#include "core/clock.h"
#include "core/mem.h"
#include "net/http.h"
#include "tests/unit/scripted_http.h"

#define ROLE   "arn:aws:iam::123456789012:role/x"
#define SECRET "hunter2/+="

static char dir[] = "/tmp/test_fetched_XXXXXX";
static char config_path[sizeof(dir) + 16], token_path[sizeof(dir) + 16];

struct bench {
    struct loop *loop;
    struct credentials *c;
    struct credentials_wait wait;
    int answers;
    int wanted; /* answers to stop at */
    struct err err;
};

static int set_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_options options = {.connect_timeout_ms = 5000,
                                   .stall_timeout_ms = 20000,
                                   .max_attempts = 2,
                                   .user_agent = "egress/test"};
    if (!mkdtemp(dir))
        return -1;
    snprintf(config_path, sizeof(config_path), "%s/config", dir);
    snprintf(token_path, sizeof(token_path), "%s/token", dir);
    return http_init(&options, &err);
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int clean(void **state)
{
    static const char *const names[] = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "HOME",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_CONFIG_FILE", config_path, 1);
    unlink(config_path);
    unlink(token_path);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void open_bench(struct bench *b, const char *profile)
{
    struct err err = {0};
    const struct credentials_config config = {.profile = profile, .region = "eu-west-1"};
    *b = (struct bench){.loop = loop_new(&err)};
    b->c = credentials_new(b->loop, &config, &err);
    if (!b->c)
        fail_msg("%s", err.msg);
}

static void close_bench(struct bench *b)
{
    credentials_free(b->c);
    loop_free(b->loop);
}

static void on_answer(void *arg, const struct err *err)
{
    struct bench *b = arg;
    b->err = err ? *err : (struct err){0};
    if (++b->answers >= b->wanted)
        loop_stop(b->loop);
}

static void get(struct bench *b)
{
    b->wanted = b->answers + 1;
    credentials_get(b->c, &b->wait, on_answer, b);
    assert_int_equal(b->answers, b->wanted - 1);
    loop_run(b->loop);
}

static void assert_now(struct bench *b, const char *id, const char *token, const char *provider)
{
    if (b->err.code != ERR_NONE)
        fail_msg("%s", b->err.msg);
    const struct aws_credentials *now = credentials_current(b->c);
    assert_non_null(now);
    assert_string_equal(now->access_key_id, id);
    assert_string_equal(now->secret_access_key, SECRET);
    if (token)
        assert_string_equal(now->session_token, token);
    else
        assert_null(now->session_token);
    assert_string_equal(now->provider, provider);
    assert_string_equal(credentials_provider(b->c), provider);
}

static void assert_told(const struct err *err, enum err_code code, const char *says)
{
    if (err->code != code || !strstr(err->msg, says))
        fail_msg("expected %s \"%s\", got %s: %s", err_name(code), says, err_name(err->code),
                 err->msg);
    assert_null(strstr(err->msg, "hunter2"));
    assert_null(strpbrk(err->msg, "\r\n\x1b"));
}

static void assert_fails(struct bench *b, enum err_code code, const char *says)
{
    get(b);
    assert_told(&b->err, code, says);
    assert_null(credentials_current(b->c));
}

static void assert_refused(const char *profile, const char *says)
{
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    assert_null(credentials_new(loop, &(struct credentials_config){.profile = profile}, &err));
    assert_told(&err, ERR_CONFIG, says);
    loop_free(loop);
}

static void stop_loop(void *arg)
{
    loop_stop(((struct bench *)arg)->loop);
}

static void wait_ms(struct bench *b, int64_t ms)
{
    struct loop_timer timer = {0};
    loop_timer_start(b->loop, &timer, ms, stop_loop, b);
    loop_run(b->loop);
}

/* ---- what endpoints answer ---- */

/* JSON that expires in so many ms. Caller frees. */
static char *json(const char *id, int64_t expires_in_ms)
{
    char date[DATE_TEXT_SIZE];
    date_format_iso8601(clock_wall_ms() + expires_in_ms, date);
    return xprintf("{\"Code\":\"Success\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"" SECRET
                   "\",\"Token\":\"hunter2token\",\"Expiration\":\"%s\"}",
                   id, date);
}

#define STS_ANSWER(action, id)                                                                     \
    "<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action "Result>"   \
    "<Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>" SECRET "</SecretAccessKey>"  \
    "<SessionToken>hunter2sts</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"         \
    "</Credentials></" action "Result></" action "Response>"
#define STS_ERROR(code)                                                                            \
    "<ErrorResponse><Error><Type>Sender</Type><Code>" code                                         \
    "</Code><Message>hunter2</Message></Error></ErrorResponse>"

#define OK "200 OK\r\n"

static void assert_sent(const struct scripted_http *server, size_t i, const char *text)
{
    if (!strstr(scripted_http_request(server, i), text))
        fail_msg("\"%s\" is not in request %zu: %s", text, i, scripted_http_request(server, i));
}

/* A port that takes connections and never says a word. */
static int deaf(char url[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

/* ---- container ---- */

static void test_container(void **state)
{
    (void)state;
    char *body = json("CONT", 3600 * 1000);
    const struct scripted_answer answers[] = {{OK, body}};
    struct scripted_http *server = scripted_http_start(answers, 1);
    char *url = xprintf("%s/v2/x?id=1", scripted_http_url(server));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "env-token", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_path, 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    write_file(token_path, "file-token\n");
    struct bench b;
    open_bench(&b, NULL);
    assert_null(credentials_current(b.c));
    get(&b);
    assert_now(&b, "CONT", "hunter2token", "container credentials");
    get(&b); /* from what is kept */
    assert_now(&b, "CONT", "hunter2token", "container credentials");
    close_bench(&b);
    unsetenv("http_proxy");
    assert_int_equal(scripted_http_stop(server), 1);
    assert_sent(server, 0, "GET /v2/x?id=1 HTTP/1.1\r\n");
    assert_sent(server, 0, "Authorization: file-token\r\n");
    scripted_http_free(server);
    free(url);
    free(body);
}

static void test_container_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool fine;
    } cases[] = {
        {"http://127.0.0.1:80/x", true},
        {"http://127.1.2.3/x", true},
        {"http://localhost/x", true},
        {"http://[::1]:8080/x", true},
        {"http://169.254.170.2/x", true},
        {"http://169.254.170.23/v1/credentials", true},
        {"http://[fd00:ec2::23]/v1/credentials", true},
        {"https://example.com/x", true},
        {"http://example.com/x", false},
        {"http://169.254.169.254/x", false},
        {"http://169.254.170.22/x", false},
        {"http://127.0.0.1.example.com/x", false},
        {"http://127.0.0.1@example.com/x", false},
        {"ftp://127.0.0.1/x", false},
        {"nonsense", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", cases[i].url, 1);
        char *url = credentials_container_url(&err);
        if (!!url != cases[i].fine)
            fail_msg("%s: %s", cases[i].url, err.msg);
        if (!cases[i].fine)
            assert_refused(NULL, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        free(url);
    }
    struct err err = {0};
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1", 1);
    char *url = credentials_container_url(&err);
    assert_string_equal(url, "http://169.254.170.2/v2/credentials/1");
    free(url);
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/", 1);
    assert_refused(NULL, "does not begin with '/'");
}

static void test_container_nonsense(void **state)
{
    (void)state;
    char *huge = xcalloc(1, 100 * 1024);
    memset(huge, '[', 100 * 1024 - 1);
    char *past = json("OLD", -1000);
    const struct {
        struct scripted_answer answer;
        enum err_code code;
        const char *says;
    } cases[] = {
        {{"403 Forbidden\r\n", "hunter2"}, ERR_AUTH, "answered 403"},
        {{OK, "<html>hunter2"}, ERR_PROTOCOL, "is not JSON"},
        {{OK, ""}, ERR_PROTOCOL, "is not JSON"},
        {{OK, "[]"}, ERR_PROTOCOL, "expected an object with AccessKeyId"},
        {{OK, huge}, ERR_PROTOCOL, "the answer is over 65536 bytes"},
        {{OK, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"hunter2\"}"},
         ERR_PROTOCOL,
         "the code AssumeRoleUnauthorizedAccess"},
        {{OK, "{\"Code\":\"hunter2\\n\",\"Message\":\"\"}"}, ERR_PROTOCOL, "expected an object"},
        {{OK, "{\"AccessKeyId\":\"A\"}"}, ERR_PROTOCOL, "SecretAccessKey is not"},
        {{OK, "{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"hunter2\"}"},
         ERR_PROTOCOL,
         "AccessKeyId of its answer has a blank"},
        {{OK, "{\"AccessKeyId\":1,\"SecretAccessKey\":2}"}, ERR_PROTOCOL, "expected an object"},
        {{OK, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hunter2\",\"Expiration\":\"soon\"}"},
         ERR_PROTOCOL,
         "no ISO 8601 date"},
        {{OK, past}, ERR_AUTH, "is this machine's clock right?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scripted_http *server = scripted_http_start(&cases[i].answer, 1);
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", scripted_http_url(server), 1);
        struct bench b;
        open_bench(&b, NULL);
        assert_fails(&b, cases[i].code, cases[i].says);
        /* Asked again at once, it is not: the same answer. */
        assert_fails(&b, cases[i].code, cases[i].says);
        close_bench(&b);
        assert_int_equal(scripted_http_stop(server), 1);
        scripted_http_free(server);
    }
    free(huge);
    free(past);
}

static void test_container_token_file(void **state)
{
    (void)state;
    char *binary = xcalloc(1, 70 * 1024);
    memset(binary, 'x', 70 * 1024 - 1);
    const struct scripted_answer none = {OK, ""};
    struct scripted_http *server = scripted_http_start(&none, 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", scripted_http_url(server), 1);
    const struct {
        const char *path, *text, *says;
    } cases[] = {
        {dir, NULL, "is a directory"},
        {"/nosuch/file", NULL, "cannot be opened"},
        {"/dev/null", NULL, "is not a regular file"},
        {token_path, "", "is empty"},
        {token_path, "hunter2 \x01\xff", "is no token"},
        {token_path, "hunter2\r\nX-Header: y", "is no token"},
        {token_path, binary, "is larger than 64 KiB"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].text)
            write_file(token_path, cases[i].text);
        setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", cases[i].path, 1);
        struct bench b;
        open_bench(&b, NULL);
        assert_fails(&b, ERR_CONFIG, cases[i].says);
        close_bench(&b);
    }
    assert_int_equal(scripted_http_stop(server), 0);
    scripted_http_free(server);
    free(binary);
}

/* ---- instance metadata ---- */

static void test_imds(void **state)
{
    (void)state;
    char *body = json("INST", 3600 * 1000);
    const struct scripted_answer answers[] = {{OK, "session=="}, {OK, "a+role\n"}, {OK, body}};
    struct scripted_http *server = scripted_http_start(answers, 3);
    char *url = xprintf("%s/", scripted_http_url(server));
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    struct bench b;
    open_bench(&b, NULL);
    get(&b);
    assert_now(&b, "INST", "hunter2token", "EC2 instance metadata");
    close_bench(&b);
    unsetenv("http_proxy");
    assert_int_equal(scripted_http_stop(server), 3);
    assert_sent(server, 0, "PUT /latest/api/token HTTP/1.1\r\n");
    assert_sent(server, 0, "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
    assert_sent(server, 1, "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n");
    assert_sent(server, 1, "X-aws-ec2-metadata-token: session==\r\n");
    assert_sent(server, 2, "GET /latest/meta-data/iam/security-credentials/a%2Brole HTTP/1.1\r\n");
    assert_sent(server, 2, "X-aws-ec2-metadata-token: session==\r\n");
    scripted_http_free(server);
    free(url);
    free(body);
}

static void test_imds_nonsense(void **state)
{
    (void)state;
    static const struct {
        struct scripted_answer answers[3];
        size_t n;
        enum err_code code;
        const char *says;
    } cases[] = {
        {{{"404 Not Found\r\n", ""}}, 1, ERR_CONFIG, "answered 404"},
        {{{OK, ""}}, 1, ERR_CONFIG, "the session token is not what the service gives"},
        {{{OK, "a b"}}, 1, ERR_CONFIG, "the session token is not"},
        {{{OK, "t"}, {"404 Not Found\r\n", ""}}, 2, ERR_CONFIG, "the EC2 instance has no role"},
        {{{OK, "t"}, {OK, "<!DOCTYPE html> hunter2"}}, 2, ERR_CONFIG, "the role's name is not"},
        {{{OK, "t"}, {OK, "r"}, {OK, "{\"Code\":\"Failed\"}"}}, 3, ERR_CONFIG, "the code Failed"},
        {{{"500 No\r\n", ""}, {"500 No\r\n", ""}}, 2, ERR_HTTP, "answered 500"},
    };
    unsetenv("AWS_EC2_METADATA_DISABLED");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scripted_http *server = scripted_http_start(cases[i].answers, cases[i].n);
        setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", scripted_http_url(server), 1);
        struct bench b;
        open_bench(&b, NULL);
        assert_fails(&b, cases[i].code, cases[i].says);
        assert_told(&b.err, cases[i].code, "no AWS credentials: set AWS_ACCESS_KEY_ID");
        assert_told(&b.err, cases[i].code, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        close_bench(&b);
        assert_int_equal(scripted_http_stop(server), cases[i].n);
        scripted_http_free(server);
    }
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense", 1);
    assert_refused(NULL, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
}

static void test_imds_hangs(void **state)
{
    (void)state;
    char url[64];
    int fd = deaf(url);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    struct bench b;
    open_bench(&b, NULL);
    int64_t begun = clock_mono_ms();
    assert_fails(&b, ERR_CONFIG, "no AWS credentials");
    assert_told(&b.err, ERR_CONFIG, "hop limit");
    assert_true(clock_mono_ms() - begun < 10 * 1000);
    close_bench(&b);
    close(fd);
}

static void test_free_while_fetching(void **state)
{
    (void)state;
    char url[64];
    int fd = deaf(url);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    struct bench b;
    open_bench(&b, NULL);
    credentials_get(b.c, &b.wait, on_answer, &b);
    credentials_forget(b.c, &b.wait);
    credentials_forget(b.c, &b.wait);
    close_bench(&b);
    assert_int_equal(b.answers, 0);

    write_file(config_path, "[profile p]\ncredential_process = sleep 1000\n");
    open_bench(&b, "p");
    credentials_get(b.c, &b.wait, on_answer, &b);
    wait_ms(&b, 50);
    credentials_forget(b.c, &b.wait);
    int64_t begun = clock_mono_ms();
    close_bench(&b);
    assert_true(clock_mono_ms() - begun < 10 * 1000);
    close(fd);
}

/* ---- a process ---- */

static void test_split_command(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *words[5];
    } cases[] = {
        {"a", {"a"}},
        {"  a  b\tc ", {"a", "b", "c"}},
        {"'a b' \"c d\" e\\ f", {"a b", "c d", "e f"}},
        {"a'b'\"c\"d ''", {"abcd", ""}},
        {"\"\\\"\\\\\\n$HOME\" '\\'", {"\"\\\\n$HOME", "\\"}},
        {"a;b|c&d $(x) *", {"a;b|c&d", "$(x)", "*"}},
        {"a\\", {"a\\"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        char *words[6], *command = xstrdup(cases[i].command);
        int n = credentials_split_command(command, words, 5, &err);
        assert_true(n > 0);
        for (int w = 0; w < n; w++)
            assert_string_equal(words[w], cases[i].words[w]);
        assert_null(words[n]);
        assert_true(n == 5 || !cases[i].words[n]);
        free(command);
    }
    static const char *const wrong[] = {"a 'b", "\"", "a b c d e f", " "};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct err err = {0};
        char *words[6], *command = xstrdup(wrong[i]);
        assert_int_equal(credentials_split_command(command, words, 5, &err), -1);
        assert_told(&err, ERR_CONFIG, "credential_process");
        free(command);
    }
}

static void test_process(void **state)
{
    (void)state;
    /* No shell is between us and it; the Platform's token is not handed on, AWS_* is. */
    setenv("VOXEL51_API_PRIVATE_KEY", "hunter2platform", 1);
    setenv("AWS_REGION", "handed-on", 1);
    write_file(
        token_path,
        "[ \"$VOXEL51_API_PRIVATE_KEY\" = '' ] && [ \"$AWS_REGION\" = handed-on ] || exit 3\n"
        "[ \"$1\" = 'two words' ] && [ \"$2\" = '$HOME' ] || exit 4\n"
        "[ \"$(ls /proc/self/fd | wc -l)\" -le 4 ] || exit 5\n"
        "read line && exit 6\n"
        "echo hunter2 >&2\n"
        "echo '{\"Version\":1,\"AccessKeyId\":\"PROC\",\"SecretAccessKey\":\"" SECRET "\"}'\n");
    char *config =
        xprintf("[profile p]\ncredential_process = sh %s 'two words' $HOME\n", token_path);
    write_file(config_path, config);
    struct bench b;
    open_bench(&b, "p");
    get(&b);
    assert_now(&b, "PROC", NULL, "credential_process");
    close_bench(&b);
    free(config);
    unsetenv("VOXEL51_API_PRIVATE_KEY");
    unsetenv("AWS_REGION");
}

static void on_fetched(void *arg, const struct aws_credentials *found, const struct err *err)
{
    struct bench *b = arg;
    assert_null(found);
    b->err = *err;
    loop_stop(b->loop);
}

static void run_process(const char *command, int64_t timeout_ms, struct err *err)
{
    struct bench b = {.loop = loop_new(err)};
    struct credentials_source *s = credentials_process_new(b.loop, command, timeout_ms, err);
    assert_non_null(s);
    credentials_source_fetch(s, on_fetched, &b);
    loop_run(b.loop);
    credentials_source_free(s);
    loop_free(b.loop);
    *err = b.err;
}

static void test_process_nonsense(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        int64_t timeout_ms;
        enum err_code code;
        const char *says;
    } cases[] = {
        {"/nosuch/program x", 5000, ERR_CONFIG, "/nosuch/program cannot be run: No such file"},
        {"sh -c 'echo hunter2 >&2; exit 7'", 5000, ERR_AUTH, "ended with status 7"},
        {"sh -c 'kill -9 $$'", 5000, ERR_AUTH, "ended by signal 9"},
        {"echo hunter2", 5000, ERR_CONFIG, "is not JSON"},
        {"true", 5000, ERR_CONFIG, "is not JSON"},
        {"echo '{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hunter2\"}'", 5000, ERR_CONFIG,
         "\"Version\": 1"},
        {"echo '{\"Version\":\"1\",\"AccessKeyId\":\"A\"}'", 5000, ERR_CONFIG, "\"Version\": 1"},
        {"yes hunter2", 20000, ERR_CONFIG, "printed more than 64 KiB"},
        {"sleep 1000", 200, ERR_TIMEOUT, "did not end within 1 s"},
        {"sh -c 'exec >&-; sleep 1000'", 300, ERR_TIMEOUT, "did not end within"},
        {"sh -c 'sleep 1000 & wait'", 300, ERR_TIMEOUT, "did not end within"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        int64_t begun = clock_mono_ms();
        run_process(cases[i].command, cases[i].timeout_ms, &err);
        assert_told(&err, cases[i].code, cases[i].says);
        assert_true(clock_mono_ms() - begun < 25 * 1000);
    }
    write_file(config_path, "[profile p]\ncredential_process = sh 'x\n");
    assert_refused("p", "profile \"p\": credential_process has a ' without");
}

/* ---- roles ---- */

static void test_web_identity(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {OK, STS_ANSWER("AssumeRoleWithWebIdentity", "WEB")}};
    struct scripted_http *server = scripted_http_start(answers, 1);
    write_file(token_path, "hunter2.jwt\n");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token_path, 1);
    setenv("AWS_ENDPOINT_URL_STS", scripted_http_url(server), 1);
    assert_refused(NULL, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but no role: set AWS_ROLE_ARN");
    setenv("AWS_ROLE_ARN", "hunter", 1);
    assert_refused(NULL, "is not the ARN of a role");
    setenv("AWS_ROLE_ARN", ROLE, 1);
    setenv("AWS_ROLE_SESSION_NAME", "a b", 1);
    assert_refused(NULL, "is no session name");
    setenv("AWS_ROLE_SESSION_NAME", "me@x", 1);
    struct bench b;
    open_bench(&b, NULL);
    get(&b);
    assert_now(&b, "WEB", "hunter2sts", "web identity");
    close_bench(&b);
    assert_int_equal(scripted_http_stop(server), 1);
    assert_sent(server, 0, "POST / HTTP/1.1\r\n");
    assert_sent(server, 0,
                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                "&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx"
                "&RoleSessionName=me%40x&WebIdentityToken=hunter2.jwt");
    assert_null(strstr(scripted_http_request(server, 0), "Authorization:"));
    scripted_http_free(server);
}

static void test_web_identity_of_profile(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {OK, STS_ANSWER("AssumeRoleWithWebIdentity", "WEB")}};
    struct scripted_http *server = scripted_http_start(answers, 1);
    char *config = xprintf("[profile p]\nrole_arn = " ROLE "\nweb_identity_token_file = %s\n"
                           "services = local\n[services local]\nsts =\n  endpoint_url = %s/sts\n",
                           token_path, scripted_http_url(server));
    write_file(config_path, config);
    write_file(token_path, "hunter2.jwt");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nosuch", 1); /* a named profile goes before it */
    setenv("AWS_ROLE_ARN", "nonsense", 1);
    struct bench b;
    open_bench(&b, "p");
    get(&b);
    assert_now(&b, "WEB", "hunter2sts", "web identity");
    close_bench(&b);
    assert_int_equal(scripted_http_stop(server), 1);
    assert_sent(server, 0, "POST /sts HTTP/1.1\r\n");
    assert_sent(server, 0, "&RoleSessionName=egress-");
    scripted_http_free(server);
    free(config);

    unlink(token_path);
    open_bench(&b, "p");
    assert_fails(&b, ERR_CONFIG, "web_identity_token_file: ");
    assert_told(&b.err, ERR_CONFIG, "cannot be opened: No such file");
    close_bench(&b);
}

static void test_assume_role(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{OK, STS_ANSWER("AssumeRole", "INNER")},
                                                     {OK, STS_ANSWER("AssumeRole", "OUTER")}};
    struct scripted_http *server = scripted_http_start(answers, 2);
    setenv("AWS_ENDPOINT_URL_STS", scripted_http_url(server), 1);
    write_file(config_path,
               "[profile outer]\nrole_arn = " ROLE "\nsource_profile = inner\n"
               "role_session_name = me\nexternal_id = a/b c\nduration_seconds = 900\n"
               "[profile inner]\nrole_arn = " ROLE "-inner\nsource_profile = base\n"
               "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = hunter2\n");
    struct bench b;
    open_bench(&b, "outer");
    get(&b);
    assert_now(&b, "OUTER", "hunter2sts", "assumed role");
    close_bench(&b);
    assert_int_equal(scripted_http_stop(server), 2);
    assert_sent(server, 0, "Credential=BASE/");
    assert_sent(server, 0, "/eu-west-1/sts/aws4_request");
    assert_sent(server, 0, "role%2Fx-inner&RoleSessionName=egress-");
    assert_sent(server, 1, "Credential=INNER/");
    assert_sent(server, 1, "x-amz-security-token: hunter2sts\r\n");
    assert_sent(server, 1, "&RoleSessionName=me&ExternalId=a%2Fb%20c&DurationSeconds=900");
    scripted_http_free(server);
}

static void test_credential_source(void **state)
{
    (void)state;
    char *body = json("CONT", 3600 * 1000);
    const struct scripted_answer container = {OK, body};
    static const struct scripted_answer sts[] = {{OK, STS_ANSWER("AssumeRole", "ONE")},
                                                 {OK, STS_ANSWER("AssumeRole", "TWO")}};
    struct scripted_http *at = scripted_http_start(&container, 1);
    struct scripted_http *server = scripted_http_start(sts, 2);
    setenv("AWS_ENDPOINT_URL_STS", scripted_http_url(server), 1);
    write_file(config_path,
               "[profile e]\nrole_arn = " ROLE "\ncredential_source = Environment\n"
               "[profile c]\nrole_arn = " ROLE "\ncredential_source = EcsContainer\n"
               "[profile i]\nrole_arn = " ROLE "\ncredential_source = Ec2InstanceMetadata\n"
               "[profile n]\nrole_arn = " ROLE "\ncredential_source = Nowhere\n");
    assert_refused("e", "credential_source Environment, but there is nothing: looked for AWS_ACC");
    assert_refused("c", "credential_source EcsContainer, but there is nothing");
    assert_refused("i", "AWS_EC2_METADATA_DISABLED");
    assert_refused("n", "profile \"n\" has a credential_source that is not Environment");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", scripted_http_url(at), 1);
    struct bench b;
    open_bench(&b, "e");
    get(&b);
    assert_now(&b, "ONE", "hunter2sts", "assumed role");
    close_bench(&b);
    open_bench(&b, "c");
    get(&b);
    assert_now(&b, "TWO", "hunter2sts", "assumed role");
    close_bench(&b);
    assert_int_equal(scripted_http_stop(server), 2);
    assert_int_equal(scripted_http_stop(at), 1);
    assert_sent(server, 0, "Credential=ENV/");
    assert_sent(server, 1, "Credential=CONT/");
    assert_sent(server, 1, "x-amz-security-token: hunter2token\r\n");
    scripted_http_free(server);
    scripted_http_free(at);
    free(body);
}

static void test_role_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"[profile p]\nrole_arn = " ROLE "\n", "neither source_profile nor credential_source"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = a\ncredential_source = b\n",
         "both source_profile and credential_source"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = p\n", "leads back to itself"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = q\n"
         "[profile q]\nrole_arn = " ROLE "\nsource_profile = p\n",
         "profile \"p\" leads back to itself"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = nosuch\n",
         "no profile \"nosuch\" (from source_profile)"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = q\n[profile q]\nregion = r\n",
         "profile \"q\", the source_profile of \"p\", has no credentials"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = q\nduration_seconds = 10\n",
         "duration_seconds that is not from 900 to 43200"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = q\nmfa_serial = 1\n", "mfa_serial"},
        {"[profile p]\nrole_arn = x\nsource_profile = q\n", "is not the ARN of a role"},
        {"[profile p]\nsso_session = s\n", "through a browser (sso_session)"},
        {"[profile p]\nregion = r\nsts_regional_endpoints = x\n", "AWS_STS_REGIONAL_ENDPOINTS"},
        {"[profile p]\nrole_arn = " ROLE "\nsource_profile = a1\n"
         "[profile a1]\nrole_arn = " ROLE "\nsource_profile = a2\n"
         "[profile a2]\nrole_arn = " ROLE "\nsource_profile = a3\n"
         "[profile a3]\nrole_arn = " ROLE "\nsource_profile = a4\n"
         "[profile a4]\nrole_arn = " ROLE "\nsource_profile = a5\n"
         "[profile a5]\nrole_arn = " ROLE "\nsource_profile = a6\n"
         "[profile a6]\nrole_arn = " ROLE "\nsource_profile = a7\n"
         "[profile a7]\nrole_arn = " ROLE "\nsource_profile = a8\n"
         "[profile a8]\nrole_arn = " ROLE "\nsource_profile = a9\n"
         "[profile a9]\naws_access_key_id = A\naws_secret_access_key = B\n",
         "too long a chain"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file(config_path, cases[i].config);
        assert_refused("p", cases[i].says);
    }
    /* One that names itself means its own keys. */
    write_file(config_path, "[profile p]\nrole_arn = " ROLE "\nsource_profile = p\n"
                            "aws_access_key_id = A\naws_secret_access_key = B\n");
    struct bench b;
    open_bench(&b, "p");
    assert_string_equal(credentials_provider(b.c), "assumed role");
    close_bench(&b);
}

static void test_sts_refuses(void **state)
{
    (void)state;
    static const struct {
        struct scripted_answer answers[2];
        size_t n;
        enum err_code code;
        const char *says;
    } cases[] = {
        {{{"403 Forbidden\r\n", STS_ERROR("AccessDenied")}}, 1, ERR_AUTH, "trust policy"},
        {{{"400 Bad Request\r\n", STS_ERROR("ExpiredTokenException")}}, 1, ERR_AUTH, "has expired"},
        {{{"400 Bad Request\r\n", STS_ERROR("InvalidIdentityToken")}},
         1,
         ERR_AUTH,
         "(InvalidIdentityToken)"},
        {{{"403 Forbidden\r\n", STS_ERROR("SignatureDoesNotMatch")}}, 1, ERR_AUTH, "clock"},
        {{{"400 Bad Request\r\n", STS_ERROR("hunter2 <b/>")}}, 1, ERR_AUTH, "no reason given"},
        {{{"400 Bad Request\r\n", STS_ERROR("Throttling")}}, 1, ERR_HTTP, "Throttling"},
        {{{"404 Not Found\r\n", "<html><br>hunter2"}}, 1, ERR_AUTH, "not as STS does"},
        {{{"503 Busy\r\n", ""}, {"503 Busy\r\n", ""}}, 2, ERR_HTTP, "answered 503"},
        {{{OK, "<html>hunter2</html>"}}, 1, ERR_PROTOCOL, "no credentials in the answer"},
        {{{OK, "hunter2"}}, 1, ERR_PROTOCOL, "is not what STS gives"},
        {{{OK, "<!DOCTYPE x [<!ENTITY a \"hunter2\">]><x>&a;</x>"}},
         1,
         ERR_PROTOCOL,
         "document type declaration"},
        {{{OK, "<r><Credentials><AccessKeyId>A</AccessKeyId></Credentials></r>"}},
         1,
         ERR_PROTOCOL,
         "SecretAccessKey is not"},
        {{{NULL, NULL}, {NULL, NULL}}, 2, ERR_NETWORK, ""},
    };
    write_file(token_path, "hunter2.jwt");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token_path, 1);
    setenv("AWS_ROLE_ARN", ROLE, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scripted_http *server = scripted_http_start(cases[i].answers, cases[i].n);
        setenv("AWS_ENDPOINT_URL", scripted_http_url(server), 1);
        struct bench b;
        open_bench(&b, NULL);
        assert_fails(&b, cases[i].code, cases[i].says);
        assert_told(&b.err, cases[i].code, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)");
        close_bench(&b);
        assert_int_equal(scripted_http_stop(server), cases[i].n);
        scripted_http_free(server);
    }
}

static void test_sts_places(void **state)
{
    (void)state;
    static const struct {
        const char *region, *endpoint;
        bool legacy;
        const char *url;
    } cases[] = {
        {NULL, NULL, false, "https://sts.amazonaws.com/"},
        {"eu-west-1", NULL, false, "https://sts.eu-west-1.amazonaws.com/"},
        {"eu-west-1", NULL, true, "https://sts.amazonaws.com/"},
        {"me-south-1", NULL, true, "https://sts.me-south-1.amazonaws.com/"},
        {"cn-north-1", NULL, false, "https://sts.cn-north-1.amazonaws.com.cn/"},
        {"eu-west-1", "http://127.0.0.1:9000/minio", false, "http://127.0.0.1:9000/minio"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        struct sts *sts = sts_new(NULL, cases[i].region, cases[i].endpoint, cases[i].legacy, &err);
        assert_non_null(sts);
        assert_string_equal(sts_endpoint(sts), cases[i].url);
        sts_free(sts);
    }
    struct err err = {0};
    assert_null(sts_new(NULL, NULL, "nonsense", false, &err));
    assert_told(&err, ERR_USAGE, "the endpoint of STS");
    assert_null(sts_new(NULL, NULL, "http://x/?y", false, &err));
    assert_told(&err, ERR_USAGE, "has a query");
}

/* ---- renewing ---- */

enum { N_WAITS = 20 };

static void test_one_fetch_for_all(void **state)
{
    (void)state;
    char *body = json("ONE", 3600 * 1000);
    const struct scripted_answer answers[] = {{OK, body}};
    struct scripted_http *server = scripted_http_start(answers, 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", scripted_http_url(server), 1);
    struct bench b;
    struct credentials_wait waits[N_WAITS] = {{0}};
    open_bench(&b, NULL);
    for (int i = 0; i < N_WAITS; i++)
        credentials_get(b.c, &waits[i], on_answer, &b);
    /* The first, one in the middle, the last. */
    credentials_forget(b.c, &waits[0]);
    credentials_forget(b.c, &waits[7]);
    credentials_forget(b.c, &waits[N_WAITS - 1]);
    b.wanted = N_WAITS - 3;
    loop_run(b.loop);
    assert_now(&b, "ONE", "hunter2token", "container credentials");
    assert_int_equal(b.answers, N_WAITS - 3);
    close_bench(&b);
    assert_int_equal(scripted_http_stop(server), 1);
    scripted_http_free(server);
    free(body);
}

/* Half their time is over: renewed in the background, while the old ones are used. */
static void test_renewed_in_time(void **state)
{
    (void)state;
    char *first = json("FIRST", 6000), *second = json("SECOND", 3600 * 1000);
    const struct scripted_answer answers[] = {{OK, first}, {OK, second}};
    struct scripted_http *server = scripted_http_start(answers, 2);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", scripted_http_url(server), 1);
    struct bench b;
    open_bench(&b, NULL);
    get(&b);
    assert_now(&b, "FIRST", "hunter2token", "container credentials");
    wait_ms(&b, 3200);
    assert_now(&b, "FIRST", "hunter2token", "container credentials"); /* and it starts */
    assert_now(&b, "FIRST", "hunter2token", "container credentials"); /* only once */
    for (int i = 0; i < 100 && strcmp(credentials_current(b.c)->access_key_id, "SECOND") != 0; i++)
        wait_ms(&b, 10);
    assert_now(&b, "SECOND", "hunter2token", "container credentials");
    close_bench(&b);
    assert_int_equal(scripted_http_stop(server), 2);
    scripted_http_free(server);
    free(first);
    free(second);
}

/* They cannot be renewed: the old ones are used while they last, and then it is told. */
static void test_cannot_be_renewed(void **state)
{
    (void)state;
    char *first = json("FIRST", 3000);
    static const char no[] = "404 Not Found\r\n";
    const struct scripted_answer answers[] = {{OK, first}, {no, ""}, {no, ""}, {no, ""}, {no, ""}};
    struct scripted_http *server = scripted_http_start(answers, 5);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", scripted_http_url(server), 1);
    struct bench b;
    open_bench(&b, NULL);
    int64_t expire_ms = clock_wall_ms() + 3000;
    get(&b);
    wait_ms(&b, 2600);                       /* past the time from which on renewal is waited for */
    if (clock_wall_ms() < expire_ms - 200) { /* else this machine is too busy to look */
        assert_null(credentials_current(b.c));
        get(&b);
        assert_now(&b, "FIRST", "hunter2token", "container credentials");
    }
    wait_ms(&b, expire_ms - clock_wall_ms() + 1100);
    assert_fails(&b, ERR_AUTH, "AWS credentials have expired and cannot be renewed: ");
    assert_told(&b.err, ERR_AUTH, "answered 404");
    close_bench(&b);
    assert_in_range(scripted_http_stop(server), 2, 3);
    scripted_http_free(server);
    free(first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, clean, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_container),
        TEST(test_container_hosts),
        TEST(test_container_nonsense),
        TEST(test_container_token_file),
        TEST(test_imds),
        TEST(test_imds_nonsense),
        TEST(test_imds_hangs),
        TEST(test_free_while_fetching),
        TEST(test_split_command),
        TEST(test_process),
        TEST(test_process_nonsense),
        TEST(test_web_identity),
        TEST(test_web_identity_of_profile),
        TEST(test_assume_role),
        TEST(test_credential_source),
        TEST(test_role_mistakes),
        TEST(test_sts_refuses),
        TEST(test_sts_places),
        TEST(test_one_fetch_for_all),
        TEST(test_renewed_in_time),
        TEST(test_cannot_be_renewed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
