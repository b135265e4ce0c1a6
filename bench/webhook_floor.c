/* SPDX-License-Identifier: Apache-2.0
 *
 * webhook_floor JOURNAL PORT: the least that taking webhooks durably can cost: one thread with
 * epoll that puts all of a round's into the journal's own table with one commit, and then answers
 * them. No more of HTTP than wrk speaks, and nothing is checked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "queue/journal.h"

enum { CONNECTIONS_MAX = 4096, EVENTS_MAX = 1024, REQUEST_MAX = 4096 };

#define ANSWER                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"              \
    "{\"status\":\"queued\"}"

struct connection {
    int fd;
    size_t len;
    int unanswered;
    char text[REQUEST_MAX + 1];
};

static struct connection *connections[CONNECTIONS_MAX]; /* by descriptor */

/* The journal makes the file, so that the tables are its own. */
static sqlite3 *open_journal(const char *path)
{
    struct err err = {0};
    const struct journal_config config = {
        .path = path, .keep_ms = 1000, .keep_jobs = 1000, .queue_max = 1000};
    struct journal *journal = journal_open(&config, NULL, &err);
    sqlite3 *db = NULL;
    if (!journal) {
        fprintf(stderr, "webhook_floor: %s\n", err.msg);
        exit(1);
    }
    journal_close(journal);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db,
                       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                       "PRAGMA wal_autocheckpoint = 2000; PRAGMA locking_mode = EXCLUSIVE",
                       NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static sqlite3_stmt *statement(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    CHECK(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK);
    return st;
}

static void run(sqlite3_stmt *st)
{
    CHECK(sqlite3_step(st) == SQLITE_DONE);
    sqlite3_reset(st);
}

static void insert(sqlite3_stmt *st, const char *id, size_t len, int64_t now_ms)
{
    sqlite3_bind_text(st, 1, id, (int)len, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, now_ms + JOURNAL_TTL_GUESS_MS);
    sqlite3_bind_int64(st, 3, now_ms);
    run(st);
}

/* Takes what requests there are in its text. */
static void take_requests(struct connection *c, sqlite3_stmt *st, int64_t now_ms)
{
    char *end;
    while ((end = strstr(c->text, "\r\n\r\n")) != NULL) {
        const char *length = strstr(c->text, "Content-Length: ");
        size_t head = (size_t)(end - c->text) + 4;
        size_t size = head + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
        const char *id = strstr(c->text + head, "\"id\":\"");
        if (c->len < size || !id)
            return;
        insert(st, id + 6, strcspn(id + 6, "\""), now_ms);
        c->unanswered++;
        memmove(c->text, c->text + size, c->len - size + 1);
        c->len -= size;
    }
}

static void forget(struct connection *c)
{
    connections[c->fd] = NULL;
    close(c->fd);
    free(c);
}

static void accept_all(int listener, int epoll)
{
    int fd, on = 1;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        CHECK(fd < CONNECTIONS_MAX);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        connections[fd] = xcalloc(1, sizeof(struct connection));
        connections[fd]->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    }
}

static void answer(struct connection *c)
{
    for (; c->unanswered > 0; c->unanswered--)
        (void)send(c->fd, ANSWER, sizeof(ANSWER) - 1, MSG_NOSIGNAL);
}

static void serve(int listener, int epoll, sqlite3 *db)
{
    static struct epoll_event events[EVENTS_MAX];
    static struct connection *ready[EVENTS_MAX];
    sqlite3_stmt *begin = statement(db, "BEGIN IMMEDIATE"), *commit = statement(db, "COMMIT");
    sqlite3_stmt *row = statement(
        db, "INSERT INTO jobs (id, state, place_ms, origin, first_ms, received_ms, expires_ms, "
            "asked) VALUES (?1, 1, ?2, 0, ?3, ?3, 0, 0) ON CONFLICT (id) DO NOTHING");
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1), n_ready = 0;
        int64_t now_ms = clock_wall_ms();
        if (n > 0)
            run(begin);
        for (int i = 0; i < n; i++) {
            struct connection *c = connections[events[i].data.fd];
            if (events[i].data.fd == listener) {
                accept_all(listener, epoll);
                continue;
            }
            ssize_t got = recv(c->fd, c->text + c->len, REQUEST_MAX - c->len, 0);
            if (got <= 0) {
                forget(c);
                continue;
            }
            c->len += (size_t)got;
            c->text[c->len] = '\0';
            take_requests(c, row, now_ms);
            ready[n_ready++] = c;
        }
        if (n > 0)
            run(commit);
        for (int i = 0; i < n_ready; i++)
            answer(ready[i]);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (argc != 3)
        return 2;
    at.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    sqlite3 *db = open_journal(argv[1]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    int on = 1;
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    CHECK(bind(listener, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
          listen(listener, 1024) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
    serve(listener, epoll, db);
    return 0;
}
