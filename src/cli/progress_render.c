/* SPDX-License-Identifier: Apache-2.0
 *
 * progress_render: the progress display as text, from plain values; no terminal in sight.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <string.h>

#include "core/text.h"

enum {
    LINE_SIZE = 256, /* longer than any line gets */
    LABEL_WIDTH = 16,
    LABEL_HEAD = 8,
    LABEL_TAIL = 6,
    BAR_MIN = 10,
    BAR_MAX = 42,
    ROWS_MAX = 16,
};

/* Widths from which on there is room for more than label and bytes; see render_row. */
enum { WITH_PERCENT = 34, WITH_RATE = 48, WITH_BAR = WITH_RATE + 2 + BAR_MIN };

/* "016f6063..ec53ed": both ends, since ids may begin or end alike. */
static void shorten(const char *label, char out[LABEL_WIDTH + 1])
{
    size_t len = strlen(label);
    if (len > LABEL_WIDTH)
        snprintf(out, LABEL_WIDTH + 1, "%.*s..%s", LABEL_HEAD, label, label + len - LABEL_TAIL);
    else
        snprintf(out, LABEL_WIDTH + 1, "%s", label);
    /* Only plain ASCII is surely one column wide and harmless to a terminal. */
    for (char *c = out; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

/* "[=====>    ]", `width` columns with its brackets. */
static void bar(struct buf *out, uint64_t done, uint64_t size, unsigned width)
{
    unsigned room = width - 2;
    double part = size ? (double)done / (double)size : 1;
    unsigned full = part >= 1 ? room : (unsigned)(part * room);
    buf_byte(out, '[');
    for (unsigned i = 0; i < room; i++)
        buf_byte(out, i < full ? '=' : i == full ? '>' : ' ');
    buf_byte(out, ']');
}

static void rate_text(uint64_t rate, char out[TEXT_SIZE_MAX + 2])
{
    char size[TEXT_SIZE_MAX];
    snprintf(out, TEXT_SIZE_MAX + 2, "%s/s", text_format_size(rate, size));
}

/* "3:07", "2:05:09" */
static void time_text(int64_t ms, char out[TEXT_SIZE_MAX])
{
    int64_t s = (ms + 999) / 1000;
    if (s < 3600)
        snprintf(out, TEXT_SIZE_MAX, "%" PRId64 ":%02d", s / 60, (int)(s % 60));
    else
        snprintf(out, TEXT_SIZE_MAX, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                 (int)(s % 60));
}

static void render_row(const struct progress_row *row, unsigned width, struct buf *line)
{
    char label[LABEL_WIDTH + 1], bytes[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX + 2], percent[8] = "";
    shorten(row->label, label);
    uint64_t size = row->size > 0 ? (uint64_t)row->size : 0;
    uint64_t done = row->size >= 0 && row->done > size ? size : row->done;
    if (row->size >= 0)
        snprintf(percent, sizeof(percent), "%3u%%",
                 size ? (unsigned)((double)done * 100 / (double)size) : 100);
    buf_printf(line, "%-*s  %10s", LABEL_WIDTH, label, text_format_size(row->done, bytes));
    if (width >= WITH_PERCENT)
        buf_printf(line, "  %4s", percent);
    if (width >= WITH_BAR) {
        unsigned room = width - WITH_RATE - 2;
        unsigned bar_width = room < BAR_MAX ? room : BAR_MAX;
        buf_str_append(line, "  ");
        if (row->size >= 0)
            bar(line, done, size, bar_width);
        else
            buf_printf(line, "%*s", (int)bar_width, "");
    }
    rate_text(row->rate, rate);
    if (width >= WITH_RATE)
        buf_printf(line, "  %12s", rate);
}

static void render_total(const struct progress_view *view, struct buf *line)
{
    char bytes[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX + 2], left[TEXT_SIZE_MAX];
    rate_text(view->rate, rate);
    buf_printf(line, "%zu of %zu %s  %s  %s", view->jobs_done, view->jobs_total,
               view->jobs_total == 1 ? "job" : "jobs", text_format_size(view->bytes, bytes), rate);
    if (view->left_ms >= 0) {
        time_text(view->left_ms, left);
        buf_printf(line, "  %s left", left);
    }
}

/* Moves a line into `out`, cut to `width`. */
static void end_line(struct buf *line, unsigned width, struct buf *out)
{
    buf_append(out, buf_str(line), line->len < width ? line->len : width);
    buf_byte(out, '\n');
    buf_clear(line);
}

unsigned progress_render(const struct progress_view *view, unsigned columns, unsigned lines,
                         struct buf *out)
{
    if (lines < 2 || columns < 2)
        return 0;
    unsigned width = columns - 1; /* the last column makes some terminals wrap */
    size_t room = lines - 2 < ROWS_MAX ? lines - 2 : ROWS_MAX;
    size_t n = view->n_rows <= room ? view->n_rows : room > 1 ? room - 1 : 0;
    struct buf line = BUF_INIT(LINE_SIZE);
    unsigned drawn = 1;
    for (size_t i = 0; i < n; i++, drawn++) {
        render_row(&view->rows[i], width, &line);
        end_line(&line, width, out);
    }
    if (n && n < view->n_rows) {
        buf_printf(&line, "and %zu more", view->n_rows - n);
        end_line(&line, width, out);
        drawn++;
    }
    render_total(view, &line);
    end_line(&line, width, out);
    buf_release(&line);
    return drawn;
}
