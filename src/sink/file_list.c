/* SPDX-License-Identifier: Apache-2.0
 *
 * file_list: see file_list.h. Depth first, one open directory per level.
 */
#include "sink/file_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "sink/file_path.h"

enum { STEP_ENTRIES = 1024, STEP_BYTES = 64 * 1024 };

struct level {
    DIR *dir;        /* owned */
    size_t path_len; /* of `path` up to this directory, its '/' included */
};

struct file_list {
    char *root;         /* owned */
    char *prefix;       /* owned */
    size_t folder_len;  /* of the prefix up to its last '/' */
    size_t folder_deep; /* directories in that */
    bool started;
    char path[PATH_MAX]; /* key of the entry looked at */
    size_t depth;        /* 0..depth of the levels are open */
    struct level levels[FILE_KEY_DEPTH_MAX];
};

struct file_list *file_list_new(const char *root, const char *prefix)
{
    struct file_list *list = xcalloc(1, sizeof(*list));
    list->root = xstrdup(root);
    list->prefix = xstrdup(prefix);
    for (const char *p = prefix; (p = strchr(p, '/')) != NULL; p++) {
        list->folder_len = (size_t)(p + 1 - prefix);
        list->folder_deep++;
    }
    return list;
}

void file_list_free(struct file_list *list)
{
    if (!list)
        return;
    while (list->depth > 0)
        closedir(list->levels[--list->depth].dir);
    free(list->prefix);
    free(list->root);
    free(list);
}

/* Goes into fd, which it takes. */
static int push(struct file_list *list, int fd, size_t path_len, struct err *err)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int failed = errno;
        close(fd);
        return file_fail(err, failed, "cannot list \"%.160s\" in %.200s", list->path, list->root);
    }
    list->levels[list->depth++] = (struct level){dir, path_len};
    return 0;
}

static int start(struct file_list *list, struct err *err)
{
    list->started = true;
    if (list->folder_len > 0) {
        char *folder = xstrndup(list->prefix, list->folder_len - 1);
        bool ok = strcmp(folder, FILE_OWN_DIR) == 0 || file_key_check(list->root, folder, err) == 0;
        free(folder);
        if (!ok)
            return -1;
    }
    memcpy(list->path, list->prefix, list->folder_len);
    list->path[list->folder_len] = '\0';
    struct err why = {0};
    int fd = file_parent_open(list->root, list->path, false, &why);
    if (fd >= 0)
        return push(list, fd, list->folder_len, err);
    if (why.code != ERR_NOT_FOUND) {
        *err = why;
        return -1;
    }
    /* A folder without keys is empty; a destination that is not there is a mistake. */
    fd = file_root_open(list->root, false, err);
    if (fd < 0) {
        if (err->code == ERR_NOT_FOUND)
            err->code = ERR_DESTINATION;
        return -1;
    }
    close(fd);
    return 0;
}

/* Puts the entry's key into `path`; false when nothing that was asked for can begin with it. */
static bool enter(struct file_list *list, const char *name)
{
    size_t at = list->levels[list->depth - 1].path_len, len = strlen(name);
    const char *rest = list->prefix + list->folder_len;
    if (!file_component_ok(name, len) || strlen(list->root) + 1 + at + len >= PATH_MAX)
        return false;
    if (list->depth == 1 && strncmp(name, rest, strlen(rest)) != 0)
        return false;
    memcpy(list->path + at, name, len + 1);
    if (strcmp(list->path, FILE_OWN_DIR) == 0)
        return strncmp(list->prefix, FILE_OWN_DIR, strlen(FILE_OWN_DIR)) == 0;
    return strcmp(list->path, FILE_TEMP_DIR) != 0;
}

static int descend(struct file_list *list, int parent, const char *name, struct err *err)
{
    size_t len = strlen(list->path);
    if (list->folder_deep + list->depth >= FILE_KEY_DEPTH_MAX || len + 1 >= PATH_MAX)
        return 0; /* no key is as deep */
    struct err why = {0};
    int fd = file_dir_open(parent, name, false, list->root, list->path, &why);
    if (fd < 0) {
        /* Gone, or another kind of thing, since it was looked at. */
        if (why.code == ERR_NOT_FOUND || why.code == ERR_CONFLICT || why.code == ERR_INPUT)
            return 0;
        *err = why;
        return -1;
    }
    list->path[len] = '/';
    list->path[len + 1] = '\0';
    return push(list, fd, len + 1, err);
}

static int visit(struct file_list *list, const char *name, struct buf *keys, struct err *err)
{
    struct stat st;
    int parent = dirfd(list->levels[list->depth - 1].dir);
    if (!enter(list, name))
        return 0;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0
                               : file_fail(err, errno, "cannot look at \"%.160s\" in %.200s",
                                           list->path, list->root);
    if (S_ISDIR(st.st_mode))
        return descend(list, parent, name, err);
    if (S_ISREG(st.st_mode))
        buf_append(keys, list->path, strlen(list->path) + 1);
    return 0;
}

int file_list_next(struct file_list *list, struct buf *keys, bool *more, struct err *err)
{
    if (!list->started && start(list, err) < 0)
        return -1;
    for (int n = 0; n < STEP_ENTRIES && keys->len < STEP_BYTES && list->depth > 0; n++) {
        DIR *dir = list->levels[list->depth - 1].dir;
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry) {
            if (visit(list, entry->d_name, keys, err) < 0)
                return -1;
        } else if (errno != 0) {
            return file_fail(err, errno, "cannot list \"%.160s\" in %.200s", list->path,
                             list->root);
        } else {
            closedir(dir);
            list->depth--;
        }
    }
    *more = list->depth > 0;
    return 0;
}
