/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd-echo: the HTTP server of egress alone, for hostile clients and as a floor of measurements:
 * POST /job-complete is answered as `egress serve` answers it, and nothing is kept.
 *
 *   httpd-echo [--listen ADDR] [--secrets FILE] [--later] [--NAME NUMBER]...
 *
 * --later answers from a second thread, as a journal does: all that came in meanwhile at once.
 * NAMEs: body-max, connections, per-client, request-ms, idle-ms, rate, burst. Prints the address it
 * listens at; SIGTERM ends it, which prints what it counted.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "event/signature.h"
#include "ingress/accept.h"
#include "ingress/httpd.h"

struct waiting {
    struct httpd_request *rq;
    struct waiting *next;
};

struct echo {
    struct httpd *httpd;
    struct signature_keys *keys; /* or NULL */
    bool later;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiting *waiting; /* under the lock */
    bool ending;
};

static void send_answer(struct httpd_request *rq, struct answer *answer)
{
    static const char *const allow[] = {"Allow", "POST", NULL};
    httpd_answer(rq, &(struct httpd_answer){.status = answer->status,
                                            .body = answer->body,
                                            .len = strlen(answer->body),
                                            .headers = answer->status == 405 ? allow : NULL});
    answer_release(answer);
}

static bool is_known(const struct echo *echo, const struct httpd_request *rq, struct err *err)
{
    struct signature_given given = {
        .query_token = httpd_query(rq, "token"),
        .header_token = httpd_header(rq, "x-egress-token"),
        .authorization = httpd_header(rq, "Authorization"),
        .webhook_id = httpd_header(rq, "webhook-id"),
        .webhook_timestamp = httpd_header(rq, "webhook-timestamp"),
        .webhook_signature = httpd_header(rq, "webhook-signature"),
        .hub_signature = httpd_header(rq, "X-Hub-Signature-256"),
    };
    given.body = httpd_body(rq, &given.body_len);
    return !echo->keys || signature_check(echo->keys, &given, clock_wall_ms(), err) == 0;
}

static void answer_one(struct echo *echo, struct httpd_request *rq)
{
    static const char nothing[] = "{\"status\":\"rejected\",\"error\":\"not_found\","
                                  "\"message\":\"expected POST /job-complete\"}";
    struct answer answer = {0};
    struct event event;
    struct err err = {0};
    size_t len;
    const char *body = httpd_body(rq, &len);
    if (strcmp(httpd_path(rq), "/job-complete") != 0) {
        answer = (struct answer){404, xstrdup(nothing)};
    } else if (!is_known(echo, rq, &err)) {
        answer_unauthorized(&answer, &err);
    } else if (accept_event(httpd_method(rq), body, len, &event, &answer)) {
        answer_queued(&answer, event.id);
        event_release(&event);
    }
    send_answer(rq, &answer);
}

static void on_request(void *arg, struct httpd_request *rq)
{
    struct echo *echo = arg;
    if (!echo->later) {
        answer_one(echo, rq);
        return;
    }
    struct waiting *one = xcalloc(1, sizeof(*one));
    one->rq = rq;
    pthread_mutex_lock(&echo->lock);
    one->next = echo->waiting;
    echo->waiting = one;
    pthread_cond_signal(&echo->wake);
    pthread_mutex_unlock(&echo->lock);
}

static void *answer_later(void *arg)
{
    struct echo *echo = arg;
    pthread_mutex_lock(&echo->lock);
    while (!echo->ending || echo->waiting) {
        struct waiting *all = echo->waiting;
        echo->waiting = NULL;
        if (!all) {
            pthread_cond_wait(&echo->wake, &echo->lock);
            continue;
        }
        pthread_mutex_unlock(&echo->lock);
        while (all) {
            struct waiting *next = all->next;
            answer_one(echo, all->rq);
            free(all);
            all = next;
        }
        pthread_mutex_lock(&echo->lock);
    }
    pthread_mutex_unlock(&echo->lock);
    return NULL;
}

static bool set_number(struct httpd_config *config, const char *name, const char *text)
{
    double number = strtod(text, NULL);
    if (strcmp(name, "--body-max") == 0)
        config->body_max = (size_t)number;
    else if (strcmp(name, "--connections") == 0)
        config->connections_max = (unsigned)number;
    else if (strcmp(name, "--per-client") == 0)
        config->per_client_max = (unsigned)number;
    else if (strcmp(name, "--request-ms") == 0)
        config->request_timeout_ms = (int64_t)number;
    else if (strcmp(name, "--idle-ms") == 0)
        config->idle_timeout_ms = (int64_t)number;
    else if (strcmp(name, "--rate") == 0)
        config->rate = number;
    else if (strcmp(name, "--burst") == 0)
        config->burst = number;
    else
        return false;
    return true;
}

static int run(struct echo *echo, struct httpd_config *config, struct err *err)
{
    char address[HTTPD_ADDRESS_SIZE];
    sigset_t ends;
    int signo;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    httpd_address(config->fd, address);
    if (!(echo->httpd = httpd_start(config, err)))
        return -1;
    CHECK(pthread_create(&echo->thread, NULL, answer_later, echo) == 0);
    printf("listening at %s\n", address);
    fflush(stdout);
    sigwait(&ends, &signo);
    struct httpd_counts counts;
    httpd_counts(echo->httpd, &counts);
    httpd_stop(echo->httpd);
    pthread_mutex_lock(&echo->lock);
    echo->ending = true;
    pthread_cond_signal(&echo->wake);
    pthread_mutex_unlock(&echo->lock);
    pthread_join(echo->thread, NULL);
    printf(
        "connections %llu requests %llu refused %llu timed out %llu limited %llu malformed %llu\n",
        (unsigned long long)counts.connections, (unsigned long long)counts.requests,
        (unsigned long long)counts.refused_connections, (unsigned long long)counts.timed_out,
        (unsigned long long)counts.rate_limited, (unsigned long long)counts.malformed);
    return 0;
}

int main(int argc, char **argv)
{
    struct echo echo = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct httpd_config config = {.body_max = EVENT_BODY_MAX,
                                  .connections_max = 4096,
                                  .request_timeout_ms = 10000,
                                  .idle_timeout_ms = 60000,
                                  .on_request = on_request,
                                  .arg = &echo};
    const char *address = "127.0.0.1:0", *secrets = NULL;
    struct err err = {0};
    log_init(stderr, getenv("HTTPD_ECHO_DEBUG") ? LOG_DEBUG : LOG_ERROR, LOG_AUTO);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--later") == 0) {
            echo.later = true;
            continue;
        }
        if (strcmp(argv[i], "--listen") == 0)
            address = value;
        else if (strcmp(argv[i], "--secrets") == 0)
            secrets = value;
        else if (!set_number(&config, argv[i], value))
            return 2;
        i++;
    }
    int rc = -1;
    if ((!secrets || (echo.keys = signature_keys_load(secrets, &err)) != NULL) &&
        (config.fd = httpd_listen(address, "--listen", &err)) >= 0)
        rc = run(&echo, &config, &err);
    signature_keys_free(echo.keys);
    if (rc < 0)
        fprintf(stderr, "httpd-echo: %s\n", err.msg);
    return rc < 0 ? err_exit_status(&err) : 0;
}
