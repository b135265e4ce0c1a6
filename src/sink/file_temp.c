/* SPDX-License-Identifier: Apache-2.0
 *
 * file_temp: see file_temp.h. Making and writing, making visible, sweeping.
 */
#include "sink/file_temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"
#include "sink/file_identity.h"
#include "sink/file_path.h"

enum {
    HOST_MAX = 64,
    CREATE_TRIES = 16,
    SWEEP_MAX = 4096,
    FOREIGN_AGE_S = 24 * 60 * 60,
    COMPARE_BLOCK = 256 * 1024,
};

_Static_assert(sizeof(off_t) >= 8, "objects are larger than 2 GiB: -D_FILE_OFFSET_BITS=64");

static int open_temp_dir(const char *root, bool create, struct err *err)
{
    int root_fd = file_root_open(root, create, err);
    if (root_fd < 0)
        return -1;
    int own = file_dir_open(root_fd, FILE_OWN_DIR, create, root, FILE_TEMP_DIR, err);
    close(root_fd);
    if (own < 0)
        return -1;
    int temp = file_dir_open(own, FILE_TEMP_NAME, create, root, FILE_TEMP_DIR, err);
    close(own);
    return temp;
}

/* ---- names: HOST-PID-NANOSECONDS ---- */

static void host_name(char out[HOST_MAX + 1])
{
    if (gethostname(out, HOST_MAX) < 0 || out[0] == '\0')
        snprintf(out, HOST_MAX, "localhost");
    out[HOST_MAX] = '\0';
    for (char *p = out; *p; p++)
        if (*p == '/' || *p == '.')
            *p = '_';
}

static void temp_name(char *out, size_t size)
{
    char host[HOST_MAX + 1];
    struct timespec now;
    host_name(host);
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(out, size, "%s-%ld-%" PRIu64, host, (long)getpid(),
             (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

static bool is_of_this_host(const char *name)
{
    char host[HOST_MAX + 1];
    host_name(host);
    size_t len = strlen(host);
    return strncmp(name, host, len) == 0 && name[len] == '-' &&
           name[len + strspn(name + len, "0123456789-")] == '\0';
}

/* ---- making and writing ---- */

/* Whether the file is ours now. A sweeper may have had it between open() and the lock. */
static bool lock_new(int fd)
{
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return false;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

int file_temp_create(const char *root, struct file_temp *temp, struct err *err)
{
    int dir = open_temp_dir(root, true, err);
    if (dir < 0)
        return -1;
    int tries = CREATE_TRIES;
    errno = EBUSY;
    while (temp->fd < 0 && tries-- > 0) {
        temp_name(temp->name, sizeof(temp->name));
        int fd = openat(dir, temp->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0) {
            if (errno == EEXIST)
                continue;
            break;
        }
        if (lock_new(fd)) {
            temp->fd = fd;
        } else {
            unlinkat(dir, temp->name, 0);
            close(fd);
            errno = EBUSY;
        }
    }
    if (temp->fd < 0)
        file_fail(err, errno, "cannot create a file in %.300s/" FILE_TEMP_DIR, root);
    close(dir);
    return temp->fd < 0 ? -1 : 0;
}

static int write_failed(struct err *err, int errnum, int fd, const char *root, uint64_t wanted)
{
    struct statvfs fs;
    char wanted_text[TEXT_SIZE_MAX], free_text[TEXT_SIZE_MAX];
    if (errnum == EFBIG)
        return err_set_errno(err, ERR_DESTINATION, errnum,
                             "cannot write %s into one file in %.250s (file system or ulimit -f)",
                             text_format_size(wanted, wanted_text), root);
    if ((errnum != ENOSPC && errnum != EDQUOT) || fstatvfs(fd, &fs) < 0)
        return file_fail(err, errnum, "cannot write into %.300s", root);
    return file_fail(err, errnum, "cannot write into %.200s: %s more wanted, %s free", root,
                     text_format_size(wanted, wanted_text),
                     text_format_size((uint64_t)fs.f_bavail * fs.f_frsize, free_text));
}

int file_temp_write(const struct file_temp *temp, const char *root, const void *data, size_t len,
                    uint64_t offset, struct err *err)
{
    const char *p = data;
    if (offset > INT64_MAX || len > INT64_MAX - offset)
        return err_set(err, ERR_INTERNAL, "a part of %zu bytes at offset %" PRIu64, len, offset);
    while (len > 0) {
        ssize_t n = pwrite(temp->fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_failed(err, errno, temp->fd, root, len);
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* ---- making visible ---- */

enum placed { PLACED, TAKEN, FAILED };

/* unistd.h shows it only beyond POSIX. */
extern long syscall(long number, ...);

/* rename that never replaces, for file systems without hard links (exFAT, many FUSE ones). Where
 * there is neither, no way is left that is all at once and never overwrites, so it is refused. */
static enum placed rename_absent(int temp_dir, const char *temp, int parent, const char *name)
{
#ifdef SYS_renameat2
    const unsigned no_replace = 1; /* RENAME_NOREPLACE, rename(2) */
    if (syscall(SYS_renameat2, temp_dir, temp, parent, name, no_replace) == 0)
        return PLACED;
    if (errno == EINVAL) /* the file system does not know the flag */
        errno = ENOSYS;
#else
    (void)temp_dir, (void)temp, (void)parent, (void)name;
    errno = ENOSYS;
#endif
    return errno == EEXIST ? TAKEN : FAILED;
}

static enum placed link_absent(int temp_dir, const char *temp, int parent, const char *name)
{
    if (linkat(temp_dir, temp, parent, name, 0) == 0) {
        unlinkat(temp_dir, temp, 0); /* if not now, then the next sweep */
        return PLACED;
    }
    if (errno == EEXIST)
        return TAKEN;
    if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK)
        return rename_absent(temp_dir, temp, parent, name);
    return FAILED;
}

static int place_failed(struct err *err, int errnum, const char *root, const char *key)
{
    if (errnum == EXDEV)
        return err_set(err, ERR_DESTINATION,
                       "\"%.160s\" would lie on another file system than %.200s; name the "
                       "directory on that file system as the destination",
                       key, root);
    if (errnum == ENOSYS || errnum == EOPNOTSUPP)
        return err_set(err, ERR_DESTINATION,
                       "the file system of %.250s has neither hard links nor a rename that does "
                       "not overwrite; choose a directory on another one",
                       root);
    if (errnum == EISDIR || errnum == ENOTEMPTY || errnum == EEXIST)
        return err_set(err, ERR_CONFLICT,
                       "\"%.160s\" in %.250s is a directory; choose another --key", key, root);
    return file_fail(err, errnum, "cannot store \"%.160s\" in %.200s", key, root);
}

/* Bytes read from that offset on: len, or less at the end of the file; -1 with errno. */
static ssize_t read_full(int fd, char *data, size_t len, off_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, data + done, len - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* 1 same, 0 different, -1 with errno (ECANCELED: told to stop). */
static int compare(int a, int b, const atomic_bool *cancelled)
{
    char *blocks = xcalloc(2, COMPARE_BLOCK);
    off_t offset = 0;
    ssize_t n;
    int same = 1;
    do {
        n = read_full(a, blocks, COMPARE_BLOCK, offset);
        ssize_t m = n < 0 ? -1 : read_full(b, blocks + COMPARE_BLOCK, COMPARE_BLOCK, offset);
        if (n < 0 || m < 0) {
            same = -1;
        } else if (atomic_load(cancelled)) {
            errno = ECANCELED;
            same = -1;
        } else if (n != m || memcmp(blocks, blocks + COMPARE_BLOCK, (size_t)n) != 0) {
            same = 0;
        }
        offset += n;
    } while (same == 1 && n > 0);
    int saved = errno;
    free(blocks);
    errno = saved;
    return same;
}

/* The key is taken: the same bytes will do, whoever brought them. Theirs may not be on the disk. */
static int accept_same(const char *root, const struct file_temp *temp, int parent, const char *key,
                       const atomic_bool *cancelled, char etag[FILE_ETAG_SIZE], struct err *err)
{
    struct stat ours, theirs = {0};
    int fd = openat(parent, file_key_name(key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno != ELOOP)
        return file_fail(err, errno, "\"%.160s\" is in %.200s already and cannot be read", key,
                         root);
    int same = 0;
    if (fd >= 0) {
        same = fstat(temp->fd, &ours) < 0 || fstat(fd, &theirs) < 0 ? -1 : 0;
        if (same == 0 && S_ISREG(theirs.st_mode) && ours.st_size == theirs.st_size)
            same = compare(temp->fd, fd, cancelled);
        if (same == 1 && fsync(fd) < 0)
            same = -1;
    }
    int failed = errno;
    if (fd >= 0)
        close(fd);
    if (same == 1) {
        file_etag(&theirs, etag);
        return 0;
    }
    if (same < 0 && failed == ECANCELED)
        return err_set(err, ERR_CANCELLED, "\"%.160s\" in %.200s: cancelled", key, root);
    if (same < 0)
        return file_fail(err, failed, "cannot compare with \"%.160s\" in %.200s", key, root);
    return err_set(err, ERR_EXISTS,
                   "\"%.160s\" is in %.250s already, with other content; move it away, choose "
                   "another --key, or replace it with --force",
                   key, root);
}

static int check_match(int parent, const struct sink_object *object, const char *root,
                       struct err *err)
{
    struct stat st;
    char etag[FILE_ETAG_SIZE] = "";
    if (fstatat(parent, file_key_name(object->key), &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT)
            return err_set(err, ERR_NOT_FOUND, "\"%.160s\" is not in %.250s any more", object->key,
                           root);
        return file_fail(err, errno, "cannot look at \"%.160s\" in %.200s", object->key, root);
    }
    if (S_ISREG(st.st_mode))
        file_etag(&st, etag);
    if (object->if_match && strcmp(etag, object->if_match) == 0)
        return 0;
    return err_set(err, ERR_EXISTS, "\"%.160s\" in %.250s is not the one that was to be replaced",
                   object->key, root);
}

static int replace(const char *root, const struct file_temp *temp, int temp_dir, int parent,
                   const struct sink_object *object, struct err *err)
{
    if (object->condition == SINK_IF_MATCH) {
        /* Between check and rename no other egress gets in: the lock ends with temp_dir. */
        while (flock(temp_dir, LOCK_EX) < 0 && errno == EINTR)
            ;
        if (check_match(parent, object, root, err) < 0)
            return -1;
    }
    if (renameat(temp_dir, temp->name, parent, file_key_name(object->key)) < 0)
        return place_failed(err, errno, root, object->key);
    return 0;
}

static int place(const char *root, const struct file_temp *temp, int temp_dir, int parent,
                 const struct sink_object *object, const atomic_bool *cancelled,
                 char etag[FILE_ETAG_SIZE], struct err *err)
{
    struct stat st;
    if (fstat(temp->fd, &st) < 0)
        return file_fail(err, errno, "cannot look at a file in %.250s", root);
    file_etag(&st, etag);
    if (object->condition != SINK_IF_ABSENT)
        return replace(root, temp, temp_dir, parent, object, err);
    switch (link_absent(temp_dir, temp->name, parent, file_key_name(object->key))) {
    case PLACED:
        return 0;
    case TAKEN:
        if (accept_same(root, temp, parent, object->key, cancelled, etag, err) < 0)
            return -1;
        unlinkat(temp_dir, temp->name, 0);
        return 0;
    case FAILED:
        break;
    }
    return place_failed(err, errno, root, object->key);
}

int file_temp_publish(const char *root, struct file_temp *temp, const struct sink_object *object,
                      const atomic_bool *cancelled, char etag[FILE_ETAG_SIZE], struct err *err)
{
    struct stat st;
    file_identity_write(temp->fd, &object->identity);
    if (fsync(temp->fd) < 0)
        return write_failed(err, errno, temp->fd, root,
                            fstat(temp->fd, &st) == 0 ? (uint64_t)st.st_size : 0);
    if (atomic_load(cancelled))
        return err_set(err, ERR_CANCELLED, "\"%.160s\" in %.200s: cancelled", object->key, root);
    int temp_dir = open_temp_dir(root, false, err);
    if (temp_dir < 0 && err->code == ERR_NOT_FOUND) /* not the object: what we made ourselves */
        return err_set(err, ERR_IO, "%.300s/" FILE_TEMP_DIR " was removed while it was in use",
                       root);
    if (temp_dir < 0)
        return -1;
    int parent = file_parent_open(root, object->key, true, err);
    int placed =
        parent < 0 ? -1 : place(root, temp, temp_dir, parent, object, cancelled, etag, err);
    if (placed == 0 && file_dir_sync(parent) < 0) {
        file_fail(err, errno, "cannot sync the directory of \"%.160s\" in %.200s", object->key,
                  root);
        placed = -1;
    }
    if (parent >= 0)
        close(parent);
    close(temp_dir);
    if (placed == 0) {
        close(temp->fd);
        temp->fd = -1;
    }
    return placed;
}

int file_temp_drop(const char *root, struct file_temp *temp, struct err *err)
{
    if (temp->fd < 0)
        return 0;
    struct err why = {0};
    int dropped = 0, dir = open_temp_dir(root, false, &why);
    if (dir < 0 && why.code != ERR_NOT_FOUND) {
        *err = why;
        dropped = -1;
    }
    if (dir >= 0 && unlinkat(dir, temp->name, 0) < 0 && errno != ENOENT)
        dropped =
            file_fail(err, errno, "cannot remove %.250s/" FILE_TEMP_DIR "/%s", root, temp->name);
    if (dir >= 0)
        close(dir);
    close(temp->fd);
    temp->fd = -1;
    return dropped;
}

/* ---- what crashes have left ---- */

static void sweep_one(int dir, const char *name)
{
    struct stat st;
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        (is_of_this_host(name) || st.st_mtim.tv_sec < time(NULL) - FOREIGN_AGE_S))
        unlinkat(dir, name, 0);
    close(fd);
}

void file_temp_sweep(const char *root)
{
    struct err ignored = {0};
    int fd = open_temp_dir(root, false, &ignored);
    if (fd < 0)
        return;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    const struct dirent *entry;
    for (int n = 0; n < SWEEP_MAX && (entry = readdir(dir)) != NULL; n++)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            sweep_one(fd, entry->d_name);
    closedir(dir);
}

void file_etag(const struct stat *st, char etag[FILE_ETAG_SIZE])
{
    snprintf(etag, FILE_ETAG_SIZE, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, (uint64_t)st->st_size,
             (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
             (uint64_t)st->st_ino);
}
