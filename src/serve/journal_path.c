/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/journal_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/mem.h"

#define JOURNAL_NAME  "egress.journal"
#define SOCKET_SUFFIX ".sock"

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

/* The folders above the last component; those that are there stay as they are. */
static int make_folders(char *path, struct err *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool failed = mkdir(path, 0700) < 0 && errno != EEXIST;
        if (failed)
            err_set_errno(err, ERR_IO, errno, "cannot make %s for the journal", path);
        *slash = '/';
        if (failed)
            return -1;
    }
    return 0;
}

char *journal_path(const char *given, bool make, struct err *err)
{
    char *path = NULL;
    if (given)
        return xstrdup(given);
    if (variable("STATE_DIRECTORY")) /* of several the first */
        path = xprintf("%.*s/" JOURNAL_NAME, (int)strcspn(variable("STATE_DIRECTORY"), ":"),
                       variable("STATE_DIRECTORY"));
    else if (variable("XDG_STATE_HOME"))
        path = xprintf("%s/egress/" JOURNAL_NAME, variable("XDG_STATE_HOME"));
    else if (variable("HOME"))
        path = xprintf("%s/.local/state/egress/" JOURNAL_NAME, variable("HOME"));
    else
        err_set(err, ERR_USAGE,
                "--journal is missing, and neither XDG_STATE_HOME nor HOME says "
                "where it could be: give a file");
    if (path && make && make_folders(path, err) < 0) {
        free(path);
        path = NULL;
    }
    return path;
}

char *serve_control_path(const char *journal_path, struct err *err)
{
    char *path = xprintf("%s" SOCKET_SUFFIX, journal_path);
    size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    if (strlen(path) <= max)
        return path;
    err_set(
        err, ERR_USAGE,
        "--journal %.100s...: %zu bytes long; expected at most %zu, so that the daemon's socket "
        "beside it (" SOCKET_SUFFIX ") is no longer than Unix sockets may be: give a shorter path",
        journal_path, strlen(journal_path), max - strlen(SOCKET_SUFFIX));
    free(path);
    return NULL;
}
