/* SPDX-License-Identifier: Apache-2.0
 *
 * serve: the life of the daemon. It begins bottom up (journal, transfers, then the doors) and ends
 * the other way round: no more webhooks, what is under way is left in order, the last answers.
 */
#include "serve/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "serve/journal_path.h"
#include "serve/serve_private.h"
#include "serve/systemd.h"

enum {
    BODY_MAX = 64 * 1024, /* of webhooks: EVENT_BODY_MAX */
    ADMIN_BODY_MAX = 2 * 1024 * 1024,
    ADMIN_CONNECTIONS = 64,
    REQUEST_MS = 10 * 1000, /* from a request's first byte to its last */
    IDLE_MS = 60 * 1000,
    SETTLE_MAX_MS = 5 * 1000, /* to write everything down, when the time is up */
    LAST_ANSWERS_MS = 20,
    EXIT_SIGNAL = 128,
};

/* ---- the end ---- */

static void end_now(void *arg)
{
    const struct serve *s = arg;
    log_error("ended before everything under way was left in order; it is taken up again at the "
              "next start");
    _Exit(EXIT_SIGNAL + s->signo);
}

static void stop_loop(void *arg)
{
    struct serve *s = arg;
    loop_stop(s->assembly.loop);
}

/* What completes a request may post to the loop before it counts it as done: by a task of ours,
 * which comes behind that, the loop has seen all of it. */
static void wait_for_last_answers(void *arg)
{
    struct serve *s = arg;
    if (atomic_load(&s->pending) == 0)
        loop_post(s->assembly.loop, &s->end_task, stop_loop, s);
    else
        loop_timer_start(s->assembly.loop, &s->last_answers, LAST_ANSWERS_MS, wait_for_last_answers,
                         s);
}

static void quiesce(struct httpd *door)
{
    if (door) /* else it was never opened */
        httpd_quiesce(door);
}

static void on_transfers_end(void *arg, const struct err *err)
{
    struct serve *s = arg;
    atomic_store(&s->draining, true);
    atomic_store(&s->ending, true);
    if (err)
        s->end = *err;
    quiesce(s->webhooks);
    quiesce(s->admin);
    quiesce(s->control);
    wait_for_last_answers(s);
}

static void drain(struct serve *s)
{
    int64_t drain_ms = settings_number(s->settings, SET_DRAIN);
    systemd_notify("STOPPING=1\nSTATUS=finishing what is under way");
    atomic_store(&s->draining, true);
    quiesce(s->webhooks);
    dispatcher_drain(s->dispatcher);
    loop_timer_start(s->assembly.loop, &s->deadline, drain_ms + SETTLE_MAX_MS, end_now, s);
}

/* ---- signals ---- */

/* To the microsecond: systemd takes no time for an answer to its signal that lies before it. */
static void notify_reloading(void)
{
    char state[80];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    systemd_notify(state);
}

static void reload(struct serve *s)
{
    struct err err = {0};
    notify_reloading();
    if (secrets_load(s, &err) < 0)
        log_error("secrets are not read anew, the old ones go on: %s", err.msg);
    else if (assembly_reload_token(&s->assembly, s->settings, &err) < 0)
        log_error("the Platform's token is not read anew, the old one goes on: %s", err.msg);
    else
        log_info("secrets and the Platform's token are read anew");
    systemd_notify("READY=1");
}

static void on_signal(void *arg, int signo)
{
    struct serve *s = arg;
    if (signo == SIGHUP) {
        reload(s);
        return;
    }
    if (s->signo)
        end_now(s);
    s->signo = signo;
    log_info("%s: taking no more webhooks; once more to end at once",
             signo == SIGINT ? "interrupted" : "terminated");
    drain(s);
}

static void feed_watchdog(void *arg)
{
    struct serve *s = arg;
    systemd_notify("WATCHDOG=1");
    loop_timer_start(s->assembly.loop, &s->watchdog, systemd_watchdog_ms() / 2, feed_watchdog, s);
}

/* ---- doors ---- */

/* A socket that systemd has opened, or one of ours. */
static int open_door(const char *name, int place, enum setting address,
                     const struct settings *settings, struct err *err)
{
    int fd = systemd_socket(name, place);
    char flag[64];
    if (fd >= 0)
        return fd;
    snprintf(flag, sizeof(flag), "--%s", settings_flag(address));
    return httpd_listen(settings_text(settings, address), flag, err);
}

static int open_webhooks(struct serve *s, struct err *err)
{
    const struct settings *set = s->settings;
    struct httpd_config config = {
        .body_max = BODY_MAX,
        .connections_max = (unsigned)settings_number(set, SET_MAX_CONNECTIONS),
        .request_timeout_ms = REQUEST_MS,
        .idle_timeout_ms = IDLE_MS,
        .rate = (double)settings_number(set, SET_RATE_LIMIT),
        .burst = 2 * (double)settings_number(set, SET_RATE_LIMIT),
        .on_request = webhook_request,
        .arg = s,
    };
    char where[HTTPD_ADDRESS_SIZE];
    config.fd = open_door("webhooks", 0, SET_LISTEN, set, err);
    if (config.fd < 0)
        return -1;
    bool local = httpd_is_local(config.fd);
    httpd_address(config.fd, where);
    s->webhooks = httpd_start(&config, err);
    if (!s->webhooks)
        return -1;
    bool is_unix = strncmp(where, "unix:", 5) == 0;
    log_info("taking webhooks at %s%s%s", is_unix ? "" : "http://", where,
             is_unix ? "" : "/job-complete");
    if (!s->secrets.webhooks && !local)
        log_warn("--webhook-secrets is not set: whoever reaches %s can send webhooks", where);
    return 0;
}

static int open_admin(struct serve *s, struct err *err)
{
    struct httpd_config config = {
        .body_max = ADMIN_BODY_MAX,
        .connections_max = ADMIN_CONNECTIONS,
        .request_timeout_ms = REQUEST_MS,
        .idle_timeout_ms = IDLE_MS,
        .on_request = admin_request,
        .arg = s,
    };
    if (settings_is(s->settings, SET_ADMIN, "off"))
        return 0;
    config.fd = open_door("admin", 1, SET_ADMIN, s->settings, err);
    if (config.fd < 0)
        return -1;
    s->admin_is_local = httpd_is_local(config.fd);
    httpd_address(config.fd, s->admin_address);
    if (!s->admin_is_local && !s->secrets.admin) {
        close(config.fd);
        return err_set(err, ERR_USAGE,
                       "--admin %s can be reached from other machines: it needs a token, by "
                       "--admin-token-file",
                       s->admin_address);
    }
    s->admin = httpd_start(&config, err);
    if (s->admin)
        log_info("admin page: http://%s/", s->admin_address);
    return s->admin ? 0 : -1;
}

static int open_control(struct serve *s, struct err *err)
{
    struct httpd_config config = {
        .body_max = ADMIN_BODY_MAX,
        .connections_max = ADMIN_CONNECTIONS,
        .request_timeout_ms = REQUEST_MS,
        .idle_timeout_ms = IDLE_MS,
        .on_request = control_request,
        .arg = s,
    };
    char *address = xprintf("unix:%s", s->control_path);
    config.fd = httpd_listen(address, "the control socket", err);
    free(address);
    if (config.fd < 0)
        return -1;
    s->control = httpd_start(&config, err);
    return s->control ? 0 : -1;
}

/* ---- the beginning ---- */

static int open_journal(struct serve *s, struct err *err)
{
    const struct settings *set = s->settings;
    size_t recovered = 0;
    char *path = journal_path(settings_text(set, SET_JOURNAL), true, err);
    if (!path)
        return -1;
    const struct journal_config config = {
        .path = path,
        .keep_ms = settings_number(set, SET_KEEP),
        .keep_jobs = settings_number(set, SET_KEEP_JOBS),
        .queue_max = settings_number(set, SET_QUEUE_MAX),
    };
    s->control_path = serve_control_path(path, err);
    if (s->control_path) /* before anything is made there */
        s->journal = journal_open(&config, &recovered, err);
    if (s->journal && recovered)
        log_info("journal %s: %zu job%s under way when it was last closed, begun again", path,
                 recovered, recovered == 1 ? " was" : "s were");
    else if (s->journal)
        log_info("journal %s", path);
    free(path);
    return s->journal ? 0 : -1;
}

static void start_transfers(struct serve *s)
{
    const struct settings *set = s->settings;
    const struct dispatcher_config config = {
        .loop = s->assembly.loop,
        .engine = s->assembly.engine,
        .source = s->assembly.source,
        .sink = s->assembly.sink,
        .receipts = settings_on(set, SET_RECEIPTS),
        .journal = s->journal,
        .concurrency = (unsigned)settings_number(set, SET_CONCURRENCY),
        .attempts_max = (unsigned)settings_number(set, SET_MAX_ATTEMPTS),
        .sync_every_ms = settings_number(set, SET_SYNC_EVERY),
        .drain_ms = settings_number(set, SET_DRAIN),
        .on_end = on_transfers_end,
        .arg = s,
    };
    s->dispatcher = dispatcher_start(&config);
}

static int run(struct serve *s, struct err *err)
{
    if (loop_on_signal(s->assembly.loop, on_signal, s, err) < 0)
        return -1;
    loop_add_signal(s->assembly.loop, SIGHUP);
    start_transfers(s);
    if (open_control(s, &s->end) < 0 || open_admin(s, &s->end) < 0 || open_webhooks(s, &s->end) < 0)
        drain(s); /* in order, since those that are open may have been asked already */
    else
        systemd_notify("READY=1\nSTATUS=taking webhooks");
    if (systemd_watchdog_ms())
        feed_watchdog(s);
    loop_run(s->assembly.loop);
    loop_timer_stop(s->assembly.loop, &s->deadline);
    loop_timer_stop(s->assembly.loop, &s->watchdog);
    httpd_stop(s->webhooks);
    httpd_stop(s->admin);
    httpd_stop(s->control);
    dispatcher_free(s->dispatcher);
    if (s->end.code == ERR_NONE)
        return 0;
    *err = s->end;
    return -1;
}

static void name_destination(struct serve *s)
{
    struct buf name = BUF_INIT(4096);
    s->assembly.sink->ops->locate(s->assembly.sink, "", &name);
    if (name.len > 1 && name.data[name.len - 1] == '/')
        name.data[--name.len] = '\0';
    s->destination = buf_take(&name);
    log_info("storing into %s", s->destination);
}

static int assemble_and_run(struct serve *s, struct err *err)
{
    struct err ignored = {0};
    if (assemble(&s->assembly, s->settings, ASSEMBLE_ENGINE, err) < 0 ||
        assemble_make_directory(s->settings, err) < 0)
        return -1;
    name_destination(s);
    if (open_journal(s, err) < 0)
        return -1;
    int rc = run(s, err);
    (void)!loop_on_signal(s->assembly.loop, NULL, NULL, &ignored);
    unlink(s->control_path); /* while the journal is ours, and so the socket */
    journal_close(s->journal);
    return rc;
}

int serve_run(const struct settings *settings, struct err *err)
{
    struct serve s = {.settings = settings, .started_ms = clock_wall_ms()};
    pthread_rwlock_init(&s.secrets.lock, NULL);
    int rc = secrets_load(&s, err) < 0 ? -1 : assemble_and_run(&s, err);
    assembly_release(&s.assembly);
    secrets_release(&s.secrets);
    free(s.destination);
    free(s.control_path);
    return rc;
}
