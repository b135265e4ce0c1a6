/* SPDX-License-Identifier: Apache-2.0
 *
 * egress-sim: a stand-in for the part of the Voxel51 Platform's API that concerns finished jobs.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <signal.h>
#include <string.h>

#include "content.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "server.h"
#include "webhook.h"

enum { GENERATE_MAX = 64 };

struct options {
    char address[64];
    unsigned port;
    struct {
        size_t n;
        int kind; /* -1: --state */
    } generate[GENERATE_MAX];
    size_t n_generate, n_jobs;
    struct size_range sizes;
    enum kind kind;
    uint64_t seed;
    int64_t output_version;
    const char *token, *webhook, *webhook_dir, *jobs_dir, *digest;
    bool help, version;
    struct switches sw;
    struct faults faults;
};

/* ---- options --------------------------------------------------------------------------------- */

static int set_listen(struct options *o, const char *value, struct err *err)
{
    const char *colon = strrchr(value, ':');
    int64_t port;
    if (!colon || (size_t)(colon - value) >= sizeof(o->address) ||
        text_parse_int(colon + 1, 0, 65535, &port) < 0)
        return err_set(err, ERR_USAGE, "--listen %s: expected ADDRESS:PORT", value);
    snprintf(o->address, sizeof(o->address), "%.*s", (int)(colon - value), value);
    o->port = (unsigned)port;
    return 0;
}

static int set_generate(struct options *o, const char *value, struct err *err)
{
    char count[16];
    const char *colon = strchr(value, ':');
    size_t len = colon ? (size_t)(colon - value) : strlen(value);
    int64_t n;
    enum kind kind = KIND_COMPLETE;
    snprintf(count, sizeof(count), "%.*s", len < sizeof(count) ? (int)len : 0, value);
    if (text_parse_int(count, 0, JOBS_MAX, &n) < 0 || o->n_jobs + (size_t)n > JOBS_MAX)
        return err_set(err, ERR_USAGE, "--generate %s: expected N or N:KIND, %d jobs at most",
                       value, JOBS_MAX);
    if (colon && kind_parse(colon + 1, &kind) < 0)
        return err_set(err, ERR_USAGE, "--generate %s: no such kind; --help lists them", value);
    if (o->n_generate == GENERATE_MAX)
        return err_set(err, ERR_USAGE, "--generate: %d times at most", GENERATE_MAX);
    o->n_jobs += (size_t)n;
    o->generate[o->n_generate].n = (size_t)n;
    o->generate[o->n_generate++].kind = colon ? (int)kind : -1;
    return 0;
}

/* "1M" or "0..1M" */
static int set_size(struct options *o, const char *value, struct err *err)
{
    char low[32];
    const char *dots = strstr(value, "..");
    size_t len = dots ? (size_t)(dots - value) : strlen(value);
    snprintf(low, sizeof(low), "%.*s", len < sizeof(low) ? (int)len : 0, value);
    if (text_parse_size(low, &o->sizes.low) < 0 ||
        text_parse_size(dots ? dots + 2 : low, &o->sizes.high) < 0 || o->sizes.high < o->sizes.low)
        return err_set(err, ERR_USAGE,
                       "--size %s: expected a size such as 4096 or 20G, or a range such as 0..1M",
                       value);
    return 0;
}

static int set_token(struct options *o, const char *value, struct err *err)
{
    for (const char *p = value; *p; p++)
        if (*p <= ' ' || *p > '~')
            return err_set(err, ERR_USAGE, "--token: printable ASCII without spaces only");
    if (!*value)
        return err_set(err, ERR_USAGE, "--token: must not be empty");
    o->token = value;
    return 0;
}

static int set_option(struct options *o, const char *name, const char *value, struct err *err)
{
    int64_t seed;
    if (strcmp(name, "--listen") == 0)
        return set_listen(o, value, err);
    if (strcmp(name, "--generate") == 0)
        return set_generate(o, value, err);
    if (strcmp(name, "--size") == 0)
        return set_size(o, value, err);
    if (strcmp(name, "--token") == 0)
        return set_token(o, value, err);
    if (strcmp(name, "--set") == 0)
        return switches_set(&o->sw, value, err);
    if (strcmp(name, "--fault") == 0)
        return faults_add(&o->faults, value, err);
    if (strcmp(name, "--state") == 0) {
        if (kind_parse(value, &o->kind) < 0)
            return err_set(err, ERR_USAGE, "--state %s: no such kind; --help lists them", value);
    } else if (strcmp(name, "--seed") == 0) {
        if (text_parse_int(value, 0, INT64_MAX, &seed) < 0)
            return err_set(err, ERR_USAGE, "--seed %s: expected a whole number", value);
        o->seed = (uint64_t)seed;
    } else if (strcmp(name, "--output-version") == 0) {
        if (text_parse_int(value, 0, UINT16_MAX, &o->output_version) < 0)
            return err_set(err, ERR_USAGE, "--output-version %s: expected 0..%d", value,
                           UINT16_MAX);
    } else if (strcmp(name, "--jobs") == 0) {
        o->jobs_dir = value;
    } else if (strcmp(name, "--webhook") == 0) {
        o->webhook = value;
    } else if (strcmp(name, "--webhook-dir") == 0) {
        o->webhook_dir = value;
    } else if (strcmp(name, "--digest") == 0) {
        o->digest = value;
    } else {
        return err_set(err, ERR_USAGE, "%s: no such option; --help lists them", name);
    }
    return 0;
}

static int parse_options(struct options *o, int argc, char **argv, struct err *err)
{
    *o = (struct options){.address = "127.0.0.1", .kind = KIND_COMPLETE};
    o->sizes = (struct size_range){1024 * 1024, 1024 * 1024};
    switches_default(&o->sw);
    for (int i = 1; i < argc; i++) {
        char name[32];
        const char *arg = argv[i], *equals = strchr(arg, '=');
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            o->help = true;
            continue;
        }
        if (strcmp(arg, "--version") == 0) {
            o->version = true;
            continue;
        }
        if (strncmp(arg, "--", 2) != 0)
            return err_set(err, ERR_USAGE, "%.100s: no such argument; --help lists them", arg);
        snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - arg) : 31, arg);
        if (!equals && i + 1 == argc)
            return err_set(err, ERR_USAGE, "%s: its value is missing", name);
        if (set_option(o, name, equals ? equals + 1 : argv[++i], err) < 0)
            return -1;
    }
    faults_seed(&o->faults, o->seed);
    return 0;
}

static void print_help(void)
{
    fputs("egress-sim: a stand-in for the Voxel51 Platform's job API, for tests and the demo.\n"
          "\n"
          "  egress-sim [OPTION...]                        serves until SIGINT or SIGTERM\n"
          "  egress-sim --digest JOB_ID --size SIZE [--seed N] [--output-version N]\n"
          "                                                SHA-256 of that job's generated output\n"
          "\n"
          "When it serves, it prints {\"listening\":\"http://ADDRESS:PORT\",\"token\":\"TOKEN\"}.\n"
          "\n"
          "Options\n"
          "  --listen ADDRESS:PORT   IPv4; port 0 (the default) takes a free one\n"
          "  --generate N[:KIND]     N jobs whose outputs are generated; may be repeated\n"
          "  --size SIZE | LOW..HIGH of generated outputs (1M); drawn from a range by job id and\n"
          "                          seed\n"
          "  --state KIND            of jobs that say no kind of their own (COMPLETE)\n"
          "  --seed N                job ids and outputs follow from it (0)\n"
          "  --jobs DIR              DIR/JOB_ID/FILE is the output of job JOB_ID, an empty folder\n"
          "                          a job without output; DIR/FILE gets an id from its name\n"
          "  --token TOKEN           the bearer token it accepts; a random one otherwise\n"
          "  --webhook URL           each job that becomes COMPLETE is POSTed there\n"
          "  --webhook-dir DIR       ... is written to DIR/JOB_ID.json\n"
          "  --set NAME=VALUE        a switch, see below; may be repeated\n"
          "  --fault ROUTE:KIND[=VALUE]@WHEN\n"
          "                          something that goes wrong, see below; may be repeated\n"
          "  --output-version N      with --digest: of the output after its Nth change (0)\n"
          "  --help, --version\n"
          "\n"
          "Kinds\n",
          stdout);
    for (int kind = 0; kind_name(kind); kind++)
        printf("  %-10s %s\n", kind_name(kind), kind_help(kind));
    fputs(
        "\nGET /sim/stats (no token) tells how many requests each route had and how many bytes of\n"
        "outputs were handed out. PUT /v1/jobs/ID/state {\"state\":\"COMPLETE\"} ends a job as\n"
        "its analytic would.\n"
        "\nSwitches, with their defaults: what is not known about the Platform\n",
        stdout);
    switches_help(stdout);
    fputs(
        "\nFaults: what goes wrong on purpose, as --fault ROUTE:KIND[=VALUE]@WHEN\n"
        "  ROUTE is one of those below, as /sim/stats names them; * is all of them but WEBHOOK,\n"
        "  the sender of webhooks. WHEN is a percentage of the requests (5, 0.5), or some of them\n"
        "  by number (#1, #2..4, #3..). Which requests a percentage hits follows from --seed, the\n"
        "  route and the request's number. A request has one fault at most: the first that fits;\n"
        "  the percentages of a route add up to 100 at most. /sim/stats counts what happened.\n"
        "    --fault 'GET /v1/jobs/{id}/output:reset@10' --fault '*:status=503,2@5'\n"
        "\nKinds of faults\n",
        stdout);
    faults_help(stdout);
}

/* ---- digest ---------------------------------------------------------------------------------- */

static int print_digest(const struct options *o, struct err *err)
{
    struct content content;
    struct hashes hashes;
    char hex[65];
    uint64_t size = size_draw(o->sizes, o->digest, o->seed);
    uint64_t key = content_key(o->digest, o->seed);
    content_open_generated(&content, content_key_version(key, (unsigned)o->output_version), size,
                           false);
    if (content_hash(&content, false, true, &hashes) < 0)
        return err_set(err, ERR_INTERNAL, "the output cannot be generated");
    text_hex(hashes.sha256, sizeof(hashes.sha256), hex);
    printf("%s\n", hex);
    return 0;
}

/* ---- serving --------------------------------------------------------------------------------- */

static int make_jobs(struct sim *sim, const struct options *o, struct err *err)
{
    /* A folder's files are few; they may be as many as may be uploaded. */
    size_t n_max = o->n_jobs + (o->jobs_dir ? JOBS_UPLOADED_MAX : 0);
    sim->jobs = jobs_new(&sim->sw, o->seed, n_max);
    sim->sizes = o->sizes;
    for (size_t i = 0; i < o->n_generate; i++) {
        int kind = o->generate[i].kind;
        jobs_add_generated(sim->jobs, o->generate[i].n, kind < 0 ? o->kind : (enum kind)kind,
                           o->sizes);
    }
    return o->jobs_dir ? jobs_add_directory(sim->jobs, o->jobs_dir, o->kind, err) : 0;
}

static int make_secrets(struct sim *sim, const struct options *o, char token[65], struct err *err)
{
    unsigned char random[32];
    if (RAND_bytes(random, sizeof(random)) != 1 ||
        RAND_bytes(sim->sign_key, sizeof(sim->sign_key)) != 1)
        return err_set(err, ERR_INTERNAL, "no random numbers");
    text_hex(random, sizeof(random), token);
    sim->token = o->token ? o->token : token;
    return 0;
}

static int serve(struct sim *sim, const struct options *o, struct err *err)
{
    char token[65];
    struct webhooks *webhooks = NULL;
    sigset_t ends;
    int signo;
    /* Before any thread: they inherit it, and the signal comes to sigwait(). */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);

    sim->sw = o->sw;
    sim->faults = &o->faults;
    pthread_mutex_init(&sim->hashes.lock, NULL);
    int rc = make_secrets(sim, o, token, err);
    if (rc == 0)
        rc = make_jobs(sim, o, err);
    if (rc == 0 && (o->webhook || o->webhook_dir)) {
        webhooks = webhooks_start(sim, o->webhook, o->webhook_dir, err);
        rc = webhooks ? 0 : -1;
    }
    if (rc == 0)
        rc = server_start(sim, o->address, o->port, err);
    if (rc == 0) {
        struct buf line = BUF_INIT(64 * 1024);
        buf_printf(&line, "{\"listening\":\"%s\",\"token\":", sim->url);
        text_json_quote(&line, sim->token);
        buf_byte(&line, '}');
        printf("%s\n", buf_str(&line));
        fflush(stdout);
        buf_release(&line);
        sigwait(&ends, &signo);
    }
    server_stop(sim);
    webhooks_stop(webhooks);
    jobs_free(sim->jobs);
    return rc;
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct sim sim;
    struct err err = {0};
    int rc = parse_options(&options, argc, argv, &err);
    log_init(stderr, LOG_INFO, LOG_HUMAN);
    if (rc == 0 && options.help)
        print_help();
    else if (rc == 0 && options.version)
        puts("egress-sim " EGRESS_VERSION);
    else if (rc == 0)
        rc = options.digest ? print_digest(&options, &err) : serve(&sim, &options, &err);
    if (rc < 0)
        fprintf(stderr, "egress-sim: %s\n", err.msg);
    return rc < 0 ? err_exit_status(&err) : 0;
}
