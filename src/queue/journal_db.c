/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_db: the journal's file: its lock, the connection, statements, and what SQLite's errors
 * mean to a person.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fault_point.h"
#include "core/log.h"
#include "core/mem.h"
#include "queue/journal_private.h"

enum {
    BUSY_MS = 2000,      /* another program looks at the file for a moment (check, export) */
    CACHE_KIB = 8 * 1024 /* of pages; more gains little: the system has them too */
};

/* ---- what went wrong ---- */

static int explain_disk(sqlite3 *db, const char *path, const char *text, struct err *err)
{
    /* Of a failed COMMIT SQLite keeps none; errno is as the failed call has left it. */
    int errnum = sqlite3_system_errno(db) ? sqlite3_system_errno(db) : errno;
    if (errnum == ENOSPC || errnum == EDQUOT)
        return err_set(err, ERR_IO, "%s: the disk is full; free some space on it", path);
    return err_set(err, ERR_IO, "%s: %s%s%s; look after the disk and the limits of its files", path,
                   text, errnum ? ": " : "", errnum ? strerror(errnum) : "");
}

static int not_writable(const char *path, const char *text, struct err *err)
{
    return err_set(err, ERR_IO,
                   "%s: cannot be opened and written (%s); see to the rights of the file and of "
                   "its directory, and that the disk is not mounted read-only",
                   path, text);
}

int journal_db_explain(sqlite3 *db, const char *path, struct err *err)
{
    int code = sqlite3_extended_errcode(db);
    const char *text = sqlite3_errmsg(db);
    switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR: /* a table or a column that is not there: the statements are ours */
        return err_set(err, ERR_CONFIG,
                       "%s: damaged, or no journal of egress (%s); `egress journal check` says "
                       "where, `egress journal export` saves the jobs that can be read",
                       path, text);
    case SQLITE_FULL:
        return err_set(err, ERR_IO, "%s: the disk is full; free some space on it", path);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return not_writable(path, text, err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_IO, "%s: another program keeps it locked; end that", path);
    case SQLITE_IOERR:
        return explain_disk(db, path, text, err);
    default:
        return err_set(err, ERR_INTERNAL, "%s: %s (SQLite %d)", path, text, code);
    }
}

static int fail(struct journal *j, struct err *err)
{
    j->broken = true;
    return journal_db_explain(j->db, j->path, err);
}

int journal_db_nonsense(struct journal *j, const char *what, struct err *err)
{
    j->broken = true;
    return err_set(err, ERR_CONFIG,
                   "%s: damaged: %s; `egress journal check` says where, `egress journal export` "
                   "saves the jobs that can be read",
                   j->path, what);
}

/* ---- the file ---- */

/* The file's own path, absolute and without symbolic links, so that everyone who means it takes the
 * same lock. */
static char *resolve(const char *path, struct err *err)
{
    struct stat sb;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    char *full = xcalloc((size_t)vfs->mxPathname + 1, 1);
    size_t len = strlen(path);
    errno = 0;
    if (len == 0 || path[len - 1] == '/')
        err_set(err, ERR_CONFIG, "journal %s: expected the name of a file", path);
    else if ((vfs->xFullPathname(vfs, path, vfs->mxPathname + 1, full) & 0xff) != SQLITE_OK)
        err_set_errno(err, ERR_CONFIG, errno ? errno : ENAMETOOLONG, "journal %s: expected a file",
                      path);
    else if (stat(full, &sb) == 0 && !S_ISREG(sb.st_mode))
        err_set(err, ERR_CONFIG, "journal %s: expected a file", path);
    else
        return full;
    free(full);
    return NULL;
}

static int cannot_make(const char *path, int errnum, struct err *err)
{
    bool disk = errnum == EROFS || errnum == ENOSPC || errnum == EDQUOT || errnum == EIO;
    if (errnum == ENOENT)
        return err_set(err, ERR_CONFIG, "%s: its directory has to be there (mkdir -p)", path);
    return err_set_errno(err, disk ? ERR_IO : ERR_CONFIG, errnum,
                         "%s: the journal has to be a file that can be written", path);
}

/* A file of its own, for closing any descriptor of the database drops the locks that SQLite has on
 * it. It stays: who removes a lock file lets two have the lock. */
static int take_lock(struct journal *j, struct err *err)
{
    char *path = xprintf("%s.lock", j->path);
    char owner[16] = "", pid[16];
    int rc = 0, n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->lock_fd < 0) {
        rc = cannot_make(path, errno, err);
    } else if (flock(j->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (pread(j->lock_fd, owner, sizeof(owner) - 1, 0) > 0)
            owner[strcspn(owner, "\n")] = '\0';
        rc = err_set(err, ERR_CONFIG,
                     "%s: in use by another process%s%s; one at a time can have a journal", j->path,
                     *owner ? ", pid " : "", owner);
    } else if (ftruncate(j->lock_fd, 0) < 0 || pwrite(j->lock_fd, pid, (size_t)n, 0) != n) {
        log_debug("%s: the pid could not be written there", path); /* it is for messages only */
    }
    free(path);
    return rc;
}

/* With its mode from the start, and its name on disk before anything that is in it counts. */
static int make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : cannot_make(path, errno, err);
    close(fd);
    const char *slash = strrchr(path, '/');
    char *directory = xstrndup(path, (size_t)(slash - path + 1));
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = dir_fd < 0 || fsync(dir_fd) < 0 ? cannot_make(path, errno, err) : 0;
    if (dir_fd >= 0)
        close(dir_fd);
    free(directory);
    return rc;
}

static const char *const suffixes[JOURNAL_FILES] = {"", "-wal"};

static bool stat_file(const struct journal *j, int which, struct stat *sb)
{
    char *path = xprintf("%s%s", j->path, suffixes[which]);
    bool there = stat(path, sb) == 0;
    free(path);
    return there;
}

void journal_db_remember_place(struct journal *j)
{
    struct stat sb;
    for (int i = 0; i < JOURNAL_FILES; i++)
        if (stat_file(j, i, &sb))
            j->place[i] = (struct journal_place){true, sb.st_dev, sb.st_ino};
}

int journal_db_in_place(struct journal *j, struct err *err)
{
    struct stat sb;
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const struct journal_place *place = &j->place[i];
        if (!place->known)
            continue;
        errno = 0;
        if (stat_file(j, i, &sb) && sb.st_dev == place->dev && sb.st_ino == place->ino)
            continue;
        if (errno && errno != ENOENT && errno != ENOTDIR) /* it may well be there */
            continue;
        j->broken = true;
        return err_set(err, ERR_CONFIG,
                       "%s%s: removed or replaced while in use, so nothing more can be kept in it; "
                       "start egress serve again, and egress sync finds the jobs that were in it",
                       j->path, suffixes[i]);
    }
    return 0;
}

/* ---- the connection ---- */

int journal_db_harden(sqlite3 *db)
{
    /* A file that somebody else has made may not run anything: no triggers, no functions of
     * views. */
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    if (sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
        sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK ||
        sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) != SQLITE_OK)
        return -1;
    return sqlite3_exec(db, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY", NULL, NULL,
                        NULL) == SQLITE_OK
               ? 0
               : -1;
}

static int on_commit(void *arg, sqlite3 *db, const char *name, int wal_pages)
{
    struct journal *j = arg;
    (void)db;
    (void)name;
    j->wal_pages = wal_pages;
    return SQLITE_OK;
}

/* Checkpoints are made by the thread, after it has completed those who wait. The database is not
 * vacuumed: pages that pruning frees are used again, and moving them would cost writes for a file
 * that grows to its former size with the next rush. */
int journal_db_set_up(struct journal *j, struct err *err)
{
    char *cache = xprintf("PRAGMA cache_size = -%d", CACHE_KIB);
    const char *const pragmas[] = {
        cache,
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA wal_autocheckpoint = 0",
        "PRAGMA journal_size_limit = 67108864", /* bytes; what the WAL is cut to */
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]) && rc == 0; i++)
        rc = sqlite3_exec(j->db, pragmas[i], NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
    free(cache);
    if (rc < 0)
        return fail(j, err);
    sqlite3_wal_hook(j->db, on_commit, j);
    return 0;
}

int journal_db_open(struct journal *j, const char *path, struct err *err)
{
    j->lock_fd = -1;
    j->path = resolve(path, err);
    if (!j->path || take_lock(j, err) < 0 || make_file(j->path, err) < 0)
        return -1;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(j->path, &j->db, flags, NULL) != SQLITE_OK || journal_db_harden(j->db) < 0)
        return fail(j, err);
    if (sqlite3_db_readonly(j->db, "main")) /* what SQLite makes of a file it may only read */
        return not_writable(j->path, "read-only", err);
    return 0;
}

int journal_db_prepare(struct journal *j, struct err *err)
{
    static const char *const sql[] = {
#define STATEMENT_SQL(name, text) [DO_##name] = (text),
        JOURNAL_STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
    };
    for (int i = 0; i < JOURNAL_N_STATEMENTS; i++)
        if (sqlite3_prepare_v3(j->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &j->statements[i],
                               NULL) != SQLITE_OK)
            return fail(j, err);
    return 0;
}

void journal_db_close(struct journal *j)
{
    for (int i = 0; i < JOURNAL_N_STATEMENTS; i++)
        sqlite3_finalize(j->statements[i]);
    CHECK(sqlite3_close(j->db) == SQLITE_OK);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    free(j->path);
}

/* ---- statements ---- */

sqlite3_stmt *journal_db_statement(struct journal *j, enum journal_statement which)
{
    sqlite3_reset(j->statements[which]);
    return j->statements[which];
}

void journal_db_reset(struct journal *j)
{
    for (int i = 0; i < JOURNAL_N_STATEMENTS; i++)
        sqlite3_reset(j->statements[i]);
}

int journal_db_step(struct journal *j, sqlite3_stmt *st, struct err *err)
{
    errno = 0;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : fail(j, err);
}

int journal_db_run(struct journal *j, sqlite3_stmt *st, struct err *err)
{
    int rc = journal_db_step(j, st, err);
    sqlite3_reset(st);
    return rc < 0 ? -1 : 0;
}

void journal_bind_text(sqlite3_stmt *st, int index, const char *text)
{
    if (text)
        sqlite3_bind_text(st, index, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, index);
}

/* ---- transactions ---- */

int journal_db_begin(struct journal *j, struct err *err)
{
    return journal_db_run(j, journal_db_statement(j, DO_BEGIN), err);
}

int journal_db_commit(struct journal *j, struct err *err)
{
    journal_db_reset(j); /* one that still reads would keep the WAL from being begun anew */
    FAULT_POINT("journal-before-commit");
    if (journal_db_run(j, journal_db_statement(j, DO_COMMIT), err) < 0)
        return -1;
    FAULT_POINT("journal-after-commit");
    return 0;
}

void journal_db_roll_back(struct journal *j)
{
    journal_db_reset(j);
    if (!sqlite3_get_autocommit(j->db)) /* else SQLite has done so itself */
        sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
}

void journal_db_checkpoint(struct journal *j, int mode)
{
    struct err err = {0};
    FAULT_POINT("journal-checkpoint");
    int rc = sqlite3_wal_checkpoint_v2(j->db, NULL, mode, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY) { /* what is in the WAL is there all the same */
        journal_db_explain(j->db, j->path, &err);
        log_warn("%s", err.msg);
    }
}
