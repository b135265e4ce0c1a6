/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_process: a program that prints credentials (credential_process of a profile). Source:
 * AWS SDKs reference, "Process credential provider".
 *
 * It runs without a shell, as the AWS CLI has it, in a session of its own: no terminal to ask on,
 * and it can be ended with all that it started. What it says on stderr is thrown away, since it may
 * hold a secret. A helper thread waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws/credentials_profile.h"
#include "aws/credentials_source.h"
#include "core/clock.h"
#include "core/mem.h"

static const char PROVIDER[] = "credential_process";

enum {
    TIMEOUT_MS = 60 * 1000,
    OUTPUT_MAX = 64 * 1024,
    WORDS_MAX = 256,
    EXIT_POLL_MS = 10, /* for one that has closed its output and goes on */
    FDS_MAX = 64 * 1024,
};

extern char **environ;

struct process {
    struct credentials_source base;
    char *command; /* owned; cut into words */
    char *words[WORDS_MAX + 1];
    int64_t timeout_ms;

    pthread_t thread;
    int wake[2]; /* closing [1] asks the thread to end; -1: done */
    /* The thread's, until it has posted. */
    struct buf output;
    struct err err;
};

/* ---- words ---- */

int credentials_split_command(char *command, char **words, int max, struct err *err)
{
    int n = 0;
    char *to = command;
    for (const char *s = command;;) {
        s += strspn(s, " \t\r\n");
        if (!*s)
            break;
        if (n == max)
            return err_set(err, ERR_CONFIG, "credential_process has more than %d words", max);
        words[n++] = to;
        char quote = '\0';
        for (; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
            if (quote ? *s == quote : *s == '\'' || *s == '"') {
                quote = quote ? '\0' : *s;
            } else if (*s == '\\' && s[1] && quote != '\'' &&
                       (!quote || s[1] == '"' || s[1] == '\\')) {
                *to++ = *++s;
            } else {
                *to++ = *s;
            }
        }
        if (quote)
            return err_set(err, ERR_CONFIG, "credential_process has a %c without its other half",
                           quote);
        /* The blank after the word is behind us, or this is the end. */
        bool more = *s != '\0';
        *to++ = '\0';
        if (!more)
            break;
        s++;
    }
    words[n] = NULL;
    return n > 0 ? n : err_set(err, ERR_CONFIG, "credential_process is empty");
}

/* ---- the helper thread ---- */

/* Ours without the Platform's token. AWS_* stays: the AWS CLI passes it on, and programs use it. */
static char **child_environment(void)
{
    static const char token[] = "VOXEL51_API_PRIVATE_KEY=";
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **copy = xcalloc(n + 1, sizeof(*copy));
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], token, sizeof(token) - 1) != 0)
            copy[kept++] = environ[i];
    return copy;
}

/* In the child of a process with threads: only what is safe in a signal handler. Our connections
 * and files are none of its business. */
static _Noreturn void become(char *const *words, char **environment, long n_fds, int out, int told)
{
    sigset_t none;
    sigemptyset(&none);
    setsid();
    /* Out of the way of 0 to 2, which may have been closed when we were started. */
    int null = fcntl(open("/dev/null", O_RDWR), F_DUPFD, STDERR_FILENO + 1);
    out = fcntl(out, F_DUPFD, STDERR_FILENO + 1);
    told = fcntl(told, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(null, STDERR_FILENO) >= 0) {
        for (int fd = STDERR_FILENO + 1; fd < n_fds; fd++)
            if (fd != told)
                close(fd);
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        environ = environment;
        execvp(words[0], words);
    }
    int errnum = errno;
    (void)!write(told, &errnum, sizeof(errnum));
    _exit(127);
}

/* 0 or an errno. */
static int spawn(char *const *words, int out, pid_t *pid)
{
    long limit = sysconf(_SC_OPEN_MAX);
    long n_fds = limit < 0 || limit > FDS_MAX ? FDS_MAX : limit;
    int told[2]; /* the child's errno, or its end when it runs the program */
    if (pipe(told) < 0)
        return errno;
    fcntl(told[0], F_SETFD, FD_CLOEXEC);
    fcntl(told[1], F_SETFD, FD_CLOEXEC);
    char **environment = child_environment();
    *pid = fork();
    if (*pid == 0)
        become(words, environment, n_fds, out, told[1]);
    int errnum = *pid < 0 ? errno : 0;
    free(environment);
    close(told[1]);
    if (*pid > 0 && read(told[0], &errnum, sizeof(errnum)) > 0)
        waitpid(*pid, NULL, 0);
    close(told[0]);
    return errnum;
}

static int say_timeout(struct process *p)
{
    return err_set(&p->err, ERR_TIMEOUT, "%s did not end within %lld s", p->words[0],
                   (long long)((p->timeout_ms + 999) / 1000));
}

/* Reads until the process closes its output. */
static int read_output(struct process *p, int fd, int64_t deadline_ms)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = p->wake[0], .events = POLLIN}};
    char data[4096];
    for (;;) {
        int64_t left = deadline_ms - clock_mono_ms();
        if (left <= 0)
            return say_timeout(p);
        if (poll(fds, 2, left > 60000 ? 60000 : (int)left) < 0)
            continue;
        if (fds[1].revents)
            return err_set(&p->err, ERR_CANCELLED, "cancelled");
        if (!fds[0].revents)
            continue;
        ssize_t n = read(fd, data, sizeof(data));
        if (n == 0)
            return 0;
        if (n > 0 && buf_append(&p->output, data, (size_t)n) < 0)
            return err_set(&p->err, ERR_CONFIG, "%s printed more than 64 KiB", p->words[0]);
        if (n < 0 && errno != EINTR)
            return err_set_errno(&p->err, ERR_IO, errno, "the output of %s", p->words[0]);
    }
}

/* Waits for its end, too, until the deadline. It is not reaped, so that its id stays its own. */
static int wait_exit(struct process *p, pid_t pid, int64_t deadline_ms)
{
    struct pollfd wake = {.fd = p->wake[0], .events = POLLIN};
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
            return 0;
        if (clock_mono_ms() >= deadline_ms)
            return say_timeout(p);
        if (poll(&wake, 1, EXIT_POLL_MS) > 0)
            return err_set(&p->err, ERR_CANCELLED, "cancelled");
    }
}

static void judge_exit(struct process *p, int status)
{
    if (WIFSIGNALED(status))
        err_set(&p->err, ERR_AUTH, "%s was ended by signal %d", p->words[0], WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        err_set(&p->err, ERR_AUTH, "%s ended with status %d: run it by hand to see what it says",
                p->words[0], WEXITSTATUS(status));
}

static void run(struct process *p)
{
    int fds[2];
    pid_t pid = -1;
    if (pipe(fds) < 0) {
        err_set_errno(&p->err, ERR_INTERNAL, errno, "cannot make a pipe");
        return;
    }
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    int64_t deadline_ms = clock_mono_ms() + p->timeout_ms;
    int errnum = spawn(p->words, fds[1], &pid), status = 0;
    close(fds[1]);
    if (errnum) {
        err_set_errno(&p->err, ERR_CONFIG, errnum, "%s cannot be run", p->words[0]);
    } else {
        bool ended =
            read_output(p, fds[0], deadline_ms) == 0 && wait_exit(p, pid, deadline_ms) == 0;
        kill(-pid, SIGKILL); /* and whatever it started */
        waitpid(pid, &status, 0);
        if (ended)
            judge_exit(p, status);
    }
    close(fds[0]);
}

static void on_ended(void *arg);

static void *thread_main(void *arg)
{
    struct process *p = arg;
    sigset_t all;
    sigfillset(&all); /* signals are the loop's; and no call here is interrupted */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    run(p);
    loop_post(p->base.loop, &p->base.task, on_ended, p);
    return NULL;
}

/* ---- the source ---- */

static void on_ended(void *arg)
{
    struct process *p = arg;
    struct aws_credentials found;
    pthread_join(p->thread, NULL);
    close(p->wake[0]);
    if (p->wake[1] >= 0)
        close(p->wake[1]);
    p->wake[1] = -1;
    struct err err = p->err;
    if (err.code == ERR_NONE && credentials_from_json(&found, PROVIDER, "what it printed", 1,
                                                      buf_str(&p->output), p->output.len, &err) < 0)
        err.code = ERR_CONFIG;
    credentials_wipe(&p->output);
    if (err.code != ERR_NONE)
        err_prefix(&err, "credential_process");
    credentials_source_end(&p->base, err.code == ERR_NONE ? &found : NULL,
                           err.code == ERR_NONE ? NULL : &err);
}

static void fetch(struct credentials_source *s)
{
    struct process *p = (struct process *)s;
    p->output = BUF_INIT(OUTPUT_MAX);
    p->err = (struct err){0};
    int errnum = pipe(p->wake) < 0 ? errno : 0;
    if (!errnum) {
        fcntl(p->wake[0], F_SETFD, FD_CLOEXEC);
        fcntl(p->wake[1], F_SETFD, FD_CLOEXEC);
        errnum = pthread_create(&p->thread, NULL, thread_main, p);
        if (!errnum)
            return;
        close(p->wake[0]);
        close(p->wake[1]);
    }
    p->wake[1] = -1;
    err_set_errno(&p->err, ERR_INTERNAL, errnum, "credential_process cannot be started");
    credentials_source_fail(s, &p->err);
}

static void cancel(struct credentials_source *s)
{
    struct process *p = (struct process *)s;
    if (p->wake[1] >= 0)
        close(p->wake[1]);
    p->wake[1] = -1;
}

static void free_source(struct credentials_source *s)
{
    struct process *p = (struct process *)s;
    free(p->command);
    free(p);
}

static const struct credentials_source_ops ops = {fetch, cancel, free_source};

struct credentials_source *credentials_process_new(struct loop *loop, const char *command,
                                                   int64_t timeout_ms, struct err *err)
{
    struct process *p = xcalloc(1, sizeof(*p));
    p->base = (struct credentials_source){.ops = &ops, .provider = PROVIDER, .loop = loop};
    p->command = xstrdup(command);
    p->timeout_ms = timeout_ms;
    p->wake[1] = -1;
    if (credentials_split_command(p->command, p->words, WORDS_MAX, err) < 0) {
        free_source(&p->base);
        return NULL;
    }
    return &p->base;
}

int credentials_process(const struct credentials_lookup *l, struct credentials_source **out,
                        struct buf *tried, struct err *err)
{
    (void)tried;
    const char *command = profile_get(l->profile, NULL, "credential_process");
    if (!command)
        return 0;
    *out = credentials_process_new(l->loop, command, TIMEOUT_MS, err);
    if (*out) {
        (*out)->where = xprintf("profile \"%s\"", l->profile->name); /* its words may be secrets */
        return 1;
    }
    err_prefix(err, "profile \"%s\"", l->profile->name);
    return -1;
}
