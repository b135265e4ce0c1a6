/* SPDX-License-Identifier: Apache-2.0
 *
 * destination: each form of --to, and what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "assemble/destination.h"

static void is_s3(const char *text, const char *bucket, const char *prefix)
{
    struct err err = {0};
    struct destination d;
    if (destination_parse(text, &d, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(d.kind, DESTINATION_S3);
    assert_string_equal(d.bucket, bucket);
    assert_string_equal(d.path, prefix);
    destination_release(&d);
    assert_null(d.bucket);
    assert_null(d.path);
}

static void is_directory(const char *text, const char *path)
{
    struct err err = {0};
    struct destination d;
    if (destination_parse(text, &d, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(d.kind, DESTINATION_DIRECTORY);
    assert_null(d.bucket);
    assert_string_equal(d.path, path);
    destination_release(&d);
}

static void is_none(const char *text, const char *says)
{
    struct err err = {0};
    struct destination d;
    memset(&d, 0x5a, sizeof(d));
    const struct destination before = d;
    if (destination_parse(text, &d, &err) == 0)
        fail_msg("%s was taken", text ? text : "NULL");
    assert_int_equal(err.code, ERR_USAGE);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    assert_non_null(strstr(err.msg, "s3://BUCKET[/PREFIX]"));
    if (text && *text)
        assert_non_null(strstr(err.msg, "--to "));
    assert_memory_equal(&d, &before, sizeof(d)); /* set on success only */
}

static void s3(void **state)
{
    (void)state;
    is_s3("s3://bucket", "bucket", "");
    is_s3("s3://bucket/", "bucket", "");
    is_s3("s3://bucket///", "bucket", "");
    is_s3("s3://bucket/a", "bucket", "a");
    is_s3("s3://bucket/a/b/", "bucket", "a/b");
    is_s3("s3://bucket//a//b//", "bucket", "a//b"); /* within it every slash counts */
    is_s3("s3://bucket/a b+%2F~\xc3\xa9", "bucket", "a b+%2F~\xc3\xa9"); /* nothing is decoded */
    is_s3("s3://bucket/?x#y", "bucket", "?x#y");
    is_s3("s3://B_", "B_", ""); /* whether it can be a bucket, S3's part knows */
    is_none("s3://", "names no bucket");
    is_none("s3:///prefix", "names no bucket");
}

static void file_urls(void **state)
{
    (void)state;
    is_directory("file:///", "/");
    is_directory("file:///tmp/x", "/tmp/x");
    is_directory("file:///tmp/x/", "/tmp/x/");
    is_directory("file://localhost/tmp/x", "/tmp/x");
    is_directory("file:///a%20b%2Fc%C3%A9", "/a b/c\xc3\xa9");
    is_directory("file:///a+b", "/a+b");
    is_none("file://", "no file URL of this machine");
    is_none("file://host/tmp", "no file URL of this machine");
    is_none("file://tmp", "no file URL of this machine");
    is_none("file://localhost", "no file URL of this machine");
    is_none("file:///a%2", "no file URL of this machine");
    is_none("file:///a%zz", "no file URL of this machine");
    is_none("file:///a%00b", "no file URL of this machine"); /* no path holds a NUL */
}

static void too_long_file_url(void **state)
{
    (void)state;
    enum { TEXT = 5000 };
    char *text = malloc(TEXT + 1);
    assert_non_null(text);
    memset(text, 'x', TEXT);
    text[TEXT] = '\0';
    memcpy(text, "file:///", 8);
    struct err err = {0};
    struct destination d;
    assert_int_equal(destination_parse(text, &d, &err), -1);
    assert_int_equal(err.code, ERR_USAGE);
    text[4000] = '\0';
    is_directory(text, text + 7);
    free(text);
}

static void paths(void **state)
{
    (void)state;
    is_directory("out", "out");
    is_directory("./out/", "./out/");
    is_directory("/a b%20c", "/a b%20c"); /* nothing is decoded */
    is_directory("a:b", "a:b");
    is_directory("s3:/bucket", "s3:/bucket");
    is_directory("file:/tmp", "file:/tmp");
    is_directory("dir/x://y", "dir/x://y");
    is_directory("", ""); /* refused where directories are opened */
}

static void other_kinds(void **state)
{
    (void)state;
    is_none(NULL, "no destination; give --to");
    is_none("gs://bucket", "no such kind");
    is_none("S3://bucket", "no such kind");
    is_none("https://bucket.s3.amazonaws.com/x", "no such kind");
    is_none("://x", "no such kind");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3),    cmocka_unit_test(file_urls),   cmocka_unit_test(too_long_file_url),
        cmocka_unit_test(paths), cmocka_unit_test(other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
