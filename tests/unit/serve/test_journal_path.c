/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the journal lies when nothing, or something, says so; and its socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "serve/journal_path.h"

static void set(const char *variable, const char *value)
{
    if (value)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
}

static void expect(const char *given, const char *state_directory, const char *xdg_state_home,
                   const char *home, const char *expected)
{
    struct err err = {0};
    set("STATE_DIRECTORY", state_directory);
    set("XDG_STATE_HOME", xdg_state_home);
    set("HOME", home);
    char *path = journal_path(given, false, &err);
    if (expected) {
        assert_non_null(path);
        assert_string_equal(path, expected);
    } else {
        assert_null(path);
        assert_int_equal(err.code, ERR_USAGE);
        assert_non_null(strstr(err.msg, "--journal"));
    }
    free(path);
}

static void each_place(void **state)
{
    (void)state;
    expect("j.db", "/s", "/x", "/h", "j.db");
    expect(NULL, "/s", "/x", "/h", "/s/egress.journal");
    expect(NULL, "/s:/t", "/x", "/h", "/s/egress.journal");
    expect(NULL, NULL, "/x", "/h", "/x/egress/egress.journal");
    expect(NULL, NULL, NULL, "/h", "/h/.local/state/egress/egress.journal");
    expect(NULL, NULL, NULL, NULL, NULL);
    /* Of a relative one nobody knows what it is relative to (XDG Base Directory Specification). */
    expect(NULL, "", "x", "/h", "/h/.local/state/egress/egress.journal");
    expect(NULL, NULL, NULL, "h", NULL);
}

static void its_folders_are_made(void **state)
{
    (void)state;
    struct err err = {0};
    struct stat sb;
    char dir[] = "/tmp/egress-path-XXXXXX", made[64], command[128];
    assert_non_null(mkdtemp(dir));
    set("STATE_DIRECTORY", NULL);
    set("XDG_STATE_HOME", NULL);
    set("HOME", dir);
    for (int again = 0; again < 2; again++) {
        char *path = journal_path(NULL, true, &err);
        assert_non_null(path);
        free(path);
    }
    snprintf(made, sizeof(made), "%s/.local/state/egress", dir);
    assert_int_equal(stat(made, &sb), 0);
    assert_true(S_ISDIR(sb.st_mode) && (sb.st_mode & 0777) == 0700);
    snprintf(command, sizeof(command), "rm -r '%s/.local' && touch '%s/.local'", dir, dir);
    assert_int_equal(system(command), 0);
    assert_null(journal_path(NULL, true, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.msg, ".local"));
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* sun_path has 108 bytes on Linux, one of them for the NUL. */
static void a_socket_has_a_shorter_path_than_a_file(void **state)
{
    (void)state;
    struct err err = {0};
    char path[200];
    memset(path, 'x', sizeof(path));
    path[102] = '\0';
    char *socket = serve_control_path(path, &err);
    assert_non_null(socket);
    assert_int_equal(strlen(socket), 107);
    assert_string_equal(socket + 102, ".sock");
    free(socket);
    path[102] = 'x';
    path[103] = '\0';
    assert_null(serve_control_path(path, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.msg, "--journal"));
    assert_non_null(strstr(err.msg, "103 bytes long; expected at most 102"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_place),
        cmocka_unit_test(its_folders_are_made),
        cmocka_unit_test(a_socket_has_a_shorter_path_than_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
