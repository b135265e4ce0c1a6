/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor_platform: the token, and whether the Platform is there and takes it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/mem.h"
#include "doctor/doctor_part.h"
#include "net/url.h"
#include "platform/token.h"
#include "platform/voxel51_probe.h"

enum { HAVE_TOKEN = 1, HAVE_ANSWER = 2 };

struct platform {
    struct doctor *d;
    struct token token;
    struct voxel51_probe *probe; /* NULL: none under way */
    struct voxel51_seen seen;
    int64_t seen_ms; /* Unix time */
    struct err refused;
};

static void run_token(struct doctor *d, void *part)
{
    struct platform *p = part;
    struct err err = {0};
    struct stat st;
    if (token_load(settings_text(doctor_settings(d), SET_TOKEN_FILE), &p->token, &err) < 0) {
        doctor_fail(d, &err, NULL);
        return;
    }
    const char *file = p->token.file;
    if (!file) {
        doctor_ok(d, "from VOXEL51_API_PRIVATE_KEY");
    } else if (stat(file, &st) == 0 && (st.st_mode & 077)) {
        char *advice = xprintf("chmod 600 %s", file);
        doctor_warn(d, advice, "from %s, which others than its owner may read or write (mode %03o)",
                    file, (unsigned)(st.st_mode & 0777));
        free(advice);
    } else {
        doctor_ok(d, "from %s", file);
    }
}

static void tell_reached(struct platform *p)
{
    struct url url = {0};
    struct err ignored = {0};
    const char *base = p->token.base_url;
    long long after_ms = p->seen.after_ms;
    int rc = url_parse(base, &url, &ignored);
    if (rc == 0 && strcmp(url.scheme, "https") == 0)
        doctor_ok(p->d, "%s answers, after %lld ms; its certificate is verified", base, after_ms);
    else if (rc == 0 && url_is_local(&url))
        doctor_ok(p->d, "%s answers, after %lld ms", base, after_ms);
    else
        doctor_warn(p->d, "name a base URL that begins with https://",
                    "%s answers, after %lld ms, but over http: the token can be read on the way",
                    base, after_ms);
    url_release(&url);
}

static void on_probed(void *arg, const struct err *err)
{
    struct platform *p = arg;
    p->probe = NULL;
    p->seen_ms = clock_wall_ms();
    if (err)
        p->refused = *err;
    if (p->seen.answered)
        tell_reached(p);
    else
        doctor_fail(p->d, err, NULL);
}

static void run_reach(struct doctor *d, void *part)
{
    struct platform *p = part;
    (void)d;
    p->probe = voxel51_probe_start(doctor_loop(p->d), &p->token, &p->seen, on_probed, p);
}

static void run_accepted(struct doctor *d, void *part)
{
    struct platform *p = part;
    if (p->refused.code == ERR_NONE)
        doctor_ok(d, "the Platform takes it");
    else if (p->refused.code == ERR_PROTOCOL && p->refused.http_status)
        doctor_warn(d, "fetch a job to see", "not known: %s", p->refused.msg);
    else
        doctor_fail(d, &p->refused, NULL);
}

static void run_clock(struct doctor *d, void *part)
{
    struct platform *p = part;
    doctor_clock(d, "the Platform", p->seen_ms, p->seen.date_ms,
                 "set the clock right (NTP): by it is judged which outputs have expired");
}

static void *open_platform(struct doctor *d)
{
    struct platform *p = xcalloc(1, sizeof(*p));
    p->d = d;
    return p;
}

static void cancel_platform(void *part, bool late)
{
    struct platform *p = part;
    (void)late;
    if (p->probe)
        voxel51_probe_cancel(p->probe);
}

static void close_platform(void *part)
{
    struct platform *p = part;
    token_release(&p->token);
    free(p);
}

static const struct doctor_step steps[] = {
    {.name = "token", .run = run_token, .gives = HAVE_TOKEN},
    {.name = "Platform", .run = run_reach, .needs = HAVE_TOKEN, .gives = HAVE_ANSWER},
    {.name = "token accepted", .run = run_accepted, .needs = HAVE_ANSWER},
    {.name = "Platform's clock", .run = run_clock, .needs = HAVE_ANSWER},
};

const struct doctor_part doctor_platform = {
    steps, sizeof(steps) / sizeof(steps[0]), open_platform, cancel_platform, close_platform,
};
