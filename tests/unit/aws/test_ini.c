/* SPDX-License-Identifier: Apache-2.0
 *
 * The file format of the AWS CLI's files: what is read, and what is refused with file and line.
 */
#include "aws/ini.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct ini *parse(const char *text)
{
    struct err err = {0};
    struct ini *ini = ini_parse("config", text, strlen(text), &err);
    if (!ini)
        fail_msg("%s", err.msg);
    return ini;
}

static void assert_value(const char *text, const char *section, const char *parent, const char *key,
                         const char *expected)
{
    struct ini *ini = parse(text);
    const char *value = ini_get(ini, section, parent, key, NULL);
    if (!expected)
        assert_null(value);
    else if (!value)
        fail_msg("no %s in [%s] of:\n%s", key, section, text);
    else
        assert_string_equal(value, expected);
    ini_free(ini);
}

static void test_values(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"[s]\nk = v\n", "v"},
        {"[s]\nk=v", "v"},
        {"[s]\r\nk = v\r\n", "v"},
        {"\xef\xbb\xbf[s]\nk = v\n", "v"},
        {"[s]\n\tk\t=\t v \t\n", "v"},
        {"[s]\nk: v\n", "v"},
        {"[s]\nK = V\n", "V"},
        {"[s]\nk = a=b:c\n", "a=b:c"},
        {"[s]\nk = http://h:1/?a=b\n", "http://h:1/?a=b"},
        {"[s]\nk =\n", ""},
        {"[s]\nk = v # comment\n", "v"},
        {"[s]\nk = v\t; comment\n", "v"},
        {"[s]\nk = # comment\n", ""},
        {"[s]\nk = a#b;c\n", "a#b;c"},
        {"# c\n; c\n\n  \n  # c\n[s]\n#k = w\nk = v\n;k = x\n", "v"},
        {"[s]\nk = v\nk = w\n", "w"},
        {"[s]\nk = v\n[t]\nk = x\n[s]\nk = w\n", "w"},
        {"[s]\nk = v\n  more # c\n\n  # c\n  and more\nx = y\n", "v\nmore\nand more"},
        {"[s]\n  k = v\n  x = y\n", "v"},
        {"[s]\n  x =\n    k = w\n  k = v\n", "v"},
        {"  [s]  # comment\nk = v\n", "v"},
        {"[ s ];c\nk = v\n", "v"},
        {"[s]\nk = \xe1\x88\xb4\n", "\xe1\x88\xb4"},
        {"[t]\nx =\n  y = z\n[s]\nk = v\n", "v"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_value(cases[i].text, "s", NULL, "k", cases[i].expected);
}

static void test_sections(void **state)
{
    static const struct {
        const char *line, *name;
    } cases[] = {
        {"[profile x]", "profile x"},
        {"[ profile \t x ]", "profile x"},
        {"[profile \"x\"]", "profile x"},
        {"[profile \"a b\"]", "profile a b"},
        {"[profile 'a b']", "profile a b"},
        {"[profile \"]", "profile \""},
        {"[a#b]", "a#b"},
        {"[profile\"x\"]", "profile\"x\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ini *ini = parse(cases[i].line);
        assert_true(ini_has(ini, cases[i].name));
        ini_free(ini);
    }
}

static void test_nested(void **state)
{
    static const char text[] = "[profile x]\n"
                               "region = r\n"
                               "s3 =\n"
                               "\n"
                               "  # c\n"
                               "  Addressing_Style = path ; c\n"
                               "      endpoint_url = http://h:1\r\n"
                               "output = json\n"
                               "[services y]\n"
                               "s3 = \n"
                               "\tendpoint_url = http://i\n"
                               "sqs =\n"
                               "\tendpoint_url = http://j\n";
    (void)state;
    assert_value(text, "profile x", "s3", "addressing_style", "path");
    assert_value(text, "profile x", "s3", "endpoint_url", "http://h:1");
    assert_value(text, "profile x", NULL, "endpoint_url", NULL);
    assert_value(text, "profile x", NULL, "s3", "");
    assert_value(text, "profile x", NULL, "output", "json");
    assert_value(text, "profile x", "s3", "output", NULL);
    assert_value(text, "services y", "s3", "endpoint_url", "http://i");
    assert_value(text, "services y", "sqs", "endpoint_url", "http://j");
}

static void test_absent(void **state)
{
    (void)state;
    struct ini *ini = parse("[s]\nk = v\n");
    unsigned line = 0;
    assert_string_equal(ini_get(ini, "s", NULL, "k", &line), "v");
    assert_int_equal(line, 2);
    assert_null(ini_get(ini, "s", NULL, "x", NULL));
    assert_null(ini_get(ini, "S", NULL, "k", NULL));
    assert_null(ini_get(ini, "s", "k", "k", NULL));
    assert_true(ini_has(ini, "s"));
    assert_false(ini_has(ini, "k"));
    assert_false(ini_has(NULL, "s"));
    assert_null(ini_get(NULL, "s", NULL, "k", NULL));
    ini_free(ini);
    ini_free(NULL);
    ini = parse("");
    assert_false(ini_has(ini, ""));
    ini_free(ini);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"[s\nk = v\n", "config, line 1:"},
        {"\n[]\n", "config, line 2:"},
        {"[ ]\n", "config, line 1:"},
        {"[s] x\n", "config, line 1:"},
        {"k = hunter2\n", "config, line 1:"},
        {"[s]\nhunter2\n", "config, line 2:"},
        {"[s]\n= hunter2\n", "config, line 2:"},
        {"[s]\r\nk = v\r\nhunter2\r\n", "config, line 3:"},
        {"[s]\ns3 =\n  hunter2\n", "config, line 3:"},
        {"{\"aws_secret_access_key\"; \"hunter2\"}", "config, line 1:"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        assert_null(ini_parse("config", cases[i].text, strlen(cases[i].text), &err));
        assert_int_equal(err.code, ERR_CONFIG);
        if (!strstr(err.msg, cases[i].place) || strstr(err.msg, "hunter2"))
            fail_msg("%s", err.msg);
    }
}

static void test_binary_and_too_long(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(ini_parse("config", "[s]\nk\0 = v\n", 11, &err));
    assert_non_null(strstr(err.msg, "config, line 2: a NUL byte"));

    struct buf text = BUF_INIT(2 * INI_SIZE_MAX);
    buf_str_append(&text, "[s]\nk = ");
    while (text.len < 4 + INI_LINE_MAX - 1)
        buf_byte(&text, 'x');
    buf_byte(&text, '\n');
    struct ini *ini = ini_parse("config", buf_str(&text), text.len, &err);
    assert_non_null(ini);
    assert_int_equal(strlen(ini_get(ini, "s", NULL, "k", NULL)), INI_LINE_MAX - 5);
    ini_free(ini);
    text.data[text.len - 1] = 'x';
    buf_byte(&text, '\n');
    assert_null(ini_parse("config", buf_str(&text), text.len, &err));
    assert_non_null(strstr(err.msg, "config, line 2: the line is longer than 16 KiB"));

    buf_clear(&text);
    while (text.len < INI_SIZE_MAX)
        buf_byte(&text, '\n');
    ini = ini_parse("config", buf_str(&text), text.len, &err);
    assert_non_null(ini);
    ini_free(ini);
    buf_byte(&text, '\n');
    assert_null(ini_parse("config", buf_str(&text), text.len, &err));
    assert_non_null(strstr(err.msg, "larger than 1 MiB"));
    buf_release(&text);
}

/* ---- files ---- */

static char dir[] = "/tmp/test_ini_XXXXXX";
static char path[sizeof(dir) + 16];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/config", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_file(const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void assert_refused(const char *why)
{
    struct ini *ini;
    struct err err = {0};
    assert_int_equal(ini_load(path, &ini, &err), -1);
    assert_null(ini);
    assert_int_equal(err.code, ERR_CONFIG);
    if (!strstr(err.msg, path) || !strstr(err.msg, why))
        fail_msg("%s", err.msg);
    unlink(path);
    rmdir(path);
}

static void test_load(void **state)
{
    (void)state;
    struct ini *ini;
    struct err err = {0};
    assert_int_equal(ini_load(path, &ini, &err), 0);
    assert_null(ini);
    write_file("[s]\nk = v\n", 10);
    assert_int_equal(ini_load(path, &ini, &err), 0);
    assert_string_equal(ini_get(ini, "s", NULL, "k", NULL), "v");
    ini_free(ini);
    char below[sizeof(path) + 8];
    snprintf(below, sizeof(below), "%s/below", path);
    assert_int_equal(ini_load(below, &ini, &err), 0);
    assert_null(ini);
    assert_int_equal(ini_load("/dev/null", &ini, &err), 0);
    assert_false(ini_has(ini, "s"));
    ini_free(ini);
    unlink(path);
}

static void test_load_refused(void **state)
{
    (void)state;
    write_file("[s]\nk\n", 6);
    assert_refused("line 2: ");
    write_file("\x7f"
               "ELF\0\0",
               6);
    assert_refused("NUL");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused("is a directory");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused("is not a regular file");
    assert_int_equal(symlink("config", path), 0);
    assert_refused("cannot be opened: ");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
    assert_refused("larger than 1 MiB");
}

static void test_load_unreadable(void **state)
{
    (void)state;
    write_file("[s]\n", 4);
    assert_int_equal(chmod(path, 0), 0);
    uid_t uid = geteuid();
    if (uid == 0) /* root reads everything: be somebody else for a moment */
        assert_int_equal(seteuid(65534), 0);
    struct ini *ini;
    struct err err = {0};
    int result = ini_load(path, &ini, &err);
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(result, -1);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "cannot be opened: Permission denied"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_binary_and_too_long),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_refused),
        cmocka_unit_test(test_load_unreadable),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
