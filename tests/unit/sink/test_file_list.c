/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing the keys below a directory.
 */
#include "file_rig.h"

static void test_list(void **state)
{
    struct rig *rig = *state;
    const char *keys[] = {"a/1", "a/2", "a/b/3", "ab", "b", ".egress/voxel51/j.json", ".egressive"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_ok(put(rig, keys[i], SINK_IF_ABSENT, NULL, "x"));
    write_file(path_of(rig, "a/bad\nname"), "x");
    assert_int_equal(symlink("1", path_of(rig, "a/link")), 0);
    assert_int_equal(symlink("b", path_of(rig, "a/link to a directory")), 0);
    assert_string_equal(list(rig, ""), ".egressive a/1 a/2 a/b/3 ab b");
    assert_string_equal(list(rig, "a"), "a/1 a/2 a/b/3 ab");
    assert_string_equal(list(rig, "a/"), "a/1 a/2 a/b/3");
    assert_string_equal(list(rig, "a/b"), "a/b/3");
    assert_string_equal(list(rig, "a/b/3"), "a/b/3");
    assert_string_equal(list(rig, "a/x/y"), "");
    assert_string_equal(list(rig, ".egress/"), ".egress/voxel51/j.json");
    assert_string_equal(list(rig, ".egress/voxel51/"), ".egress/voxel51/j.json");
    assert_string_equal(list(rig, ".egress"), ".egress/voxel51/j.json .egressive");
    assert_string_equal(list(rig, ".e"), ".egressive");
    struct answer bad;
    rig->sink->ops->list(rig->sink, "../", on_key, on_done, expect(rig, &bad));
    run(rig);
    assert_err(bad, ERR_INPUT, "..");
}

static void test_list_of_many_comes_in_pieces(void **state)
{
    struct rig *rig = *state;
    enum { FILES = 3000 };
    assert_ok(put(rig, "many/first", SINK_IF_ABSENT, NULL, "x"));
    for (int i = 0; i < FILES; i++) {
        char key[32];
        snprintf(key, sizeof(key), "many/%06d", i);
        write_file(path_of(rig, key), "");
    }
    struct answer a;
    rig->sink->ops->list(rig->sink, "many/", on_key, on_done, expect(rig, &a));
    run(rig);
    assert_ok(a);
    assert_int_equal(a.body.len, FILES * strlen("many/000000\n") + strlen("many/first\n"));
    buf_release(&a.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_list),
        TEST(test_list_of_many_comes_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
