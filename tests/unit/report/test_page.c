/* SPDX-License-Identifier: Apache-2.0
 *
 * page: its files are in the program, whole, each of its type, and small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "report/page.h"

static void its_files(void **state)
{
    (void)state;
    static const struct {
        const char *path, *type, *end;
    } files[] = {
        {"/", "text/html; charset=utf-8", "</html>\n"},
        {"/page.css", "text/css; charset=utf-8", "}\n"},
        {"/page.js", "text/javascript; charset=utf-8", "begin();\n"},
    };
    size_t whole = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const struct page_file *file = page_find(files[i].path);
        assert_non_null(file);
        assert_string_equal(file->path, files[i].path);
        assert_string_equal(file->content_type, files[i].type);
        size_t n = strlen(files[i].end);
        assert_true(file->len > n);
        assert_memory_equal(file->data + file->len - n, files[i].end, n);
        whole += file->len;
    }
    assert_in_range(whole, 10 * 1024, 40 * 1024);
}

static void nothing_else(void **state)
{
    (void)state;
    static const char *const paths[] = {"",   "/page",       "/page.html",   "/page.js/",
                                        "//", "/../page.js", "/page_text.js"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_null(page_find(paths[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_files),
        cmocka_unit_test(nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
