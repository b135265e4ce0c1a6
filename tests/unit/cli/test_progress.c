/* SPDX-License-Identifier: Apache-2.0
 *
 * test_progress: the display on a real pseudo-terminal, read back through a small model of a
 * screen.
 */
#include "cli/progress.h"

#include <poll.h>
#include <pty.h> /* beyond POSIX.1-2008: openpty */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"

enum { COLUMNS = 80, LINES = 24 };

struct screen {
    char cell[LINES][COLUMNS + 1];
    unsigned row, column;
};

/* Acts on one escape sequence after ESC; returns what follows it. */
static const char *escape(struct screen *s, const char *p)
{
    assert_int_equal(*p, '[');
    char *end;
    unsigned long n = strtoul(p + 1, &end, 10);
    switch (*end) {
    case 'A':
        assert_true(n >= 1 && n <= s->row);
        s->row -= (unsigned)n;
        break;
    case 'J':
        for (unsigned i = s->row + 1; i < LINES; i++)
            s->cell[i][0] = '\0';
        s->cell[s->row][s->column] = '\0';
        break;
    case 'K':
        s->cell[s->row][s->column] = '\0';
        break;
    default:
        fail_msg("unexpected escape sequence");
    }
    return end + 1;
}

static void show(struct screen *s, const char *p)
{
    while (*p) {
        char c = *p++;
        if (c == '\x1b') {
            p = escape(s, p);
        } else if (c == '\r') {
            s->column = 0;
        } else if (c == '\n') {
            assert_true(++s->row < LINES);
        } else {
            assert_true(s->column < COLUMNS - 1 && c >= ' ' && c <= '~');
            char *line = s->cell[s->row];
            if (!line[s->column])
                line[s->column + 1] = '\0';
            line[s->column++] = c;
        }
    }
}

struct terminal {
    int master;
    FILE *out;
    struct screen screen;
};

static void terminal_open(struct terminal *t)
{
    memset(t, 0, sizeof(*t));
    struct winsize size = {.ws_col = COLUMNS, .ws_row = LINES};
    int slave;
    assert_int_equal(openpty(&t->master, &slave, NULL, NULL, &size), 0);
    t->out = fdopen(slave, "w");
    assert_non_null(t->out);
}

static void terminal_close(struct terminal *t)
{
    fclose(t->out);
    close(t->master);
}

/* Takes in what has been written so far. */
static void terminal_look(struct terminal *t)
{
    struct pollfd p = {.fd = t->master, .events = POLLIN};
    char text[4096];
    while (poll(&p, 1, 0) == 1 && (p.revents & POLLIN)) {
        ssize_t n = read(t->master, text, sizeof(text) - 1);
        assert_true(n > 0);
        text[n] = '\0';
        show(&t->screen, text);
    }
}

struct run {
    struct loop *loop;
    struct terminal terminal;
    struct progress *progress;
    int slot;
    unsigned n_refreshed;
};

static void refresh(void *arg)
{
    struct run *r = arg;
    const char(*cell)[COLUMNS + 1] = (const char(*)[COLUMNS + 1]) r->terminal.screen.cell;
    terminal_look(&r->terminal);
    switch (++r->n_refreshed) {
    case 1:
        assert_string_equal(cell[0], "");
        progress_update(r->progress, r->slot, 512, 1024);
        break;
    case 2:
        assert_int_equal(strncmp(cell[0], "some-job               512 B   50%  [====", 41), 0);
        assert_int_equal(strncmp(cell[1], "1 of 3 jobs  512 B  ", 20), 0);
        assert_string_equal(cell[2], "");
        log_warn("something odd");
        break;
    case 3:
        assert_string_equal(cell[0], "egress: warning: something odd");
        assert_int_equal(strncmp(cell[1], "some-job               512 B   50%", 34), 0);
        assert_int_equal(strncmp(cell[2], "1 of 3 jobs  ", 13), 0);
        progress_remove(r->progress, r->slot);
        progress_jobs(r->progress, 2, 3);
        break;
    case 4:
        assert_int_equal(strncmp(cell[1], "2 of 3 jobs  512 B  ", 20), 0);
        assert_string_equal(cell[2], "");
        progress_hide(r->progress);
        fputs("a result\n", r->terminal.out);
        log_info("and a log line");
        progress_unhide(r->progress);
        break;
    default:
        assert_string_equal(cell[1], "a result");
        assert_string_equal(cell[2], "egress: and a log line");
        assert_int_equal(strncmp(cell[3], "2 of 3 jobs  512 B  ", 20), 0);
        loop_stop(r->loop);
    }
}

static void draws_steps_aside_and_leaves_nothing(void **state)
{
    (void)state;
    struct run r = {0};
    struct err err = {0};
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    terminal_open(&r.terminal);
    log_init(r.terminal.out, LOG_INFO, LOG_HUMAN);
    r.loop = loop_new(&err);
    assert_non_null(r.loop);
    r.progress = progress_new(r.loop, r.terminal.out, refresh, &r);
    assert_non_null(r.progress);
    progress_jobs(r.progress, 1, 3);
    r.slot = progress_add(r.progress, "some-job");
    loop_run(r.loop);
    assert_int_equal(r.n_refreshed, 5);
    progress_free(r.progress);
    loop_free(r.loop);
    log_info("the end");

    terminal_look(&r.terminal);
    static const char *const left[] = {"egress: warning: something odd",
                                       "a result",
                                       "egress: and a log line",
                                       "egress: the end",
                                       "",
                                       "",
                                       ""};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_string_equal(r.terminal.screen.cell[i], left[i]);
    terminal_close(&r.terminal);
}

static void none_where_it_would_disturb(void **state)
{
    (void)state;
    struct terminal t;
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    assert_non_null(loop);
    terminal_open(&t);
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    assert_null(progress_new(loop, t.out, NULL, NULL));
    unsetenv("TERM");
    assert_null(progress_new(loop, t.out, NULL, NULL));
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    assert_null(progress_new(loop, t.out, NULL, NULL));
    setenv("NO_COLOR", "", 1);
    struct progress *p = progress_new(loop, t.out, NULL, NULL);
    assert_non_null(p);
    progress_free(p);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_null(progress_new(loop, file, NULL, NULL));
    fclose(file);

    /* everything takes the NULL */
    assert_int_equal(progress_add(NULL, "x"), -1);
    progress_update(NULL, -1, 1, 2);
    progress_jobs(NULL, 0, 1);
    progress_hide(NULL);
    progress_unhide(NULL);
    progress_remove(NULL, -1);
    progress_free(NULL);
    terminal_look(&t);
    assert_string_equal(t.screen.cell[0], "");
    terminal_close(&t);
    loop_free(loop);
}

static void slots_are_used_again(void **state)
{
    (void)state;
    struct terminal t;
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    assert_non_null(loop);
    terminal_open(&t);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    struct progress *p = progress_new(loop, t.out, NULL, NULL);
    assert_int_equal(progress_add(p, "a"), 0);
    assert_int_equal(progress_add(p, "b"), 1);
    progress_remove(p, 0);
    assert_int_equal(progress_add(p, "c"), 0);
    assert_int_equal(progress_add(p, "d"), 2);
    progress_free(p);
    terminal_close(&t);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_steps_aside_and_leaves_nothing),
        cmocka_unit_test(none_where_it_would_disturb),
        cmocka_unit_test(slots_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
