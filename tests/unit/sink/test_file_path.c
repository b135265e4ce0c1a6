/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that are no path below a directory, and destinations that are none.
 */
#include "file_rig.h"

/* ---- keys ---- */

static void test_hostile_keys(void **state)
{
    struct rig *rig = *state;
    static char long_name[300], long_key[4200], deep[300];
    memset(long_name, 'n', 256);
    memset(long_key, 'k', sizeof(long_key) - 1);
    for (size_t i = 200; i < sizeof(long_key) - 1; i += 200)
        long_key[i] = '/';
    for (size_t i = 0; i < 2 * 128; i += 2)
        memcpy(deep + i, "d/", 3);
    deep[2 * 128] = 'd';
    const char *keys[] = {"/etc/passwd", "..",
                          "../x",        "a/../../x",
                          "a/..",        "./a",
                          "a/./b",       "a//b",
                          "a/",          "a\nb",
                          "a\x1b[2J",    "a\x7f",
                          "\xc2\x9b",    "\xff",
                          "a\xc0\xafz",  ".egress",
                          ".egress/tmp", ".egress/tmp/x",
                          ".Egress",     ".EGRESS/TMP/x",
                          long_name,     long_key,
                          deep,          "",
                          "a\tb/c"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct sink_object object = {.key = keys[i]};
        struct sink_upload *upload = NULL;
        struct answer b;
        rig->sink->ops->begin(rig->sink, &object, &upload, on_done, expect(rig, &b));
        run(rig);
        assert_null(upload);
        assert_err(b, ERR_INPUT, "cannot be a path");
        assert_err(put(rig, keys[i], SINK_ALWAYS, NULL, "x"), ERR_INPUT, "choose another --key");
        assert_err(stat_key(rig, keys[i]), ERR_INPUT, "it has");
        assert_err(read_key(rig, keys[i], 0), ERR_INPUT, "it has");
    }
    assert_false(is_there(rig, "."));
    assert_false(is_there(rig, "../x"));
}

static void test_odd_but_good_keys(void **state)
{
    struct rig *rig = *state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    const char *keys[] = {
        "...",          "..a/b..",   ".hidden", "-rf",        "a b/ c ",
        "$(x)`'\"",     "日本/語",   name,      ".egress2/x", ".egress/voxel51/job.json",
        ".egress/tmpx", "%2e%2e/%2f"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_ok(put(rig, keys[i], SINK_IF_ABSENT, NULL, "x"));
        assert_file(rig, keys[i], "x");
    }
}

static void test_symbolic_links_are_not_followed(void **state)
{
    struct rig *rig = *state;
    char outside[PATH_SIZE + 16];
    assert_ok(put(rig, "first", SINK_IF_ABSENT, NULL, "x"));
    snprintf(outside, sizeof(outside), "%s/outside", rig->dir);
    assert_int_equal(mkdir(outside, 0777), 0);
    assert_int_equal(symlink(outside, path_of(rig, "out")), 0);
    assert_err(put(rig, "out/x", SINK_IF_ABSENT, NULL, "x"), ERR_INPUT, "symbolic link \"out\"");
    assert_err(put(rig, "out/y/x", SINK_ALWAYS, NULL, "x"), ERR_INPUT, "symbolic link");
    assert_int_equal(rmdir(outside), 0); /* still empty */
    assert_err(stat_key(rig, "out/x"), ERR_INPUT, "symbolic link");
    assert_int_equal(symlink("/etc/passwd", path_of(rig, "pw")), 0);
    assert_err(stat_key(rig, "pw"), ERR_CONFLICT, "not a file");
    assert_err(read_key(rig, "pw", 0), ERR_CONFLICT, "not a file");
    assert_ok(put(rig, "pw", SINK_ALWAYS, NULL, "mine"));
    assert_file(rig, "pw", "mine");
    assert_string_equal(list(rig, ""), "first pw");
}

static void test_file_where_a_directory_is_needed(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "f/g/h"};
    struct sink_upload *upload = NULL;
    struct answer a;
    assert_ok(put(rig, "f", SINK_IF_ABSENT, NULL, "x"));
    rig->sink->ops->begin(rig->sink, &object, &upload, on_done, expect(rig, &a));
    run(rig);
    assert_err(a, ERR_CONFLICT, "needs a directory \"f\"");
    assert_null(upload);
    assert_int_equal(temp_files(rig), 0);
}

/* ---- the destination ---- */

static void assert_no_sink(struct rig *rig, const char *directory, const char *in_message)
{
    struct err err = {0};
    assert_null(sink_file_new(rig->loop, directory, &err));
    assert_err((struct answer){.err = err}, ERR_DESTINATION, in_message);
}

static void test_destinations_that_cannot_be(void **state)
{
    struct rig *rig = *state;
    char path[PATH_SIZE + 32];
    assert_no_sink(rig, "", "empty path");
    snprintf(path, sizeof(path), "%s/none/out", rig->dir);
    assert_no_sink(rig, path, "nor does the directory above it");
    snprintf(path, sizeof(path), "%s/file", rig->dir);
    write_file(path, "x");
    assert_no_sink(rig, path, "no directory");
    snprintf(path, sizeof(path), "%s/file/out", rig->dir);
    assert_no_sink(rig, path, "Not a directory");
}

static void test_reading_makes_no_directory(void **state)
{
    struct rig *rig = *state;
    assert_false(stat_key(rig, "a").stat.exists);
    assert_err(read_key(rig, "a/b", 0), ERR_NOT_FOUND, "out");
    assert_err(list_keys(rig, ""), ERR_DESTINATION, "out"); /* a slip of the pen, most likely */
    assert_false(is_there(rig, "."));
}

static void test_linked_and_relative_destinations(void **state)
{
    struct rig *rig = *state;
    char link[PATH_SIZE + 32], here[PATH_SIZE], wanted[3 * PATH_SIZE];
    assert_ok(put(rig, "a", SINK_IF_ABSENT, NULL, "x"));
    rig->sink->ops->free(rig->sink);
    snprintf(link, sizeof(link), "%s/link", rig->dir);
    assert_int_equal(symlink("out", link), 0);
    open_sink(rig, link);
    assert_ok(put(rig, "b", SINK_IF_ABSENT, NULL, "y"));
    assert_file(rig, "b", "y");
    rig->sink->ops->free(rig->sink);

    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(rig->dir), 0);
    open_sink(rig, ".//out//");
    assert_int_equal(chdir(here), 0);
    assert_ok(put(rig, "c", SINK_IF_ABSENT, NULL, "z"));
    assert_file(rig, "c", "z");
    struct buf where = BUF_INIT(PATH_SIZE * 2);
    rig->sink->ops->locate(rig->sink, "c", &where);
    snprintf(wanted, sizeof(wanted), "%s/c", rig->out);
    assert_string_equal(buf_str(&where), wanted);
    buf_release(&where);
}

static void test_directory_gone_in_between(void **state)
{
    struct rig *rig = *state;
    struct sink_object object = {.key = "k"};
    struct sink_upload *upload = begin(rig, &object);
    assert_ok(write_part(rig, upload, 0, "x"));
    shell("rm -rf -- '%s'", rig->out);
    struct answer a = complete(rig, upload, 1);
    assert_int_not_equal(a.err.code, ERR_NONE);
    rig->sink->ops->upload_free(upload);
    assert_false(is_there(rig, "k"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hostile_keys),
        TEST(test_odd_but_good_keys),
        TEST(test_symbolic_links_are_not_followed),
        TEST(test_file_where_a_directory_is_needed),
        TEST(test_destinations_that_cannot_be),
        TEST(test_reading_makes_no_directory),
        TEST(test_linked_and_relative_destinations),
        TEST(test_directory_gone_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
