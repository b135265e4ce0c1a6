/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_probe: see voxel51_probe.h.
 */
#include "platform/voxel51_probe.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/http.h"
#include "platform/voxel51_private.h"

/* A Platform that does not heed the limit may list every job there is. */
enum { ANSWER_MAX = 16 * 1024 * 1024 };

struct voxel51_probe {
    struct http_call *http;
    struct voxel51_seen *seen;
    int64_t started_ms;
    char *url; /* owned */
    void (*done)(void *arg, const struct err *err);
    void *arg;
};

static bool is_job_list(const struct http_response *rsp)
{
    json_t *root = json_loadb(rsp->body, rsp->body_len, 0, NULL);
    bool right = json_is_array(json_object_get(root, "jobs"));
    json_decref(root);
    return right;
}

/* A 4xx that is neither about the token nor worth a retry. */
static void set_refused(struct err *err, const char *url, int status, const char *words,
                        bool envelope)
{
    if (status == 403)
        err_set(err, ERR_AUTH, "%s refused a query for jobs (403%s)%s", url, words,
                envelope ? "" : ", and not in the Platform's words: is a proxy in between?");
    else if (envelope)
        err_set(err, ERR_PROTOCOL, "the Platform answered a query for jobs with %d%s", status,
                words);
    else
        err_set(err, ERR_CONFIG,
                "%s answered %d, and not in the Platform's words: is the base URL right?", url,
                status);
    err->http_status = status;
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *net_err)
{
    struct voxel51_probe *probe = arg;
    struct err err = {0};
    char words[VOXEL51_WORDS_SIZE];
    bool envelope;
    const char *date = rsp ? http_response_header(rsp, "Date") : NULL;
    *probe->seen = (struct voxel51_seen){
        .answered = rsp != NULL,
        .after_ms = clock_mono_ms() - probe->started_ms,
    };
    if (date && date_parse_http(date, &probe->seen->date_ms) < 0)
        probe->seen->date_ms = 0;
    if (net_err && !voxel51_common_error(rsp, net_err, words, &envelope, &err))
        set_refused(&err, probe->url, net_err->http_status, words, envelope);
    else if (!net_err && rsp && !is_job_list(rsp)) /* rsp is always there without an error */
        err_set(&err, ERR_CONFIG,
                "%s answered a query for jobs with %zu bytes that are no list of jobs: is the base "
                "URL right?",
                probe->url, rsp->body_len);
    probe->done(probe->arg, err.code == ERR_NONE ? NULL : &err);
    free(probe->url);
    free(probe);
}

struct voxel51_probe *voxel51_probe_start(struct loop *loop, const struct token *token,
                                          struct voxel51_seen *seen,
                                          void (*done)(void *arg, const struct err *err), void *arg)
{
    /* A body with a GET is how the Platform takes queries (platform API, 5.1). */
    static const char query[] = "{\"fields\":\"id\",\"limit\":1}";
    struct voxel51_probe *probe = xcalloc(1, sizeof(*probe));
    *seen = (struct voxel51_seen){0};
    probe->seen = seen;
    probe->done = done;
    probe->arg = arg;
    probe->started_ms = clock_mono_ms();
    probe->url = xprintf("%s/jobs", token->base_url);
    char *authorization = xprintf("Bearer %s", token->private_key);
    const struct http_header headers[] = {{"Authorization", authorization, true},
                                          {"Content-Type", "application/json", false}};
    const struct http_request rq = {
        .method = "GET",
        .url = probe->url,
        .headers = headers,
        .n_headers = 2,
        .body = query,
        .body_len = sizeof(query) - 1,
        .max_body = ANSWER_MAX,
        .flags = HTTP_FOLLOW,
    };
    probe->http = http_start(loop, &rq, &(struct http_events){.on_done = on_done}, probe);
    token_wipe(authorization, strlen(authorization));
    free(authorization);
    return probe;
}

void voxel51_probe_cancel(struct voxel51_probe *probe)
{
    http_cancel(probe->http);
}
