/* SPDX-License-Identifier: Apache-2.0 */
#include "core/settings.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/suggest.h"
#include "core/text.h"

enum kind { TEXT, SIZE, DURATION, INT, FLAG, CHOICE };

struct row {
    const char *flag;
    enum kind kind;
    const char *argument;
    const char *environment;
    const char *standard; /* the default */
    const char *choices;
    const char *help;
};

static const struct row rows[SETTINGS_COUNT] = {
#define SETTING_ROW(id, flag, kind, argument, environment, standard, choices, help)                \
    [id] = {flag, kind, argument, environment, standard, choices, help},
    SETTINGS(SETTING_ROW)
#undef SETTING_ROW
};

/* Long enough for any flag, variable or choice in the table. */
enum { WORD_SIZE = 64, EXPECTED_SIZE = 160 };

/* ---- one value ---- */

static int parse_number(enum kind kind, const char *s, int64_t *out)
{
    uint64_t bytes;
    switch (kind) {
    case SIZE:
        if (text_parse_size(s, &bytes) < 0)
            return -1;
        *out = (int64_t)bytes; /* text_parse_size stops at 2^53 */
        return 0;
    case DURATION:
        return text_parse_duration(s, out);
    case INT:
        return text_parse_int(s, INT64_MIN, INT64_MAX, out);
    default:
        return -1;
    }
}

static bool in_range(const struct row *row, int64_t n)
{
    const char *dots = strstr(row->choices, "..");
    char from[WORD_SIZE];
    int64_t min, max;
    snprintf(from, sizeof(from), "%.*s", (int)(dots - row->choices), row->choices);
    CHECK(parse_number(row->kind, from, &min) == 0);
    CHECK(parse_number(row->kind, dots + 2, &max) == 0);
    return n >= min && n <= max;
}

/* Takes the next of the words that `separator` keeps apart; false after the last. */
static bool next_word(const char **list, char separator, char out[WORD_SIZE])
{
    if (!*list)
        return false;
    const char *end = strchr(*list, separator);
    int len = end ? (int)(end - *list) : (int)strlen(*list);
    snprintf(out, WORD_SIZE, "%.*s", len, *list);
    *list = end ? end + 1 : NULL;
    return true;
}

static bool is_choice(const struct row *row, const char *value)
{
    const char *list = row->choices;
    char word[WORD_SIZE];
    while (next_word(&list, '|', word))
        if (strcmp(word, value) == 0)
            return true;
    return false;
}

/* "a size from 16MiB to 1TiB, such as 64MiB" */
static void describe_expected(const struct row *row, struct buf *out)
{
    static const char *const what[] = {
        [SIZE] = "a size", [DURATION] = "a time", [INT] = "a whole number"};
    const char *list = row->choices;
    char word[WORD_SIZE];
    if (row->kind == CHOICE) {
        for (unsigned i = 0; next_word(&list, '|', word); i++)
            buf_printf(out, "%s%s", i == 0 ? "" : list ? ", " : " or ", word);
        return;
    }
    const char *dots = strstr(row->choices, "..");
    buf_printf(out, "%s from %.*s to %s", what[row->kind], (int)(dots - row->choices), row->choices,
               dots + 2);
    if (row->kind != INT)
        buf_printf(out, ", such as %s", row->standard);
}

/* Takes over a value. `label` is what the user wrote before it: "--memory " or "EGRESS_MEMORY=". */
static int set_value(struct settings *s, enum setting id, const char *value, const char *label,
                     struct err *err)
{
    const struct row *row = &rows[id];
    int64_t n = 0;
    bool right = true;
    if (row->kind == CHOICE)
        right = is_choice(row, value);
    else if (row->kind != TEXT)
        right = parse_number(row->kind, value, &n) == 0 && in_range(row, n);
    if (!right) {
        struct buf expected = BUF_INIT(EXPECTED_SIZE);
        describe_expected(row, &expected);
        err_set(err, ERR_USAGE, "%s%.200s: expected %s", label, value, buf_str(&expected));
        buf_release(&expected);
        return -1;
    }
    s->values[id] = value;
    s->numbers[id] = n;
    return 0;
}

/* ---- the command line ---- */

struct line {
    struct settings *s;
    const enum setting *accepted;
    size_t n_accepted;
    int argc;
    char **argv;
    int at; /* of the argument being looked at */
};

/* The accepted setting whose flag is name[0..len), or SETTINGS_COUNT. */
static enum setting find_flag(const struct line *line, const char *name, size_t len)
{
    for (size_t i = 0; i < line->n_accepted; i++) {
        const char *flag = rows[line->accepted[i]].flag;
        if (strlen(flag) == len && strncmp(flag, name, len) == 0)
            return line->accepted[i];
    }
    return SETTINGS_COUNT;
}

/* `name` is without the dashes and without a value, which may be a secret in the wrong place. */
static int unknown_flag(const struct line *line, const char *dashes, const char *name,
                        struct err *err)
{
    for (size_t i = 0; dashes[1] && i < SETTINGS_COUNT; i++)
        if (strcmp(rows[i].flag, name) == 0)
            return err_set(err, ERR_USAGE, "--%s: this command does not take it", name);
    const char *names[SETTINGS_COUNT + 1];
    size_t n = 0;
    for (; n < line->n_accepted; n++)
        names[n] = rows[line->accepted[n]].flag;
    names[n++] = "help";
    const char *meant = suggest(name, names, n);
    if (meant)
        return err_set(err, ERR_USAGE, "%s%.100s: no such flag; did you mean --%s?", dashes, name,
                       meant);
    return err_set(err, ERR_USAGE, "%s%.100s: no such flag", dashes, name);
}

/* The argument after a flag that wants one; another flag there means that it was left out. */
static int flag_argument(struct line *line, const struct row *row, const char **value,
                         struct err *err)
{
    const char *next = line->at + 1 < line->argc ? line->argv[line->at + 1] : NULL;
    bool is_flag =
        next && strncmp(next, "--", 2) == 0 &&
        (next[2] == '\0' || find_flag(line, next + 2, strcspn(next + 2, "=")) != SETTINGS_COUNT);
    if (!next || is_flag) {
        err_set(err, ERR_USAGE, "--%s: its value is missing; expected --%s %s", row->flag,
                row->flag, row->argument);
        return -1;
    }
    line->at++;
    *value = next;
    return 0;
}

static int take_flag(struct line *line, struct err *err)
{
    const char *arg = line->argv[line->at];
    const char *name = arg + (arg[1] == '-' ? 2 : 1);
    size_t len = strcspn(name, "=");
    enum setting id = arg[1] == '-' ? find_flag(line, name, len) : SETTINGS_COUNT;
    if (id == SETTINGS_COUNT) {
        char given[128];
        snprintf(given, sizeof(given), "%.*s", (int)(len < sizeof(given) ? len : sizeof(given) - 1),
                 name);
        return unknown_flag(line, arg[1] == '-' ? "--" : "-", given, err);
    }
    const struct row *row = &rows[id];
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    line->s->given[id] = true;
    if (row->kind == FLAG) {
        if (value)
            return err_set(err, ERR_USAGE, "--%s: it takes no value, just --%s", row->flag,
                           row->flag);
        line->s->numbers[id] = 1;
        return 0;
    }
    if (!value && flag_argument(line, row, &value, err) < 0)
        return -1;
    if (!*value)
        return err_set(err, ERR_USAGE, "--%s: its value is empty; expected --%s %s", row->flag,
                       row->flag, row->argument);
    char label[WORD_SIZE];
    snprintf(label, sizeof(label), "--%s ", row->flag);
    return set_value(line->s, id, value, label, err);
}

/* ---- environment and defaults ---- */

static int take_environment(struct settings *s, enum setting id, struct err *err)
{
    const char *list = rows[id].environment;
    char name[WORD_SIZE];
    while (next_word(&list, ',', name)) {
        const char *value = getenv(name);
        if (!value || !*value)
            continue;
        char label[WORD_SIZE + 1];
        snprintf(label, sizeof(label), "%s=", name);
        return set_value(s, id, value, label, err);
    }
    return 0;
}

int settings_parse(struct settings *s, const enum setting *accepted, size_t n, int argc,
                   char **argv, int *n_operands, struct err *err)
{
    struct line line = {s, accepted, n, argc, argv, 0};
    struct err first = {0};
    int rc = 0;
    bool flags = true;
    memset(s, 0, sizeof(*s));
    *n_operands = 0;
    for (; line.at < argc; line.at++) {
        char *arg = argv[line.at];
        struct err *e = rc == 0 ? &first : &(struct err){0};
        if (flags && strcmp(arg, "--") == 0)
            flags = false;
        else if (!flags || arg[0] != '-' || arg[1] == '\0')
            argv[(*n_operands)++] = arg;
        else if (take_flag(&line, e) < 0)
            rc = -1;
    }
    for (size_t i = 0; i < n; i++) {
        enum setting id = accepted[i];
        struct err *e = rc == 0 ? &first : &(struct err){0};
        if (!s->given[id] && take_environment(s, id, e) < 0)
            rc = -1;
        if (!s->values[id] && rows[id].standard)
            CHECK(set_value(s, id, rows[id].standard, "", e) == 0);
    }
    if (rc < 0)
        *err = first;
    return rc;
}

const char *settings_text(const struct settings *s, enum setting id)
{
    return s->values[id];
}

int64_t settings_number(const struct settings *s, enum setting id)
{
    return s->numbers[id];
}

bool settings_is(const struct settings *s, enum setting id, const char *value)
{
    return s->values[id] && strcmp(s->values[id], value) == 0;
}

bool settings_on(const struct settings *s, enum setting id)
{
    return rows[id].kind == FLAG ? s->numbers[id] == 1 : settings_is(s, id, "on");
}

const char *settings_flag(enum setting id)
{
    return rows[id].flag;
}

const char *settings_origin(const struct settings *s, enum setting id,
                            char out[SETTINGS_ORIGIN_SIZE])
{
    const char *list = rows[id].environment;
    char name[WORD_SIZE];
    if (!s->values[id])
        return NULL;
    snprintf(out, SETTINGS_ORIGIN_SIZE, "--%s", rows[id].flag);
    if (s->given[id])
        return out;
    while (next_word(&list, ',', name))
        if (getenv(name) == s->values[id]) {
            snprintf(out, SETTINGS_ORIGIN_SIZE, "%s", name);
            return out;
        }
    return "the default";
}

/* ---- help ---- */

enum { HELP_COLUMN = 26, HELP_TEXT_MIN = 30 };

/* "checksum sent to the store [crc32c or none; default crc32c; env EGRESS_CHECKSUM]" */
static void describe_row(const struct row *row, struct buf *out)
{
    struct buf more = BUF_INIT(EXPECTED_SIZE * 2);
    buf_str_append(out, row->help);
    if (row->choices && !(row->argument && strcmp(row->argument, row->choices) == 0)) {
        const char *dots = strstr(row->choices, "..");
        if (row->kind == CHOICE)
            describe_expected(row, &more);
        else
            buf_printf(&more, "%.*s to %s", (int)(dots - row->choices), row->choices, dots + 2);
    }
    if (row->standard)
        buf_printf(&more, "%sdefault %s", more.len ? "; " : "", row->standard);
    const char *list = row->environment;
    char name[WORD_SIZE];
    for (unsigned i = 0; next_word(&list, ',', name); i++)
        buf_printf(&more, "%s%s", i ? ", " : more.len ? "; env " : "env ", name);
    if (more.len)
        buf_printf(out, " [%s]", buf_str(&more));
    buf_release(&more);
}

/* Prints text from column HELP_COLUMN on (the cursor is there), broken between words. */
static void print_wrapped(const char *text, unsigned width, FILE *out)
{
    unsigned room = HELP_TEXT_MIN;
    if (width > HELP_COLUMN + HELP_TEXT_MIN)
        room = width - HELP_COLUMN - 1;
    size_t used = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (used && used + 1 + len > room) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            used = 0;
        }
        fprintf(out, "%s%.*s", used ? " " : "", (int)len, text);
        used += len + (used ? 1 : 0);
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

void settings_help(const enum setting *accepted, size_t n, unsigned width, FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct row *row = &rows[accepted[i]];
        struct buf text = BUF_INIT(1024);
        int used = fprintf(out, "  --%s%s%s", row->flag, row->argument ? " " : "",
                           row->argument ? row->argument : "");
        if (used >= HELP_COLUMN - 1)
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        else
            fprintf(out, "%*s", HELP_COLUMN - used, "");
        describe_row(row, &text);
        print_wrapped(buf_str(&text), width, out);
        buf_release(&text);
    }
}
