/* SPDX-License-Identifier: Apache-2.0
 *
 * output_scene: one output opened on scripted servers for the Platform and for the storage, to its
 * end, and what came of it.
 *
 *     struct scene scene = {.platform = rows, .route = VOXEL51_OUTPUT, .offset = 2};
 *     play(&scene);
 *     assert_output(&scene, "llo");
 *     clear(&scene);
 */
#ifndef EGRESS_TESTS_OUTPUT_SCENE_H
#define EGRESS_TESTS_OUTPUT_SCENE_H

#include "scripted_server.h"

#include "core/clock.h"
#include "core/log.h"
#include "net/http.h"
#include "platform/voxel51.h"

#define KEY  "SECRET.key"
#define ETAG "\"v1\""

static struct loop *loop;

/* What came of one stream. */
struct got {
    struct source *source;
    struct source_stream *stream;
    struct loop_task task;
    bool pause_first, refuse_open, cancel_on_data;
    unsigned opens, ends;
    struct source_meta meta; /* its strings are not kept but for these: */
    char type[64], encoding[64], validator[64], crc32c[16], md5[32], sha256[48];
    struct buf data;
    bool failed;
    struct err err;
};

static void keep(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%s", value ? value : "-");
}

static int on_open(void *arg, const struct source_meta *meta, struct err *err)
{
    struct got *got = arg;
    got->opens++;
    got->meta = *meta;
    keep(got->type, sizeof(got->type), meta->content_type);
    keep(got->encoding, sizeof(got->encoding), meta->content_encoding);
    keep(got->validator, sizeof(got->validator), meta->validator);
    keep(got->crc32c, sizeof(got->crc32c), meta->crc32c);
    keep(got->md5, sizeof(got->md5), meta->md5);
    keep(got->sha256, sizeof(got->sha256), meta->sha256);
    return got->refuse_open ? err_set(err, ERR_TOO_LARGE, "too large, says the test") : 0;
}

static void resume(void *arg)
{
    struct got *got = arg;
    got->source->ops->resume(got->stream);
}

static size_t on_data(void *arg, const void *data, size_t len)
{
    struct got *got = arg;
    assert_int_equal(got->opens, 1);
    if (got->pause_first) {
        got->pause_first = false;
        loop_post(loop, &got->task, resume, got);
        return SOURCE_PAUSE;
    }
    if (got->cancel_on_data) {
        got->source->ops->cancel(got->stream);
        got->source->ops->cancel(got->stream);
    }
    assert_int_equal(buf_append(&got->data, data, len), 0);
    return len;
}

static void on_end(void *arg, const struct err *err)
{
    struct got *got = arg;
    got->ends++;
    got->failed = err != NULL;
    if (err)
        got->err = *err;
    loop_stop(loop);
}

struct scene {
    const struct row *platform, *storage; /* @ in a row of the platform: the storage's URL */
    enum voxel51_route route;
    uint64_t offset, len;
    int64_t expires_ms;
    bool remote; /* the Platform has a public name; the server is reached as its proxy */
    struct got got;
    struct server *p, *s; /* after play(): stopped; s may be NULL */
};

enum { ROWS_MAX = 8 };

/* The row's text with each @ replaced. Caller frees. */
static char *fill_in(const char *text, const char *storage_url)
{
    struct buf out = BUF_INIT(4096);
    for (; *text; text++)
        if (*text == '@')
            buf_str_append(&out, storage_url);
        else
            buf_byte(&out, *text);
    return buf_take(&out);
}

static void play(struct scene *scene)
{
    struct row rows[ROWS_MAX] = {{NULL}};
    size_t n = 0;
    scene->s = scene->storage ? server_start(scene->storage) : NULL;
    for (; scene->platform[n].match; n++) {
        rows[n] = scene->platform[n];
        rows[n].headers = fill_in(rows[n].headers, scene->s ? scene->s->url : "");
        rows[n].body = fill_in(rows[n].body, scene->s ? scene->s->url : "");
    }
    scene->p = server_start(rows);

    struct err err = {0};
    char base[80], key[] = KEY, name[] = "labels.json";
    snprintf(base, sizeof(base), "%s/v1", scene->remote ? "http://platform.test" : scene->p->url);
    if (scene->remote)
        setenv("http_proxy", scene->p->url, 1);
    struct token token = {.private_key = key, .base_url = base};
    struct voxel51_config config = {.token = &token, .source_route = scene->route};
    struct source_output output = {.name = name, .size = -1};
    struct source_job job = {
        .id = "j",
        .state = JOB_COMPLETE,
        .n_outputs = 1,
        .outputs = &output,
        .expires_ms = scene->expires_ms,
    };
    struct source_events events = {.on_open = on_open, .on_data = on_data, .on_end = on_end};
    struct got *got = &scene->got;
    got->data = BUF_INIT(1024 * 1024);
    got->source = voxel51_new(loop, &config, &err);
    assert_non_null(got->source);
    struct source_range range = {scene->offset, scene->len,
                                 scene->offset || scene->len ? ETAG : NULL};
    got->stream = got->source->ops->open(got->source, &job, 0, &range, &events, got);
    assert_int_equal(got->ends, 0);
    loop_run(loop);
    unsetenv("http_proxy");
    got->source->ops->free(got->source);

    server_stop(scene->p);
    if (scene->s)
        server_stop(scene->s);
    for (size_t i = 0; i < n; i++) {
        free((char *)(uintptr_t)rows[i].headers);
        free((char *)(uintptr_t)rows[i].body);
    }
    assert_int_equal(got->ends, 1);
    assert_null(strstr(got->err.msg, "SECRET"));
    assert_null(strstr(got->err.msg, "sig="));
}

static void clear(struct scene *scene)
{
    buf_release(&scene->got.data);
    server_free(scene->p);
    if (scene->s)
        server_free(scene->s);
}

static void assert_no_output(const struct scene *scene, enum err_code code, const char *part)
{
    const struct got *got = &scene->got;
    assert_true(got->failed);
    if (got->err.code != code || !strstr(got->err.msg, part))
        fail_msg("%s: %s (expected %s, %s)", err_name(got->err.code), got->err.msg, err_name(code),
                 part);
    assert_int_equal(got->opens, 0);
    assert_int_equal(got->data.len, 0);
}

static void assert_output(const struct scene *scene, const char *text)
{
    const struct got *got = &scene->got;
    if (got->failed)
        fail_msg("%s", got->err.msg);
    assert_int_equal(got->opens, 1);
    assert_string_equal(buf_str(&got->data), text);
}

static int set_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_options options = {
        .connect_timeout_ms = 5000,
        .stall_timeout_ms = 20000,
        .max_attempts = 2,
        .user_agent = "egress-test",
    };
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    if (http_init(&options, &err) < 0 || !(loop = loop_new(&err)))
        fail_msg("%s", err.msg);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

#endif
