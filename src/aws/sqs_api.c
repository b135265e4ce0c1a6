/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sqs_api.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_json.h"
#include "core/mem.h"
#include "core/text.h"
#include "net/url.h"

enum {
    URL_MAX = 300,
    HANDLE_MAX = 4096,                   /* SQS's have 1,024 at most */
    BATCH_BYTES_MAX = 1024 * 1024,       /* of what is sent */
    BATCH_ANSWER_MAX = 256 * 1024,       /* of what comes back of it */
    MESSAGE_BYTES_MAX = 2 * 1024 * 1024, /* 1 MiB each, and its characters may be escaped */
};

#define EXPECTED "expected https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
#define GONE     "the message is not this receiver's any more"
#define NO_QUEUE "there is no such queue: check its URL, account and region"
#define NO_KEY   "the queue's KMS key cannot be used"

static const struct aws_json_refusal refusals[] = {
    {"QueueDoesNotExist", ERR_DESTINATION, NO_QUEUE},
    {"NonExistentQueue", ERR_DESTINATION, NO_QUEUE},
    {"QueueDeletedRecently", ERR_DESTINATION, NO_QUEUE},
    {"InvalidAddress", ERR_DESTINATION, "SQS does not know this address: check the queue's URL"},
    {"UnsupportedOperation", ERR_DESTINATION, "the queue does not take this"},
    {"ReceiptHandleIsInvalid", ERR_NOT_FOUND, GONE},
    {"MessageNotInflight", ERR_NOT_FOUND, GONE},
    {"KmsAccessDenied", ERR_AUTH,
     "allow kms:GenerateDataKey and kms:Decrypt with the queue's key to these credentials"},
    {"KMS.AccessDeniedException", ERR_AUTH,
     "allow kms:GenerateDataKey and kms:Decrypt with the queue's key to these credentials"},
    {"KmsDisabled", ERR_DESTINATION, NO_KEY},
    {"KMS.DisabledException", ERR_DESTINATION, NO_KEY},
    {"KmsInvalidState", ERR_DESTINATION, NO_KEY},
    {"KMS.KMSInvalidStateException", ERR_DESTINATION, NO_KEY},
    {"KmsInvalidKeyUsage", ERR_DESTINATION, NO_KEY},
    {"KMS.InvalidKeyUsageException", ERR_DESTINATION, NO_KEY},
    {"KmsNotFound", ERR_DESTINATION, NO_KEY},
    {"KMS.NotFoundException", ERR_DESTINATION, NO_KEY},
    {"KmsOptInRequired", ERR_DESTINATION, NO_KEY},
    {"KMS.OptInRequired", ERR_DESTINATION, NO_KEY},
    {NULL, ERR_NONE, NULL},
};

struct sqs_api {
    struct aws_json json;
    char *url; /* owned */
};

struct sqs_api_call {
    struct sqs_api *api;
    const char *operation;
    struct aws_json_call *json;
    void *arg;
    size_t n; /* entries of a batch; 0: it is a receive */
    sqs_batch_fn *batch_done;
    sqs_message_fn *each;
    sqs_done_fn *done;
};

/* ---- where ---- */

/* The region in a host name of AWS's: sqs.REGION..., sqs-fips.REGION..., VPCE.sqs.REGION.vpce...,
 * and the older REGION.queue.amazonaws.com; "queue.amazonaws.com" is the first one. NULL: none.
 * Caller frees. */
static char *region_of(const char *host)
{
    if (!strstr(host, ".amazonaws.com") && !strstr(host, ".api.aws"))
        return NULL;
    if (strncmp(host, "queue.", 6) == 0)
        return xstrdup("us-east-1");
    const char *queue = strstr(host, ".queue.");
    if (queue)
        return xstrndup(host, (size_t)(queue - host));
    for (const char *label = host; label; label = strchr(label, '.')) {
        label += *label == '.';
        size_t len = strcspn(label, ".");
        if (label[len] && ((len == 3 && strncmp(label, "sqs", 3) == 0) ||
                           (len == 8 && strncmp(label, "sqs-fips", 8) == 0))) {
            const char *region = label + len + 1;
            return xstrndup(region, strcspn(region, "."));
        }
    }
    return NULL;
}

/* A queue's URL has its name behind the last slash. */
static int check_queue_url(const char *text, struct url *url, struct err *err)
{
    struct err why = {0};
    if (strlen(text) > URL_MAX)
        return err_set(err, ERR_USAGE, "the URL of the queue is longer than %d bytes; " EXPECTED,
                       URL_MAX);
    if (url_parse(text, url, &why) < 0)
        return err_set(err, ERR_USAGE, "\"%.200s\" is no URL of a queue; " EXPECTED, text);
    const char *name = strrchr(url->path, '/') + 1;
    size_t len = strlen(name);
    int rc = 0;
    if (!len || url->query ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") != len)
        rc = err_set(err, ERR_USAGE, "\"%.200s\" is no URL of a queue; " EXPECTED, text);
    else if (len > 5 && strcmp(name + len - 5, ".fifo") == 0)
        rc = err_set(err, ERR_USAGE,
                     "%.200s is a FIFO queue, which holds jobs up behind one that has to wait; "
                     "expected a standard queue",
                     text);
    if (rc < 0)
        url_release(url);
    return rc;
}

struct sqs_api *sqs_api_new(struct loop *loop, const struct sqs_api_config *config, struct err *err)
{
    struct url url;
    if (check_queue_url(config->queue_url, &url, err) < 0)
        return NULL;
    struct buf host = BUF_INIT(512);
    url_host_header(&url, &host);
    /* Every action is at the root; the queue is named in the body. */
    char *endpoint = config->endpoint_url ? xstrdup(config->endpoint_url)
                                          : xprintf("%s://%s/", url.scheme, buf_str(&host));
    char *region = region_of(url.host);
    if (!region)
        region = xstrdup(config->region && *config->region ? config->region : "us-east-1");
    struct aws_service service;
    int rc = aws_service_init(&service, "sqs", "the endpoint of SQS", endpoint, region, err);
    free(region);
    free(endpoint);
    buf_release(&host);
    url_release(&url);
    if (rc < 0)
        return NULL;
    struct sqs_api *api = xcalloc(1, sizeof(*api));
    api->url = xstrdup(config->queue_url);
    api->json = (struct aws_json){
        .loop = loop,
        .service = service,
        .credentials = config->credentials,
        .title = "SQS",
        .target = "AmazonSQS",
        .content_type = "application/x-amz-json-1.0",
        .what = api->url,
        .refusals = refusals,
    };
    return api;
}

void sqs_api_free(struct sqs_api *api)
{
    if (!api)
        return;
    aws_service_release(&api->json.service);
    free(api->url);
    free(api);
}

static struct sqs_api_call *new_call(struct sqs_api *api, const char *operation, void *arg)
{
    struct sqs_api_call *call = xcalloc(1, sizeof(*call));
    call->api = api;
    call->operation = operation;
    call->arg = arg;
    return call;
}

static struct buf new_body(const struct sqs_api *api)
{
    struct buf body = BUF_INIT(BATCH_BYTES_MAX);
    buf_str_append(&body, "{\"QueueUrl\":");
    text_json_quote(&body, api->url);
    return body;
}

/* ---- batches ---- */

static void read_refused(const struct sqs_api_call *call, const json_t *entry, struct err *err)
{
    struct aws_json_error e;
    const char *code = json_string_value(json_object_get(entry, "Code"));
    aws_json_set_error(&e, code, json_string_value(json_object_get(entry, "Message")), code);
    aws_json_refused(&call->api->json, call->operation, &e, 200, err);
}

/* The entry's place, which is its id; n when it is none of ours. */
static size_t index_of(const struct sqs_api_call *call, const json_t *entry)
{
    const char *id = json_string_value(json_object_get(entry, "Id"));
    return id && id[0] >= '0' && id[0] <= '9' && !id[1] && (size_t)(id[0] - '0') < call->n
               ? (size_t)(id[0] - '0')
               : call->n;
}

static void read_results(const struct sqs_api_call *call, const char *body, size_t len,
                         struct err *results)
{
    for (size_t i = 0; i < call->n; i++)
        err_set(&results[i], ERR_PROTOCOL, "%s: %s: the answer does not say what became of it",
                call->api->url, call->operation);
    json_t *root = json_loadb(body, len, 0, NULL), *entry;
    size_t at, i;
    json_array_foreach(json_object_get(root, "Successful"), at, entry)
    {
        if ((i = index_of(call, entry)) < call->n)
            results[i] = (struct err){0};
    }
    json_array_foreach(json_object_get(root, "Failed"), at, entry)
    {
        if ((i = index_of(call, entry)) < call->n)
            read_refused(call, entry, &results[i]);
    }
    json_decref(root);
}

static void on_batch(void *arg, const char *body, size_t len, const struct err *err)
{
    struct sqs_api_call *call = arg;
    struct err results[SQS_BATCH_MAX];
    if (err)
        for (size_t i = 0; i < call->n; i++)
            results[i] = *err;
    else
        read_results(call, body, len, results);
    call->batch_done(call->arg, results);
    free(call);
}

struct sqs_api_call *sqs_api_batch(struct sqs_api *api, enum sqs_batch kind,
                                   const struct sqs_entry *entries, size_t n, sqs_batch_fn *done,
                                   void *arg)
{
    static const struct {
        const char *operation, *text, *seconds;
    } forms[] = {
        [SQS_SEND] = {"SendMessageBatch", "MessageBody", "DelaySeconds"},
        [SQS_DELETE] = {"DeleteMessageBatch", "ReceiptHandle", NULL},
        [SQS_HIDE] = {"ChangeMessageVisibilityBatch", "ReceiptHandle", "VisibilityTimeout"},
    };
    CHECK(n >= 1 && n <= SQS_BATCH_MAX);
    struct sqs_api_call *call = new_call(api, forms[kind].operation, arg);
    call->batch_done = done;
    call->n = n;
    struct buf body = new_body(api);
    buf_str_append(&body, ",\"Entries\":[");
    for (size_t i = 0; i < n; i++) {
        buf_printf(&body, "%s{\"Id\":\"%zu\",\"%s\":", i ? "," : "", i, forms[kind].text);
        text_json_quote(&body, entries[i].text);
        if (forms[kind].seconds)
            buf_printf(&body, ",\"%s\":%d", forms[kind].seconds, entries[i].seconds);
        buf_byte(&body, '}');
    }
    buf_str_append(&body, "]}");
    const struct aws_json_request rq = {
        .operation = call->operation, .body = &body, .answer_max = BATCH_ANSWER_MAX};
    call->json = aws_json_start(&api->json, &rq, on_batch, call);
    return call;
}

/* ---- receiving ---- */

static int64_t attribute(const json_t *message, const char *name, int64_t min, int64_t otherwise)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(message, "Attributes"), name));
    int64_t n;
    return text && text_parse_int(text, min, INT64_C(1) << 52, &n) == 0 ? n : otherwise;
}

static void read_message(const json_t *from, sqs_message_fn *each, void *arg)
{
    const json_t *body = json_object_get(from, "Body");
    int64_t receives = attribute(from, "ApproximateReceiveCount", 1, 1);
    const struct sqs_message message = {
        .id = json_string_value(json_object_get(from, "MessageId")),
        .handle = json_string_value(json_object_get(from, "ReceiptHandle")),
        .body = json_is_string(body) ? json_string_value(body) : "",
        .body_len = json_string_length(body),
        .receives = receives > 1000000 ? 1000000 : (unsigned)receives,
        .sent_ms = attribute(from, "SentTimestamp", 0, 0),
    };
    if (message.id && message.handle && strlen(message.id) <= HANDLE_MAX &&
        strlen(message.handle) <= HANDLE_MAX)
        each(arg, &message);
}

int sqs_api_read_messages(const char *json, size_t len, sqs_message_fn *each, void *arg,
                          struct err *err)
{
    json_t *root = json_loadb(json, len, JSON_ALLOW_NUL, NULL), *message;
    const json_t *messages = json_object_get(root, "Messages");
    int rc = 0;
    size_t i;
    if (!json_is_object(root) || (messages && !json_is_array(messages) && !json_is_null(messages)))
        rc = err_set(err, ERR_PROTOCOL, "the answer is not what SQS gives: check the endpoint");
    else
        json_array_foreach(messages, i, message)
        {
            read_message(message, each, arg);
        }
    json_decref(root);
    return rc;
}

static void on_received(void *arg, const char *body, size_t len, const struct err *err)
{
    struct sqs_api_call *call = arg;
    struct err why = {0};
    if (!err && sqs_api_read_messages(body, len, call->each, call->arg, &why) < 0) {
        err_prefix(&why, "%s: %s", call->api->json.service.url, call->operation);
        err = &why;
    }
    call->done(call->arg, err);
    free(call);
}

struct sqs_api_call *sqs_api_receive(struct sqs_api *api, int max, int wait_s, int visibility_s,
                                     sqs_message_fn *each, sqs_done_fn *done, void *arg)
{
    CHECK(max >= 1 && max <= SQS_BATCH_MAX);
    struct sqs_api_call *call = new_call(api, "ReceiveMessage", arg);
    call->each = each;
    call->done = done;
    struct buf body = new_body(api);
    buf_printf(&body,
               ",\"MaxNumberOfMessages\":%d,\"WaitTimeSeconds\":%d,\"VisibilityTimeout\":%d,"
               "\"AttributeNames\":[\"ApproximateReceiveCount\",\"SentTimestamp\"]}",
               max, wait_s, visibility_s);
    const struct aws_json_request rq = {
        .operation = call->operation,
        .body = &body,
        .answer_max = (size_t)max * MESSAGE_BYTES_MAX + 64 * 1024,
        .wait_ms = (int64_t)wait_s * 1000,
        .once = true,
    };
    call->json = aws_json_start(&api->json, &rq, on_received, call);
    return call;
}

void sqs_api_cancel(struct sqs_api_call *call)
{
    aws_json_cancel(call->json);
}
