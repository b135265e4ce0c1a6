/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/log.h"
#include "core/suggest.h"

#define STORE_ACCESS                                                                               \
    SET_ENDPOINT_URL, SET_REGION, SET_PROFILE, SET_ADDRESSING, SET_CA_BUNDLE, SET_CONNECT_TIMEOUT, \
        SET_READ_TIMEOUT, SET_LOG_LEVEL, SET_LOG_FORMAT
#define STORING                                                                                    \
    SET_MEMORY, SET_RANGES, SET_SOURCE, SET_CHECKSUM, SET_PART_LAYOUT, SET_MAX_PARTS,              \
        SET_CONDITIONAL_WRITES, SET_RECEIPTS, SET_TOKEN_FILE, SET_UNSIGNED_PAYLOAD, SET_SSE,       \
        SET_SSE_KMS_KEY, SET_STORAGE_CLASS

static const enum setting fetch_settings[] = {SET_TO,          SET_KEY, SET_FORCE,   SET_JSON,
                                              SET_CONCURRENCY, STORING, STORE_ACCESS};
static const enum setting invoke_settings[] = {SET_TO, SET_KEY, SET_FORCE, STORING, STORE_ACCESS};
static const enum setting sync_settings[] = {
    SET_TO,         SET_KEY,         SET_SINCE, SET_DRY_RUN, SET_QUEUE,
    SET_EXTEND_TTL, SET_CONCURRENCY, SET_JSON,  STORING,     STORE_ACCESS};
static const enum setting verify_settings[] = {SET_TO,          SET_JSON,     SET_QUICK,
                                               SET_CONCURRENCY, SET_CHECKSUM, STORE_ACCESS};

static const enum setting sweep_settings[] = {SET_TO,      SET_KEY,  SET_OLDER_THAN,
                                              SET_DRY_RUN, SET_JSON, STORE_ACCESS};

static const enum setting worker_settings[] = {SET_QUEUE,       SET_TO,         SET_KEY,
                                               SET_CONCURRENCY, SET_VISIBILITY, SET_DRAIN,
                                               SET_UNTIL_EMPTY, STORING,        STORE_ACCESS};

static const enum setting serve_settings[] = {SET_TO,
                                              SET_LISTEN,
                                              SET_WEBHOOK_SECRETS,
                                              SET_ADMIN,
                                              SET_ADMIN_TOKEN_FILE,
                                              SET_JOURNAL,
                                              SET_KEEP,
                                              SET_KEEP_JOBS,
                                              SET_QUEUE_MAX,
                                              SET_MAX_ATTEMPTS,
                                              SET_SYNC_EVERY,
                                              SET_MAX_CONNECTIONS,
                                              SET_RATE_LIMIT,
                                              SET_NEAR_EXPIRY,
                                              SET_KEY,
                                              SET_CONCURRENCY,
                                              SET_DRAIN,
                                              STORING,
                                              STORE_ACCESS};

static const enum setting status_settings[] = {SET_JOURNAL, SET_WATCH, SET_JSON, SET_LOG_LEVEL,
                                               SET_LOG_FORMAT};
static const enum setting retry_settings[] = {SET_JOURNAL, SET_DEAD, SET_JSON, SET_LOG_LEVEL,
                                              SET_LOG_FORMAT};
static const enum setting pause_settings[] = {SET_JOURNAL, SET_LOG_LEVEL, SET_LOG_FORMAT};

static const enum setting doctor_settings[] = {
    SET_TO,          SET_THOROUGH,           SET_JSON,          SET_CHECKSUM,
    SET_PART_LAYOUT, SET_CONDITIONAL_WRITES, SET_TOKEN_FILE,    SET_UNSIGNED_PAYLOAD,
    SET_SSE,         SET_SSE_KMS_KEY,        SET_STORAGE_CLASS, STORE_ACCESS};

static const enum setting journal_settings[] = {SET_JOURNAL, SET_JSON, SET_LOG_LEVEL,
                                                SET_LOG_FORMAT};

#define ACCEPTS(list) (list), sizeof(list) / sizeof((list)[0])

static const struct command commands[] = {
    {"fetch", cmd_fetch, ACCEPTS(fetch_settings), "JOB_ID...", 1, -1,
     "store the outputs of finished jobs",
     "Fetches the output of each job and stores it under --to. \"-\" among the ids stands\n"
     "for more of them on standard input, one a line. A job that is stored already is\n"
     "recognised and not fetched again.\n"},
    {"invoke", cmd_invoke, ACCEPTS(invoke_settings), "EVENT.json|-", 1, 1,
     "handle one webhook event, as the Lambda function will",
     "Reads an API Gateway proxy event (version 1 or 2) or the bare body of a webhook,\n"
     "{\"id\":...,\"event\":\"job_complete\",\"msg\":...}, from a file or from standard input,\n"
     "stores the job's output, and prints the answer: a JSON object with statusCode.\n"},
    {"sync", cmd_sync, ACCEPTS(sync_settings), "", 0, 0, "store what webhooks missed",
     "Asks the Platform which jobs have finished, compares with the receipts under --to, and\n"
     "stores what is missing, soonest to expire first; with --queue the jobs are put into\n"
     "that SQS queue instead, for a worker to store. Running it again is harmless.\n"},
    {"verify", cmd_verify, ACCEPTS(verify_settings), "", 0, 0,
     "compare what is stored with its receipts",
     "Reads every receipt under --to and compares the objects that it names: size and\n"
     "CRC32C, read back in full unless --quick is given. Exit status 5: something differs\n"
     "or is missing.\n"},
    {"sweep", cmd_sweep, ACCEPTS(sweep_settings), "", 0, 0, "undo uploads that nobody will finish",
     "Finds unfinished multipart uploads under --to whose key --key can make and that were\n"
     "begun longer ago than --older-than, and aborts them. They are left by runs that were\n"
     "killed; until then, a later fetch of the same job goes on with them.\n"},
    {"worker", cmd_worker, ACCEPTS(worker_settings), "", 0, 0,
     "store the outputs of the jobs that an SQS queue names",
     "Takes messages out of --queue, as the Lambda function does, as many at a time as\n"
     "--concurrency says, and stores the output of the job that each one names. A message\n"
     "is removed once its job is stored or will never be. SIGTERM (or SIGINT): takes no\n"
     "more; what is under way is finished, or left so that another worker goes on with it,\n"
     "within --drain-timeout.\n"},
    {"serve", cmd_serve, ACCEPTS(serve_settings), "", 0, 0,
     "take webhooks and store the outputs they tell of, on this machine",
     "A daemon with its own queue: answers a webhook once its job is on disk in --journal, stores\n"
     "the jobs' outputs under --to, soonest to expire first, tries again what failed, and looks\n"
     "every --sync-every for what no webhook has told. A page at --admin shows how it stands.\n"
     "SIGTERM (or SIGINT): takes no more; what is under way is finished, or left for the next\n"
     "start, within --drain-timeout. SIGHUP: reads secrets and the Platform's token anew.\n"},
    {"status", cmd_status, ACCEPTS(status_settings), "[JOB_ID]", 0, 1,
     "show how a running egress serve stands, or one of its jobs",
     "Asks the daemon that runs with --journal. Exit status 3: there is none; 4: it does not know\n"
     "the job.\n"},
    {"retry", cmd_retry, ACCEPTS(retry_settings), "[JOB_ID...]", 0, -1,
     "have a running egress serve try jobs again",
     "Jobs that failed, that were given up or that wait for their next try are tried again at\n"
     "once, as if they were new; with --dead all that were given up.\n"},
    {"pause", cmd_pause, ACCEPTS(pause_settings), "", 0, 0,
     "have a running egress serve begin no further transfers",
     "Webhooks are still taken, and what is under way goes on. Remembered across restarts, until\n"
     "egress resume.\n"},
    {"resume", cmd_resume, ACCEPTS(pause_settings), "", 0, 0, "have a paused egress serve go on",
     NULL},
    {"doctor", cmd_doctor, ACCEPTS(doctor_settings), "", 0, 0, "check the set-up, piece by piece",
     "Tries what a transfer needs, and says of each thing how it went and what to do about\n"
     "it: the token and the Platform; and of --to the credentials, the rights, and what the\n"
     "store or the directory can do. It writes small probes below .egress/doctor/ there and\n"
     "removes them again. The exit status is that of what failed; a warning is no failure.\n"},
    {"journal", cmd_journal, ACCEPTS(journal_settings), "check|export", 1, 1,
     "look at the queue of egress serve by hand",
     "check: whether the file --journal is sound; what is wrong with it is printed, a line\n"
     "each. export: prints every job that can be read, also out of a damaged file, as a JSON\n"
     "object a line. Both only read, and egress serve may be running. Exit status 3: the\n"
     "file is damaged.\n"},
    {"help", cmd_help, NULL, 0, "[COMMAND]", 0, 1, "describe the program or one command", NULL},
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

const struct command *cli_commands(size_t *n)
{
    *n = N_COMMANDS;
    return commands;
}

int cli_fail(const struct command_context *ctx, const struct err *err)
{
    const struct log_field *fields = LOG_FIELDS(LOG_TEXT("error", err_name(err->code)));
    if (err->code == ERR_USAGE && ctx->command->n_accepted)
        log_event(LOG_ERROR, fields, "%s (see: egress help %s)", err->msg, ctx->command->name);
    else if (err->code == ERR_USAGE)
        log_event(LOG_ERROR, fields, "%s (see: egress help)", err->msg);
    else
        log_event(LOG_ERROR, fields, "%s", err->msg);
    return err_exit_status(err);
}

int cli_status_merge(int a, int b)
{
    static const int order[] = {STATUS_REFUSED, STATUS_USAGE, STATUS_DIFFERENT, STATUS_RETRY,
                                STATUS_NEVER};
    if (a > STATUS_SIGNAL || b > STATUS_SIGNAL)
        return a > STATUS_SIGNAL ? a : b;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return STATUS_OK;
}

/* ---- starting and ending ---- */

/* A descriptor 0, 1 or 2 that was closed would be the next file or socket to be opened, and get
 * our output. Opened the wrong way round, so that using it still fails. */
static void occupy_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

static void ignore_signal(int signo)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(signo, &ignore, NULL);
}

/* Connections are what transfers need most of; the soft limit is often 1,024 or less, for the sake
 * of select(), which nothing here uses. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool reader_is_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

/* Nobody reading on (`| head`) is their business; anything else that loses output is told. */
static int finish(int status)
{
    bool lost = ferror(stdout) != 0;
    errno = 0;
    lost |= fflush(stdout) != 0;
    if (!lost || reader_is_gone(STDOUT_FILENO))
        return status;
    log_error("standard output: not everything could be written: %s",
              strerror(errno ? errno : EIO));
    return cli_status_merge(status, STATUS_RETRY);
}

static void start_log(const struct settings *s)
{
    enum log_level level = LOG_INFO;
    enum log_format format = LOG_AUTO;
    const char *text = settings_text(s, SET_LOG_LEVEL);
    if (text)
        CHECK(log_level_parse(text, &level) == 0);
    text = settings_text(s, SET_LOG_FORMAT);
    if (text)
        CHECK(log_format_parse(text, &format) == 0);
    log_init(stderr, level, format);
}

/* ---- finding and running a command ---- */

static const struct command *find_command(const char *name, struct err *err)
{
    const char *names[N_COMMANDS + 2];
    size_t n = 0;
    for (; n < N_COMMANDS; n++) {
        if (strcmp(commands[n].name, name) == 0)
            return &commands[n];
        names[n] = commands[n].name;
    }
    names[n++] = "--help";
    names[n++] = "--version";
    const char *meant = suggest(name, names, n);
    if (meant)
        err_set(err, ERR_USAGE, "%.100s: no such command; did you mean %s?", name, meant);
    else
        err_set(err, ERR_USAGE, "%.100s: no such command", name);
    return NULL;
}

int cmd_help(const struct command_context *ctx)
{
    struct err err = {0};
    const struct command *command = NULL;
    if (ctx->n_operands == 1) {
        command = find_command(ctx->operands[0], &err);
        if (!command)
            return cli_fail(ctx, &err);
    }
    cli_print_help(command, stdout);
    return STATUS_OK;
}

static bool is_help_flag(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help_flag(argv[i]))
            return true;
    return false;
}

static int check_operands(const struct command_context *ctx, struct err *err)
{
    const struct command *c = ctx->command;
    const char *space = *c->operands ? " " : "";
    if (ctx->n_operands < c->min_operands)
        return err_set(err, ERR_USAGE, "%s is missing; expected: egress %s [FLAGS]%s%s",
                       c->operands, c->name, space, c->operands);
    if (c->max_operands >= 0 && ctx->n_operands > c->max_operands)
        return err_set(err, ERR_USAGE,
                       "%.100s: one operand too many; expected: egress %s [FLAGS]%s%s",
                       ctx->operands[c->max_operands], c->name, space, c->operands);
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct err err = {0};
    struct settings settings;
    struct command_context ctx = {command, &settings, argv, 0};
    if (asks_for_help(argc, argv)) {
        cli_print_help(command, stdout);
        return STATUS_OK;
    }
    int rc = settings_parse(&settings, command->accepted, command->n_accepted, argc, argv,
                            &ctx.n_operands, &err);
    start_log(&settings);
    if (rc < 0 || check_operands(&ctx, &err) < 0)
        return cli_fail(&ctx, &err);
    return command->run(&ctx);
}

int cli_main(int argc, char **argv)
{
    struct err err = {0};
    occupy_standard_descriptors();
    raise_descriptor_limit();
    ignore_signal(SIGPIPE);
    ignore_signal(SIGXFSZ); /* past `ulimit -f`: an error of write, not a death */
    log_init(stderr, LOG_INFO, LOG_AUTO);
    if (argc < 2) {
        cli_print_help(NULL, stderr);
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        cli_print_version(stdout);
        return finish(STATUS_OK);
    }
    const struct command *command = find_command(is_help_flag(argv[1]) ? "help" : argv[1], &err);
    if (!command) {
        log_error("%s (see: egress help)", err.msg);
        return STATUS_USAGE;
    }
    return finish(run_command(command, argc - 2, argv + 2));
}
