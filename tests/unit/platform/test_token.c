/* SPDX-License-Identifier: Apache-2.0
 *
 * token: where it is taken from, what is read, and what is refused without telling the content.
 */
#include "platform/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"

#define KEY "aaa.bbb-SECRET.ccc"

static char dir[] = "/tmp/egress-test-token-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    static const char *const names[] = {"VOXEL51_API_PRIVATE_KEY", "VOXEL51_API_BASE_URL",
                                        "VOXEL51_API_TOKEN"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    setenv("HOME", dir, 1);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char *command = xprintf("rm -rf %s", dir);
    int rc = system(command);
    free(command);
    return rc;
}

static int make_dir(void **state)
{
    (void)state;
    char *home = xprintf("%s/.voxel51", mkdtemp(dir));
    int rc = mkdir(home, 0700);
    free(home);
    return rc;
}

/* Path of a file of that content below the test's directory; caller frees. */
static char *write_file(const char *name, const char *text)
{
    char *path = xprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void assert_parsed(const char *text, const char *base)
{
    struct token token = {0};
    struct err err = {0};
    if (token_parse(text, strlen(text), "file T", &token, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_string_equal(token.private_key, KEY);
    assert_string_equal(token.base_url, base);
    token_release(&token);
    assert_null(token.private_key);
}

static void shapes_that_are_read(void **state)
{
    (void)state;
    assert_parsed("{\"access_token\":{\"private_key\":\"" KEY "\",\"base_api_url\":\"https://h\"}}",
                  "https://h/v1");
    assert_parsed(" {\"private_key\":\"" KEY "\",\"base_api_url\":\"https://h\",\"x\":[1]}\n",
                  "https://h/v1");
    assert_parsed("\"{\\\"access_token\\\":{\\\"private_key\\\":\\\"" KEY
                  "\\\",\\\"base_api_url\\\":\\\"https://h\\\"}}\"",
                  "https://h/v1");
    assert_parsed("{\"y\":123456789012345678901234567890,\"access_token\":{\"token_id\":7,"
                  "\"created_at\":\"no date\",\"private_key\":\"" KEY
                  "\",\"base_api_url\":\"http://127.0.0.1:4000/\"}}",
                  "http://127.0.0.1:4000/v1");
}

static void base_urls(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"https://h/x//\"", "https://h/x/v1"},
        {"\"/https://h\"", "https://h/v1"},
        {"\"http://[::1]:4000\"", "http://[::1]:4000/v1"},
        {"null", "https://api.voxel51.com/v1"},
        {"\"\"", "https://api.voxel51.com/v1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = xprintf("{\"access_token\":{\"private_key\":\"" KEY "\",\"base_api_url\":%s}}",
                             rows[i][0]);
        assert_parsed(text, rows[i][1]);
        free(text);
    }
}

static void a_missing_base_url_is_warned_of(void **state)
{
    (void)state;
    FILE *log = tmpfile();
    log_init(log, LOG_WARN, LOG_HUMAN);
    assert_parsed("{\"access_token\":{\"private_key\":\"" KEY "\"}}", "https://api.voxel51.com/v1");
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    char line[512] = "";
    rewind(log);
    assert_true(fread(line, 1, sizeof(line) - 1, log) > 0);
    assert_non_null(strstr(line, "file T"));
    assert_non_null(strstr(line, "https://api.voxel51.com"));
    assert_null(strstr(line, "SECRET"));
    fclose(log);
}

static void assert_refused(const char *text, const char *part)
{
    struct token token = {0};
    struct err err = {0};
    assert_int_equal(token_parse(text, strlen(text), "file T", &token, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    if (!strstr(err.msg, "file T") || !strstr(err.msg, part))
        fail_msg("%s: \"%s\" should name file T and %s", text, err.msg, part);
    assert_null(strstr(err.msg, "SECRET"));
    assert_null(token.private_key);
    assert_null(token.base_url);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"access_token\":{}}", "private_key"},
        {"{\"access_token\":{\"private_key\":\"\"}}", "private_key"},
        {"{\"access_token\":{\"private_key\":null}}", "private_key"},
        {"{\"access_token\":{\"private_key\":7}}", "private_key"},
        {"{\"access_token\":\"SECRET\"}", "access_token"},
        {"{\"access_token\":null,\"private_key\":\"SECRET\"}", "access_token"},
        {"[\"SECRET\"]", "access_token"},
        {"7", "access_token"},
        {"{\"private_key\":\"SECRET\"", "not JSON: ends too early (line 1"},
        {"SECRET", "not JSON"},
        {"\"SECRET\"", "not JSON"},
        {"\"\\\"{}\\\"\"", "not JSON"}, /* encoded twice too often */
        {"", "not JSON"},
        {"{\"private_key\":\"SEC\\u0000RET\"}", "not JSON"},
        {"{\"private_key\":\"SECRET\\r\\nX: 1\"}", "private_key contains"},
        {"{\"private_key\":\"SECRET x\"}", "private_key contains"},
        {"{\"private_key\":\"SECRET\\u007f\"}", "private_key contains"},
        {"{\"private_key\":\"SECRET\\u00e4\"}", "private_key contains"},
        {"{\"private_key\":\"k\",\"base_api_url\":7}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"ftp://h\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"h:80\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"https://u:SECRET@h\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"https://h?SECRET\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"https://h#SECRET\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"https://h/ SECRET\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"https://h\\nHost: SECRET\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"https://\"}", "base_api_url"},
        {"{\"private_key\":\"k\",\"base_api_url\":\"///\"}", "base_api_url"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(rows[i][0], rows[i][1]);
    char *deep = xcalloc(1, 60001);
    memset(deep, '[', 60000);
    assert_refused(deep, "not JSON");
    free(deep);
}

static void assert_load(const char *path, const char *key, const char *base)
{
    struct token token = {0};
    struct err err = {0};
    if (token_load(path, &token, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(token.private_key, key);
    assert_string_equal(token.base_url, base);
    if (strcmp(key, "env") == 0)
        assert_null(token.file);
    else if (path)
        assert_string_equal(token.file, path);
    else
        assert_non_null(token.file);
    token_release(&token);
}

static void assert_no_load(const char *path, const char *part)
{
    struct token token = {0};
    struct err err = {0};
    assert_int_equal(token_load(path, &token, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" should name %s", err.msg, part);
    assert_null(strstr(err.msg, "SECRET"));
    assert_null(token.private_key);
}

static void the_order(void **state)
{
    (void)state;
    assert_no_load(NULL, "~/.voxel51/api-token.json");
    assert_no_load(NULL, "VOXEL51_API_PRIVATE_KEY");
    assert_no_load(NULL, "VOXEL51_API_TOKEN");
    assert_no_load(NULL, "--token-file");
    setenv("VOXEL51_API_BASE_URL", "http://env", 1); /* alone it means nothing */
    assert_no_load(NULL, "no API token found");

    char *active = write_file(".voxel51/api-token.json",
                              "{\"private_key\":\"active\",\"base_api_url\":\"http://active\"}");
    char *named =
        write_file("named", "{\"private_key\":\"named\",\"base_api_url\":\"http://named\"}");
    char *given =
        write_file("given", "{\"private_key\":\"given\",\"base_api_url\":\"http://given\"}");
    assert_load(NULL, "active", "http://active/v1");
    setenv("VOXEL51_API_TOKEN", "", 1);
    setenv("VOXEL51_API_PRIVATE_KEY", "", 1);
    assert_load(NULL, "active", "http://active/v1");
    setenv("VOXEL51_API_TOKEN", named, 1);
    assert_load(NULL, "named", "http://named/v1");
    setenv("VOXEL51_API_PRIVATE_KEY", "env", 1);
    assert_load(NULL, "env", "http://env/v1");
    unsetenv("VOXEL51_API_BASE_URL");
    assert_load(NULL, "env", "https://api.voxel51.com/v1");
    assert_load(given, "given", "http://given/v1");
    unlink(active);
    free(active);
    free(named);
    free(given);
}

static void what_is_named_is_not_passed_over(void **state)
{
    (void)state;
    char *active = write_file(".voxel51/api-token.json",
                              "{\"private_key\":\"active\",\"base_api_url\":\"http://active\"}");
    setenv("VOXEL51_API_TOKEN", "/nonexistent/token", 1);
    assert_no_load(NULL, "/nonexistent/token");
    assert_no_load(NULL, "VOXEL51_API_TOKEN");
    setenv("VOXEL51_API_PRIVATE_KEY", "SECRET\nX: y", 1);
    assert_no_load(NULL, "VOXEL51_API_PRIVATE_KEY");
    setenv("VOXEL51_API_PRIVATE_KEY", "env", 1);
    setenv("VOXEL51_API_BASE_URL", "https://u:SECRET@h", 1);
    assert_no_load(NULL, "VOXEL51_API_BASE_URL");
    assert_no_load("/nonexistent/given", "/nonexistent/given");
    assert_no_load("", "token file");
    unlink(active);
    free(active);
}

static void files_that_are_none(void **state)
{
    (void)state;
    char *fifo = xprintf("%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_no_load(fifo, "fifo is not a regular file");
    assert_no_load(dir, "is not a regular file");
    assert_no_load("/dev/zero", "is not a regular file");
    char *empty = write_file("empty", "");
    assert_no_load(empty, "empty is empty");

    char *big = xcalloc(1, 64 * 1024 + 2);
    memset(big, ' ', 64 * 1024 + 1);
    char *path = write_file("big", big);
    assert_no_load(path, "over 64 KiB");
    static const char text[] = "{\"private_key\":\"k\",\"base_api_url\":\"http://h\"}";
    memcpy(big, text, sizeof(text) - 1);
    big[64 * 1024] = '\0'; /* the largest one */
    free(path);
    path = write_file("big", big);
    assert_load(path, "k", "http://h/v1");

    char *dangling = xprintf("%s/.voxel51/api-token.json", dir);
    assert_int_equal(symlink("/nonexistent/target", dangling), 0);
    assert_no_load(NULL, "api-token.json");
    assert_int_equal(unlink(dangling), 0);
    assert_int_equal(mkdir(dangling, 0700), 0);
    assert_no_load(NULL, "is not a regular file");
    assert_int_equal(rmdir(dangling), 0);
    unsetenv("HOME");
    assert_no_load(NULL, "no API token found");
    free(fifo);
    free(empty);
    free(big);
    free(path);
    free(dangling);
}

static void the_key_is_wiped(void **state)
{
    (void)state;
    char secret[] = "SECRET";
    token_wipe(secret, strlen(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_equal(secret[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(shapes_that_are_read, set_up),
        cmocka_unit_test_setup(base_urls, set_up),
        cmocka_unit_test_setup(a_missing_base_url_is_warned_of, set_up),
        cmocka_unit_test_setup(what_is_refused, set_up),
        cmocka_unit_test_setup(the_order, set_up),
        cmocka_unit_test_setup(what_is_named_is_not_passed_over, set_up),
        cmocka_unit_test_setup(files_that_are_none, set_up),
        cmocka_unit_test_setup(the_key_is_wiped, set_up),
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
