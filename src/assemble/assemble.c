/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble/assemble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "assemble/destination.h"
#include "assemble/s3_setup.h"
#include "aws/credentials.h"
#include "core/pages.h"
#include "net/http.h"
#include "platform/token.h"
#include "platform/voxel51.h"
#include "queue/sqs.h"
#include "sink/sink_file.h"
#include "sink/sink_s3.h"
#include "transfer/key.h"

/* A flag or variable comes before what the profile says. */
static const char *or_else(const char *setting, const char *profile)
{
    return setting && *setting ? setting : profile;
}

static int start_http(const struct settings *s, const char *ca_bundle, struct err *err)
{
    struct http_options options = {
        .connect_timeout_ms = settings_number(s, SET_CONNECT_TIMEOUT),
        .stall_timeout_ms = settings_number(s, SET_READ_TIMEOUT),
        .max_attempts = 3,
        .ca_bundle = ca_bundle,
        .user_agent = "egress/" EGRESS_VERSION,
    };
    pages_keep_freed();
    return http_init(&options, err);
}

static enum s3_addressing addressing(const struct settings *s, const struct aws_profile *profile)
{
    const char *style = settings_text(s, SET_ADDRESSING);
    if (profile->addressing_style && strcmp(style, "auto") == 0)
        style = profile->addressing_style;
    return strcmp(style, "path") == 0      ? S3_ADDRESS_PATH
           : strcmp(style, "virtual") == 0 ? S3_ADDRESS_VIRTUAL
                                           : S3_ADDRESS_AUTO;
}

int assemble_s3_config(const struct settings *s, const struct destination *d,
                       const struct aws_profile *profile, struct s3_config *config, struct err *err)
{
    if (settings_text(s, SET_SSE_KMS_KEY) && !settings_is(s, SET_SSE, "aws:kms"))
        return err_set(err, ERR_USAGE, "--sse-kms-key-id needs --sse aws:kms");
    *config = (struct s3_config){
        .bucket = d->bucket,
        .prefix = d->path,
        .region = or_else(settings_text(s, SET_REGION), profile->region),
        .endpoint_url = or_else(settings_text(s, SET_ENDPOINT_URL), profile->endpoint_url),
        .addressing = addressing(s, profile),
        .unsigned_payload = settings_on(s, SET_UNSIGNED_PAYLOAD),
        .no_checksum = settings_is(s, SET_CHECKSUM, "none"),
        .no_conditions = settings_is(s, SET_CONDITIONAL_WRITES, "off"),
        /* 0: a command that stores nothing takes no such setting. */
        .parts_max = (uint32_t)settings_number(s, SET_MAX_PARTS),
        .equal_parts = settings_is(s, SET_PART_LAYOUT, "uniform"),
        .sse = settings_text(s, SET_SSE),
        .sse_kms_key_id = settings_text(s, SET_SSE_KMS_KEY),
        .storage_class = settings_text(s, SET_STORAGE_CLASS),
    };
    return 0;
}

static int open_s3(struct assembly *a, const struct settings *s, const struct destination *d,
                   const struct aws_profile *profile, struct err *err)
{
    struct s3_config config;
    if (assemble_s3_config(s, d, profile, &config, err) < 0)
        return -1;
    config.credentials = a->credentials;
    a->sink = sink_s3_new(a->loop, &config, err);
    return a->sink ? 0 : -1;
}

static int open_sink(struct assembly *a, const struct settings *s, const struct destination *d,
                     const struct aws_profile *profile, struct err *err)
{
    if (d->kind == DESTINATION_S3)
        return open_s3(a, s, d, profile, err);
    a->sink = sink_file_new(a->loop, d->path, err);
    return a->sink ? 0 : -1;
}

static int open_credentials(struct assembly *a, const struct settings *s,
                            const struct aws_profile *profile, struct err *err)
{
    const struct credentials_config who = {
        .profile = settings_text(s, SET_PROFILE),
        .region = or_else(settings_text(s, SET_REGION), profile->region)};
    a->credentials = credentials_new(a->loop, &who, err);
    return a->credentials ? 0 : -1;
}

/* The URL says where the queue is and in which region; --region is the bucket's. */
static int open_queue(struct assembly *a, const struct settings *s,
                      const struct aws_profile *profile, struct err *err)
{
    const char *endpoint_url = getenv("AWS_ENDPOINT_URL_SQS");
    const struct queue_sqs_config config = {
        .url = settings_text(s, SET_QUEUE),
        .region = or_else(settings_text(s, SET_REGION), profile->region),
        .endpoint_url = endpoint_url && *endpoint_url ? endpoint_url : NULL,
        .credentials = a->credentials,
    };
    a->queue = queue_sqs_new(a->loop, &config, err);
    return a->queue ? 0 : -1;
}

static int open_source(struct assembly *a, const struct settings *s, const struct token *token,
                       struct err *err)
{
    struct voxel51_config config = {
        .token = token,
        .source_route = settings_is(s, SET_SOURCE, "output")       ? VOXEL51_OUTPUT
                        : settings_is(s, SET_SOURCE, "output-url") ? VOXEL51_OUTPUT_URL
                                                                   : VOXEL51_AUTO,
    };
    a->source = voxel51_new(a->loop, &config, err);
    return a->source ? 0 : -1;
}

static void make_engine(struct assembly *a, const struct settings *s)
{
    struct engine_config config = {
        .loop = a->loop,
        .source = a->source,
        .sink = a->sink,
        .key_template = settings_text(s, SET_KEY),
        .program = EGRESS_PROGRAM,
        .memory = (uint64_t)settings_number(s, SET_MEMORY),
        /* 0: a command that handles one job takes no such setting. */
        .concurrency = (unsigned)settings_number(s, SET_CONCURRENCY),
        .ranges = (unsigned)settings_number(s, SET_RANGES),
        .receipts = settings_on(s, SET_RECEIPTS),
        .force = settings_on(s, SET_FORCE),
    };
    if (config.concurrency == 0)
        config.concurrency = 1;
    a->engine = engine_new(&config);
}

/* What is on the network and not there yet. token: NULL without a source. */
static int open_all(struct assembly *a, const struct settings *s, unsigned extent,
                    const struct destination *d, const struct token *token, struct err *err)
{
    struct aws_profile profile = {0};
    bool sink = extent & ASSEMBLE_SINK && !a->sink;
    bool queue = extent & ASSEMBLE_QUEUE && !a->queue;
    bool aws = extent & ASSEMBLE_AWS || queue || (sink && d->kind == DESTINATION_S3);
    int rc = -1;
    if (aws && aws_profile_load(settings_text(s, SET_PROFILE), &profile, err) < 0)
        return -1;
    if (!a->loop) {
        if (start_http(s, or_else(settings_text(s, SET_CA_BUNDLE), profile.ca_bundle), err) < 0)
            goto out;
        a->loop = loop_new(err);
    }
    if (!a->loop || (aws && !a->credentials && open_credentials(a, s, &profile, err) < 0) ||
        (queue && open_queue(a, s, &profile, err) < 0) ||
        (sink && open_sink(a, s, d, &profile, err) < 0) ||
        (token && open_source(a, s, token, err) < 0))
        goto out;
    rc = 0;
out:
    aws_profile_release(&profile);
    return rc;
}

/* *d is to be released in any case. */
static int check(const struct settings *s, unsigned extent, struct destination *d, struct err *err)
{
    if (extent & ASSEMBLE_QUEUE && !settings_text(s, SET_QUEUE))
        return err_set(err, ERR_USAGE,
                       "--queue is missing: give the URL of an SQS queue, "
                       "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME");
    if (extent & ASSEMBLE_SINK && destination_parse(settings_text(s, SET_TO), d, err) < 0)
        return -1;
    return (extent & ASSEMBLE_ENGINE) == ASSEMBLE_ENGINE
               ? key_template_check(settings_text(s, SET_KEY), err)
               : 0;
}

int assemble_check(const struct settings *s, unsigned extent, struct err *err)
{
    struct destination d = {0};
    int rc = check(s, extent, &d, err);
    destination_release(&d);
    return rc;
}

int assemble_make_directory(const struct settings *s, struct err *err)
{
    struct destination d = {0};
    if (destination_parse(settings_text(s, SET_TO), &d, err) < 0)
        return -1;
    int rc = 0;
    if (d.kind == DESTINATION_DIRECTORY && mkdir(d.path, 0777) < 0 && errno != EEXIST)
        rc = err_set_errno(err, ERR_DESTINATION, errno, "cannot make directory %s", d.path);
    destination_release(&d);
    return rc;
}

int assemble_more(struct assembly *a, const struct settings *s, unsigned extent,
                  const struct token *token, struct err *err)
{
    struct destination d = {0};
    struct token loaded = {0};
    bool source = extent & ASSEMBLE_SOURCE && !a->source;
    int rc = -1;
    if (check(s, extent, &d, err) < 0)
        goto out;
    if (source && !token) {
        if (token_load(settings_text(s, SET_TOKEN_FILE), &loaded, err) < 0)
            goto out;
        token = &loaded;
    }
    if (open_all(a, s, extent, &d, source ? token : NULL, err) < 0)
        goto out;
    if ((extent & ASSEMBLE_ENGINE) == ASSEMBLE_ENGINE && !a->engine)
        make_engine(a, s);
    rc = 0;
out:
    token_release(&loaded);
    destination_release(&d);
    return rc;
}

int assemble(struct assembly *a, const struct settings *s, unsigned extent, struct err *err)
{
    memset(a, 0, sizeof(*a));
    int rc = assemble_more(a, s, extent, NULL, err);
    if (rc < 0)
        assembly_release(a);
    return rc;
}

int assembly_reload_token(struct assembly *a, const struct settings *s, struct err *err)
{
    struct token token = {0};
    int rc = token_load(settings_text(s, SET_TOKEN_FILE), &token, err);
    if (rc == 0)
        rc = voxel51_set_token(a->source, &token, err);
    token_release(&token);
    return rc;
}

const char *assembly_source_url(const struct assembly *a)
{
    return voxel51_base_url(a->source);
}

void assembly_drop_source(struct assembly *a)
{
    engine_free(a->engine);
    a->engine = NULL;
    if (a->source)
        a->source->ops->free(a->source);
    a->source = NULL;
}

void assembly_release(struct assembly *a)
{
    assembly_drop_source(a);
    if (a->sink)
        a->sink->ops->free(a->sink);
    queue_sqs_free(a->queue);
    credentials_free(a->credentials);
    loop_free(a->loop);
    memset(a, 0, sizeof(*a));
}
