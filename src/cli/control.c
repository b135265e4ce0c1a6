/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/control.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/http.h"
#include "net/loop.h"
#include "serve/journal_path.h"

struct control {
    struct loop *loop; /* owned, like all here */
    char *journal, *socket_path;
    struct buf *answer; /* borrowed, of the call under way */
    struct err err;
};

struct control *control_open(const struct settings *settings, struct err *err)
{
    static const struct http_options options = {
        .connect_timeout_ms = CONTROL_MS,
        .stall_timeout_ms = CONTROL_MS,
        .max_attempts = 1,
        .user_agent = "egress/" EGRESS_VERSION,
    };
    char *journal = journal_path(settings_text(settings, SET_JOURNAL), false, err);
    if (!journal)
        return NULL;
    struct control *control = xcalloc(1, sizeof(*control));
    control->journal = journal;
    control->socket_path = serve_control_path(journal, err);
    if (control->socket_path && http_init(&options, err) == 0)
        control->loop = loop_new(err);
    if (control->loop)
        return control;
    control_close(control);
    return NULL;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    loop_free(control->loop);
    free(control->journal);
    free(control->socket_path);
    free(control);
}

/* What the daemon says is its message alone. */
static void take_message(struct control *control, const struct http_response *rsp,
                         const struct err *err)
{
    json_t *root = json_loadb(rsp->body, rsp->body_len, 0, NULL);
    const char *message = json_string_value(json_object_get(root, "message"));
    const char *name = json_string_value(json_object_get(root, "error"));
    control->err = *err;
    if (message)
        err_set(&control->err,
                rsp->status == 404 && name && strcmp(name, err_name(ERR_JOB_UNKNOWN)) == 0
                    ? ERR_JOB_UNKNOWN
                : rsp->status < 500 ? ERR_INPUT
                                    : ERR_HTTP,
                "%.900s", message);
    control->err.http_status = rsp->status;
    json_decref(root);
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct control *control = arg;
    if (!err)
        buf_append(control->answer, rsp->body, rsp->body_len);
    else if (rsp && err->code == ERR_HTTP)
        take_message(control, rsp, err);
    else if (err->code == ERR_NETWORK)
        err_set(&control->err, ERR_CONFIG,
                "no daemon is running with journal %s (nobody listens at %s); start egress serve, "
                "or name its --journal",
                control->journal, control->socket_path);
    else
        control->err = *err;
    loop_stop(control->loop);
}

int control_call(struct control *control, const char *method, const char *path, const char *body,
                 struct buf *answer, struct err *err)
{
    char *url = xprintf("http://localhost%s", path);
    const struct http_request rq = {
        .method = method,
        .url = url,
        .unix_socket = control->socket_path,
        .body = body,
        .body_len = body ? strlen(body) : 0,
        .has_body = strcmp(method, "POST") == 0,
        .max_body = CONTROL_ANSWER_MAX,
        .flags = HTTP_NO_RETRY | HTTP_NO_PROXY,
        .timeout_ms = CONTROL_MS,
    };
    control->err = (struct err){0};
    control->answer = answer;
    http_start(control->loop, &rq, &(struct http_events){.on_done = on_done}, control);
    loop_run(control->loop);
    free(url);
    if (control->err.code == ERR_NONE)
        return 0;
    *err = control->err;
    return -1;
}
