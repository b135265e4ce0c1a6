/* SPDX-License-Identifier: Apache-2.0
 *
 * file_path: see file_path.h. Errors, keys, directories.
 */
#include "sink/file_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"

enum { COMPONENT_MAX = 255 };

static const char *remedy_for(int errnum)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
        return "give this user the rights to it, or choose another directory";
    case EROFS:
        return "mount it for writing, or choose another directory";
    case ENOSPC:
    case EDQUOT:
        return "free some space there, or choose another directory";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (ulimit -n), or lower --concurrency";
    case EIO:
        return "check the disk and the system's log";
    case ENOTDIR:
    case ELOOP:
        return "choose a directory";
    case ENAMETOOLONG:
    case EILSEQ:
    case EINVAL:
        return "the file system does not take this name: choose another --key";
    default:
        return NULL;
    }
}

static enum err_code code_for(int errnum)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
        return ERR_DESTINATION;
    case ENAMETOOLONG:
    case EILSEQ:
    case EINVAL:
        return ERR_INPUT;
    default:
        return ERR_IO;
    }
}

int file_fail(struct err *err, int errnum, const char *fmt, ...)
{
    char what[sizeof(err->msg)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    err_set_errno(err, code_for(errnum), errnum, "%s", what);
    const char *remedy = remedy_for(errnum);
    size_t n = strlen(err->msg);
    if (remedy)
        snprintf(err->msg + n, sizeof(err->msg) - n, "; %s", remedy);
    return -1;
}

static bool has_control(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f)
            return true;
        /* U+0080..U+009F, which terminals obey as well */
        if (c == 0xc2 && i + 1 < len && (unsigned char)s[i + 1] < 0xa0)
            return true;
    }
    return false;
}

static const char *component_fault(const char *name, size_t len)
{
    if (len == 0)
        return "an empty component (a '/' too many)";
    if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
        return "a component \".\" or \"..\"";
    if (len > COMPONENT_MAX)
        return "a component of more than 255 bytes";
    if (has_control(name, len))
        return "a control character";
    if (!text_is_utf8(name, len))
        return "bytes that are not UTF-8";
    return NULL;
}

bool file_component_ok(const char *name, size_t len)
{
    return !component_fault(name, len) && !memchr(name, '/', len);
}

int file_key_check(const char *root, const char *key, struct err *err)
{
    const char *fault = NULL;
    size_t depth = 0, temp = strlen(FILE_TEMP_DIR);
    /* In any case: some file systems do not tell them apart. */
    if (strcasecmp(key, FILE_OWN_DIR) == 0 ||
        (strncasecmp(key, FILE_TEMP_DIR, temp) == 0 && (key[temp] == '\0' || key[temp] == '/')))
        fault = "a place that egress keeps for itself (" FILE_OWN_DIR ")";
    for (const char *p = key; !fault; p++) {
        size_t len = strcspn(p, "/");
        fault = component_fault(p, len);
        depth++;
        p += len;
        if (*p == '\0')
            break;
    }
    if (!fault && depth > FILE_KEY_DEPTH_MAX)
        fault = "more than 128 components";
    if (!fault && strlen(root) + 1 + strlen(key) >= PATH_MAX)
        fault = "more bytes than a path may have";
    if (!fault)
        return 0;
    return err_set(err, ERR_INPUT,
                   "key \"%.160s\" cannot be a path below a directory: it has %s; "
                   "choose another --key",
                   key, fault);
}

const char *file_key_name(const char *key)
{
    const char *slash = strrchr(key, '/');
    return slash ? slash + 1 : key;
}

int file_dir_sync(int fd)
{
    if (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EBADF)
        return 0;
    return -1;
}

/* The directory that a path (absolute, without trailing '/') lies in. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static int make_root(const char *root, struct err *err)
{
    if (mkdir(root, 0777) < 0) {
        if (errno == EEXIST)
            return 0;
        if (errno == ENOENT)
            return err_set(err, ERR_DESTINATION,
                           "cannot create %.300s: the directory above it does not exist; "
                           "create it, or choose another directory",
                           root);
        return file_fail(err, errno, "cannot create directory %.300s", root);
    }
    char *parent = parent_of(root);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    /* One may be allowed to write into a directory and not to read it: then there is no sync. */
    int failed = fd >= 0 && file_dir_sync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return failed ? file_fail(err, failed, "cannot sync the directory above %.300s", root) : 0;
}

int file_root_open(const char *root, bool create, struct err *err)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (!create)
            return err_set(err, ERR_NOT_FOUND, "directory %.300s does not exist", root);
        if (make_root(root, err) < 0)
            return -1;
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        file_fail(err, errno, "cannot open directory %.300s", root);
    return fd;
}

/* What stands where a directory was expected. */
static int not_a_dir(int dir_fd, const char *name, const char *root, const char *key,
                     struct err *err)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return err_set(err, ERR_INPUT,
                       "key \"%.160s\" in %.160s goes through the symbolic link \"%.80s\", which "
                       "may lead out of the directory; remove the link or choose another --key",
                       key, root, name);
    return err_set(err, ERR_CONFLICT,
                   "key \"%.160s\" needs a directory \"%.80s\" in %.160s, where there is a file; "
                   "move it away or choose another --key",
                   key, name, root);
}

int file_dir_open(int dir_fd, const char *name, bool create, const char *root, const char *key,
                  struct err *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags);
    if (fd < 0 && errno == ENOENT && create) {
        mode_t mode = strcmp(name, FILE_OWN_DIR) == 0 ? 0700 : 0777;
        if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
            return file_fail(err, errno,
                             "cannot create directory \"%.80s\" for \"%.160s\" in %.160s", name,
                             key, root);
        fd = openat(dir_fd, name, flags);
    }
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR || errno == ELOOP)
        return not_a_dir(dir_fd, name, root, key, err);
    if (errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "\"%.160s\" is not in %.300s", key, root);
    return file_fail(err, errno, "cannot open directory \"%.80s\" for \"%.160s\" in %.160s", name,
                     key, root);
}

int file_parent_open(const char *root, const char *key, bool create, struct err *err)
{
    int fd = file_root_open(root, create, err);
    const char *slash;
    for (const char *p = key; fd >= 0 && (slash = strchr(p, '/')) != NULL; p = slash + 1) {
        char name[COMPONENT_MAX + 1];
        size_t len = (size_t)(slash - p);
        CHECK(len < sizeof(name));
        memcpy(name, p, len);
        name[len] = '\0';
        int child = file_dir_open(fd, name, create, root, key, err);
        if (child >= 0 && create && file_dir_sync(fd) < 0) {
            file_fail(err, errno, "cannot sync the directory above \"%.80s\" in %.300s", name,
                      root);
            close(child);
            child = -1;
        }
        close(fd);
        fd = child;
    }
    return fd;
}
