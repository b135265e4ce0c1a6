/* SPDX-License-Identifier: Apache-2.0
 *
 * key: templates checked and expanded; a stranger's names made safe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mem.h"
#include "core/text.h"
#include "transfer/key.h"

static void good_templates(void **state)
{
    (void)state;
    char longest[KEY_MAX + 1];
    memset(longest, 'x', KEY_MAX);
    longest[KEY_MAX] = '\0';
    const char *const good[] = {"{job_id}/{filename}",
                                "labels/{job_id}.json",
                                "{date}/{name}-{job_id}",
                                "fixed",
                                "a b+c%d~e//f/./../\xc3\xa9",
                                "/lead",
                                "{job_id}{job_id}",
                                "egress/{job_id}",
                                ".egress",
                                ".egressx/{job_id}",
                                "{name}/.egress/{job_id}",
                                longest};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct err err = {0};
        if (key_template_check(good[i], &err) < 0)
            fail_msg("%s", err.msg);
    }
}

static void bad_templates(void **state)
{
    (void)state;
    char too_long[KEY_MAX + 2];
    memset(too_long, 'x', KEY_MAX + 1);
    too_long[KEY_MAX + 1] = '\0';
    const char *const bad[][2] = {
        {"", "empty"},
        {too_long, "1025 bytes long"},
        {"{id}", "unknown placeholder {id}"},
        {"{JOB_ID}", "unknown placeholder {JOB_ID}"},
        {"{}", "unknown placeholder {}"},
        {"{ job_id }", "unknown placeholder"},
        {"{{job_id}}", "unknown placeholder"},
        {"a{", "without its '}'"},
        {"{job_id", "without its '}'"},
        {"job_id}", "without its '{'"},
        {"{job_id}}", "without its '{'"},
        {"a\nb", "control character"},
        {"a\x7f", "control character"},
        {"a\xff", "not UTF-8"},
        {".egress/{job_id}", "where receipts live"},
        {"//.EGRESS/{job_id}", "where receipts live"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        assert_int_equal(key_template_check(bad[i][0], &err), -1);
        assert_int_equal(err.code, ERR_USAGE);
        if (!strstr(err.msg, bad[i][1]))
            fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i][1]);
    }
}

static void safe_is(const char *name, const char *expected)
{
    struct buf b = BUF_INIT(1000);
    key_safe_filename(name, &b);
    assert_string_equal(buf_str(&b), expected);
    buf_release(&b);
}

static void safe_filenames(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"labels.json", "labels.json"},
        {"two words+%~.json", "two words+%~.json"},
        {"\xc3\xa4\xe2\x82\xac.zip", "\xc3\xa4\xe2\x82\xac.zip"},
        {"/etc/passwd", "passwd"},
        {"../../labels.json", "labels.json"},
        {"C:\\dir\\labels.json", "labels.json"},
        {"a/b\\c/d", "d"},
        {"a\\b/c\\d", "d"},
        {"", "output"},
        {".", "output"},
        {"..", "output"},
        {"...", "output"},
        {"dir/", "output"},
        {"dir/..", "output"},
        {"dir\\", "output"},
        {" . ", "output"},
        {"\n\r\t", "output"},
        {"\xff\xfe", "output"},
        {".\x01.", "output"},
        {"la\nbe\x1b[2Jls\x7f.json", "labe[2Jls.json"},
        {"a\xc2\x85z", "az"},
        {"a\xffz\xc3.json", "az.json"},
        {"  spaced  ", "spaced"},
        {".hidden", "hidden"},
        {"trailing...", "trailing"},
        {".egress", "egress"},
        {"archive.tar.gz", "archive.tar.gz"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        safe_is(rows[i][0], rows[i][1]);
}

static void long_names_are_cut_and_keep_their_extension(void **state)
{
    (void)state;
    char name[5000], expected[300];
    memset(name, 'x', 4096);
    memcpy(name + 4096, ".json", 6);
    memset(expected, 'x', 250);
    memcpy(expected + 250, ".json", 6);
    safe_is(name, expected);
    /* Not in the middle of a character: 250 is not a multiple of 3. */
    for (size_t i = 0; i < 4095; i += 3)
        memcpy(name + i, "\xe2\x82\xac", 3);
    memcpy(name + 4095, ".json", 6);
    memcpy(expected, name, 249);
    memcpy(expected + 249, ".json", 6);
    safe_is(name, expected);
    /* An "extension" of hundreds of bytes is none. */
    memset(name, 'y', 1000);
    name[10] = '.';
    name[1000] = '\0';
    memcpy(expected, name, 255);
    expected[255] = '\0';
    safe_is(name, expected);
    /* A cut never leaves a dot or a space at the end. */
    name[10] = 'y';
    name[254] = '.';
    expected[10] = 'y';
    expected[254] = '\0';
    safe_is(name, expected);
}

static void any_bytes_give_a_safe_name(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252;
    for (int round = 0; round < 3000; round++) {
        char name[600];
        size_t len = (size_t)round % (sizeof(name) - 1);
        for (size_t i = 0; i < len; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            /* few different bytes, so that they meet often */
            name[i] = "a. /\\\n\xc3\xa9\xe2\x82\xac\xff"[x % 11];
            if (i > 0 && x % 64 < 60 && (name[i] == '/' || name[i] == '\\'))
                name[i] = 'b';
        }
        name[len] = '\0';
        struct buf b = BUF_INIT(1000);
        key_safe_filename(name, &b);
        const char *s = buf_str(&b);
        assert_in_range(b.len, 1, KEY_COMPONENT_MAX);
        assert_true(text_is_utf8(s, b.len));
        assert_null(strpbrk(s, "/\\\n"));
        assert_true(s[0] != '.' && s[0] != ' ' && s[b.len - 1] != '.' && s[b.len - 1] != ' ');
        buf_release(&b);
    }
}

static struct source_job job_named(const char *name, const char *filename)
{
    struct source_job job = {.name = xstrdup(name), .n_outputs = 1};
    memcpy(job.id, "job-1", 6);
    job.completed_ms = INT64_C(1579532982000);
    job.outputs = xcalloc(1, sizeof(*job.outputs));
    job.outputs[0].name = xstrdup(filename);
    return job;
}

static void expands_to(const char *template, const char *name, const char *filename,
                       const char *expected)
{
    struct source_job job = job_named(name, filename);
    struct buf key = BUF_INIT(KEY_MAX);
    struct err err = {0};
    assert_int_equal(key_template_check(template, &err), 0);
    if (key_expand(template, &job, 0, &key, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(buf_str(&key), expected);
    buf_release(&key);
    source_job_release(&job);
}

static void expansion(void **state)
{
    (void)state;
    expands_to("{job_id}/{filename}", "n", "labels.json", "job-1/labels.json");
    expands_to("labels/{job_id}.json", "n", "x", "labels/job-1.json");
    expands_to("{date}/{name}/{filename}", "clip.mp4-voxel51/vehicle-sense", "../o.zip",
               "2020-01-20/clip.mp4-voxel51_vehicle-sense/o.zip");
    expands_to("{job_id}{job_id}", "n", "x", "job-1job-1");
    expands_to("a b+%~//./../\xc3\xa9", "n", "x", "a b+%~//./../\xc3\xa9");
    expands_to("{name}/x", "", "x", "unnamed/x");
    expands_to("{name}/x", "../..", "x", "_/x");
    expands_to("{name}/x", "..", "x", "unnamed/x");
    expands_to("{name}/x", "a\\b\nc\xff", "x", "a_b_c_/x");
    expands_to("{name}/x", "{job_id}", "x", "{job_id}/x");
    expands_to("{name}/x", ".egress", "x", "egress/x");
}

static void date_is_of_completion_in_utc(void **state)
{
    (void)state;
    struct source_job job = job_named("n", "f");
    struct err err = {0};
    struct buf key = BUF_INIT(KEY_MAX);
    job.completed_ms = INT64_C(1579564799999);
    assert_int_equal(key_expand("{date}", &job, 0, &key, &err), 0);
    assert_string_equal(buf_str(&key), "2020-01-20");
    buf_clear(&key);
    job.completed_ms = 0;
    assert_int_equal(key_expand("{date}", &job, 0, &key, &err), 0);
    assert_string_equal(buf_str(&key), "undated");
    buf_release(&key);
    source_job_release(&job);
}

static void the_output_is_the_one_asked_for(void **state)
{
    (void)state;
    struct source_job job = job_named("n", "first");
    job.outputs = xrealloc(job.outputs, 2 * sizeof(*job.outputs));
    job.outputs[1] = (struct source_output){xstrdup("second"), -1};
    job.n_outputs = 2;
    struct err err = {0};
    struct buf key = BUF_INIT(KEY_MAX);
    assert_int_equal(key_expand("{filename}", &job, 1, &key, &err), 0);
    assert_string_equal(buf_str(&key), "second");
    buf_release(&key);
    source_job_release(&job);
    assert_null(job.outputs);
    source_job_release(&job);
}

static void keys_have_at_most_1024_bytes(void **state)
{
    (void)state;
    char template[KEY_MAX + 1];
    memset(template, 'x', KEY_MAX);
    memcpy(template, "{job_id}", 8); /* three bytes longer than what it stands for */
    template[KEY_MAX] = '\0';
    struct source_job job = job_named("n", "f");
    struct err err = {0};
    struct buf key = BUF_INIT(KEY_MAX);
    assert_int_equal(key_expand(template, &job, 0, &key, &err), 0);
    assert_int_equal(key.len, KEY_MAX - 3);
    memcpy(job.id, "job-1234", 9);
    buf_clear(&key);
    assert_int_equal(key_expand(template, &job, 0, &key, &err), 0);
    assert_int_equal(key.len, KEY_MAX);
    memcpy(job.id, "job-12345", 10);
    buf_clear(&key);
    assert_int_equal(key_expand(template, &job, 0, &key, &err), -1);
    assert_int_equal(err.code, ERR_INPUT);
    assert_non_null(strstr(err.msg, "job job-12345: its key would be 1025 bytes long"));
    assert_int_equal(key.len, 0);
    buf_release(&key);
    source_job_release(&job);
}

static void no_expansion_reaches_the_receipts(void **state)
{
    (void)state;
    struct source_job job = job_named("egress", "f");
    struct err err = {0};
    struct buf key = BUF_INIT(KEY_MAX);
    assert_int_equal(key_template_check(".{name}/{job_id}", &err), 0);
    assert_int_equal(key_expand(".{name}/{job_id}", &job, 0, &key, &err), -1);
    assert_non_null(strstr(err.msg, "where receipts live"));
    assert_int_equal(key.len, 0);
    buf_release(&key);
    source_job_release(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_templates),
        cmocka_unit_test(bad_templates),
        cmocka_unit_test(safe_filenames),
        cmocka_unit_test(long_names_are_cut_and_keep_their_extension),
        cmocka_unit_test(any_bytes_give_a_safe_name),
        cmocka_unit_test(expansion),
        cmocka_unit_test(date_is_of_completion_in_utc),
        cmocka_unit_test(the_output_is_the_one_asked_for),
        cmocka_unit_test(keys_have_at_most_1024_bytes),
        cmocka_unit_test(no_expansion_reaches_the_receipts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
