/* SPDX-License-Identifier: Apache-2.0
 *
 * ini: one copy of the text, cut up in place; an entry points into it.
 */
#include "aws/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

#define BLANKS " \t\r\f\v"

struct entry {
    const char *section;
    const char *parent; /* NULL unless nested */
    char *key;          /* NULL: the section's own line */
    char *value;
    unsigned line;
};

struct ini {
    char *text; /* owned; what the entries point into */
    size_t size;
    struct entry *entries; /* owned; in the file's order */
    size_t n, room;
};

struct parser {
    struct ini *ini;
    const char *path;
    const char *section; /* NULL before the first */
    const char *parent;  /* key under which indented lines are nested */
    size_t indent;       /* of the key that indented lines belong to */
    bool has_key;        /* there is such a key in this section */
    unsigned line;
};

void ini_free(struct ini *ini)
{
    if (!ini)
        return;
    OPENSSL_cleanse(ini->text, ini->size);
    free(ini->text);
    free(ini->entries);
    free(ini);
}

static void add(struct parser *p, const char *parent, char *key, char *value)
{
    struct ini *ini = p->ini;
    if (ini->n == ini->room) {
        ini->room = ini->room ? ini->room * 2 : 32;
        ini->entries = xrealloc(ini->entries, ini->room * sizeof(*ini->entries));
    }
    ini->entries[ini->n++] = (struct entry){p->section, parent, key, value, p->line};
}

static int malformed(const struct parser *p, const char *why, struct err *err)
{
    return err_set(err, ERR_CONFIG, "%s, line %u: %s", p->path, p->line, why);
}

static bool is_blank(char c)
{
    return c && strchr(BLANKS, c);
}

static bool is_comment(char c)
{
    return c == '#' || c == ';';
}

static void trim_end(char *s)
{
    size_t len = strlen(s);
    while (len && is_blank(s[len - 1]))
        s[--len] = '\0';
}

static char *trimmed(char *s)
{
    s += strspn(s, BLANKS);
    trim_end(s);
    return s;
}

static void cut_comment(char *s)
{
    for (char *c = s; *c; c++) {
        if (is_comment(*c) && c > s && is_blank(c[-1])) {
            *c = '\0';
            return;
        }
    }
}

/* "profile  'x'" becomes "profile x". */
static void normalize_section(char *name)
{
    char *rest = name + strcspn(name, BLANKS);
    if (!*rest)
        return;
    char *word = rest + strspn(rest, BLANKS);
    size_t len = strlen(word);
    if (len >= 2 && (*word == '"' || *word == '\'') && word[len - 1] == *word) {
        word[len - 1] = '\0';
        word++;
    }
    *rest = ' ';
    memmove(rest + 1, word, strlen(word) + 1);
}

static int parse_section(struct parser *p, char *s, struct err *err)
{
    char *end = strchr(s, ']');
    if (!end)
        return malformed(p, "the section's ']' is missing", err);
    const char *after = end + 1 + strspn(end + 1, BLANKS);
    if (*after && !is_comment(*after))
        return malformed(p, "there is something after the section's ']'", err);
    *end = '\0';
    char *name = trimmed(s + 1);
    if (!*name)
        return malformed(p, "the section has no name", err);
    normalize_section(name);
    p->section = name;
    p->has_key = false;
    add(p, NULL, NULL, NULL);
    return 0;
}

/* "key = value" cut in two; NULL when it is none. */
static char *split(char *key)
{
    char *mark = strpbrk(key, "=:");
    if (!mark || mark == key)
        return NULL;
    *mark = '\0';
    trim_end(key);
    for (char *c = key; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    char *value = mark + 1;
    cut_comment(value);
    return trimmed(value);
}

static int parse_key(struct parser *p, char *s, const char *parent, struct err *err)
{
    char *value = split(s);
    if (!value)
        return malformed(p, "expected `key = value`, `[section]` or a comment", err);
    if (!p->section)
        return malformed(p, "there is no `[section]` line before the first key", err);
    add(p, parent, s, value);
    return 0;
}

/* Moves a continuation line to where the value ends, after a line feed. Its place is always later
 * in the text: at least the line's end and one blank lie between them. */
static void continue_value(struct parser *p, char *s)
{
    char *value = p->ini->entries[p->ini->n - 1].value;
    char *end = value + strlen(value);
    cut_comment(s);
    trim_end(s);
    *end++ = '\n';
    memmove(end, s, strlen(s) + 1);
}

static int parse_line(struct parser *p, char *line, struct err *err)
{
    size_t indent = strspn(line, BLANKS);
    char *s = trimmed(line);
    if (!*s || is_comment(*s))
        return 0;
    if (p->has_key && indent > p->indent) {
        if (p->parent)
            return parse_key(p, s, p->parent, err);
        continue_value(p, s);
        return 0;
    }
    if (*s == '[')
        return parse_section(p, s, err);
    if (parse_key(p, s, NULL, err) < 0)
        return -1;
    const struct entry *entry = &p->ini->entries[p->ini->n - 1];
    p->has_key = true;
    p->indent = indent;
    p->parent = *entry->value ? NULL : entry->key;
    return 0;
}

static int parse_lines(struct parser *p, struct err *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    char *s = p->ini->text;
    char *end = s + p->ini->size;
    if (strncmp(s, bom, 3) == 0)
        s += 3;
    for (; s < end; p->line++) {
        char *feed = memchr(s, '\n', (size_t)(end - s));
        char *next = feed ? feed + 1 : end;
        if (memchr(s, '\0', (size_t)((feed ? feed : end) - s)))
            return malformed(p, "a NUL byte; expected a text file in UTF-8", err);
        if (next - s > INI_LINE_MAX)
            return malformed(p, "the line is longer than 16 KiB", err);
        if (feed)
            *feed = '\0';
        if (parse_line(p, s, err) < 0)
            return -1;
        s = next;
    }
    return 0;
}

struct ini *ini_parse(const char *path, const char *text, size_t len, struct err *err)
{
    if (len > INI_SIZE_MAX) {
        err_set(err, ERR_CONFIG, "%s: larger than 1 MiB; expected an AWS configuration file", path);
        return NULL;
    }
    struct ini *ini = xcalloc(1, sizeof(*ini));
    ini->text = xcalloc(len + 1, 1);
    ini->size = len;
    if (len)
        memcpy(ini->text, text, len);
    struct parser p = {.ini = ini, .path = path, .line = 1};
    if (parse_lines(&p, err) < 0) {
        ini_free(ini);
        return NULL;
    }
    return ini;
}

/* The whole file, at most INI_SIZE_MAX + 1 bytes of it, into `text`. 0 or -1 (errno). */
static int read_all(int fd, char *text, size_t *len)
{
    while (*len <= INI_SIZE_MAX) {
        ssize_t n = read(fd, text + *len, INI_SIZE_MAX + 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : 0;
        *len += (size_t)n;
    }
    return 0;
}

int ini_load(const char *path, struct ini **out, struct err *err)
{
    *out = NULL;
    /* O_NONBLOCK: opening a FIFO that nobody writes to must not hang. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set_errno(err, ERR_CONFIG, errno, "%s: cannot be opened", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    /* A device only for /dev/null, the usual way to say "no file". */
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) {
        close(fd);
        return err_set(err, ERR_CONFIG, "%s: %s; expected an AWS configuration file", path,
                       S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    }
    char *text = xcalloc(INI_SIZE_MAX + 1, 1);
    size_t len = 0;
    if (read_all(fd, text, &len) < 0)
        err_set_errno(err, ERR_CONFIG, errno, "%s: cannot be read", path);
    else
        *out = ini_parse(path, text, len, err);
    close(fd);
    OPENSSL_cleanse(text, len);
    free(text);
    return *out ? 0 : -1;
}

bool ini_has(const struct ini *ini, const char *section)
{
    for (size_t i = 0; ini && i < ini->n; i++)
        if (strcmp(ini->entries[i].section, section) == 0)
            return true;
    return false;
}

const char *ini_get(const struct ini *ini, const char *section, const char *parent, const char *key,
                    unsigned *line)
{
    for (size_t i = ini ? ini->n : 0; i-- > 0;) {
        const struct entry *e = &ini->entries[i];
        if (!e->key || strcmp(e->key, key) != 0 || strcmp(e->section, section) != 0)
            continue;
        if (parent ? !e->parent || strcmp(e->parent, parent) != 0 : e->parent != NULL)
            continue;
        if (line)
            *line = e->line;
        return e->value;
    }
    return NULL;
}
