/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/secrets.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_json.h"
#include "aws/credentials_source.h"
#include "core/mem.h"
#include "core/text.h"

enum {
    ID_MAX = 2048,            /* of an ARN, by the API reference; a name has 512 at most */
    TOLD_MAX = 200,           /* of it in messages */
    ANSWER_MAX = 1024 * 1024, /* a value has 64 KiB at most, and may be escaped */
};

#define ARN_FORM "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"

static const struct aws_json_refusal refusals[] = {
    {"ResourceNotFoundException", ERR_CONFIG,
     "there is no such secret, or it has no value yet: check its ARN, account and region"},
    {"InvalidRequestException", ERR_CONFIG, "the secret cannot be read, is it being deleted?"},
    {"InvalidParameterException", ERR_CONFIG, "the secret cannot be read"},
    {"ValidationException", ERR_CONFIG, "the secret cannot be read"},
    {"DecryptionFailure", ERR_AUTH, "allow kms:Decrypt with the secret's key to these credentials"},
    {NULL, ERR_NONE, NULL},
};

struct secrets {
    struct aws_json json;
    char *id, *told; /* owned */
    struct aws_json_call *call;
    secrets_done_fn *done;
    void *arg;
};

/* The fourth field of an ARN; empty for a name. */
static int region_of(const char *id, char out[64], struct err *err)
{
    out[0] = '\0';
    size_t len = strlen(id);
    if (len == 0 || len > ID_MAX ||
        strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789/_+=.@-:!") != len)
        return err_set(err, ERR_USAGE,
                       "\"%.80s\" is no secret of Secrets Manager: expected its name or " ARN_FORM,
                       id);
    if (strncmp(id, "arn:", 4) != 0)
        return 0;
    const char *service = strchr(id + 4, ':');
    const char *field =
        service && strncmp(service, ":secretsmanager:", 16) == 0 ? service + 16 : NULL;
    size_t n = field ? strcspn(field, ":") : 0;
    if (n == 0 || n >= 64 || !strstr(field, ":secret:"))
        return err_set(err, ERR_USAGE, "\"%.200s\" is no ARN of a secret: expected " ARN_FORM, id);
    memcpy(out, field, n);
    out[n] = '\0';
    return 0;
}

static const char *endpoint_variable(void)
{
    const char *url = credentials_variable("AWS_ENDPOINT_URL_SECRETS_MANAGER");
    return url ? url : credentials_variable("AWS_ENDPOINT_URL");
}

struct secrets *secrets_new(struct loop *loop, const struct secrets_config *config, struct err *err)
{
    char region[64];
    if (region_of(config->id, region, err) < 0)
        return NULL;
    const char *where = *region                             ? region
                        : config->region && *config->region ? config->region
                                                            : "us-east-1";
    const char *given = config->endpoint_url ? config->endpoint_url : endpoint_variable();
    char *url = given ? xstrdup(given) : aws_service_url("secretsmanager", where);
    struct aws_service service;
    int rc = aws_service_init(&service, "secretsmanager",
                              "the endpoint of Secrets Manager (AWS_ENDPOINT_URL_SECRETS_MANAGER)",
                              url, where, err);
    free(url);
    if (rc < 0)
        return NULL;
    struct secrets *s = xcalloc(1, sizeof(*s));
    s->id = xstrdup(config->id);
    s->told = xprintf("secret %.*s", TOLD_MAX, config->id);
    s->json = (struct aws_json){
        .loop = loop,
        .service = service,
        .credentials = config->credentials,
        .title = "Secrets Manager",
        .target = "secretsmanager",
        .content_type = "application/x-amz-json-1.1",
        .what = s->told,
        .refusals = refusals,
    };
    return s;
}

void secrets_free(struct secrets *s)
{
    if (!s)
        return;
    CHECK(!s->call);
    aws_service_release(&s->json.service);
    free(s->id);
    free(s->told);
    free(s);
}

/* The value as the caller gets it; owned by him, *len bytes. NULL: there is none. */
static char *take_value(const json_t *root, size_t *len)
{
    const json_t *string = json_object_get(root, "SecretString");
    const json_t *binary = json_object_get(root, "SecretBinary");
    const json_t *from = json_is_string(string) ? string : binary;
    size_t n = json_string_length(from);
    if (!json_is_string(from))
        return NULL;
    char *value = xcalloc(n + 1, 1);
    if (from == string) {
        memcpy(value, json_string_value(from), n);
        *len = n;
    } else {
        int bytes = text_unbase64(json_string_value(from), n, (unsigned char *)value);
        if (bytes < 0) {
            free(value);
            return NULL;
        }
        *len = (size_t)bytes;
    }
    /* jansson frees what it read without wiping it. */
    OPENSSL_cleanse((char *)json_string_value(from), n);
    return value;
}

static void on_answer(void *arg, const char *body, size_t body_len, const struct err *err)
{
    struct secrets *s = arg;
    struct err why = {0};
    size_t len = 0;
    char *value = NULL;
    s->call = NULL;
    if (!err) {
        json_t *root = json_loadb(body, body_len, JSON_ALLOW_NUL, NULL);
        value = take_value(root, &len);
        json_decref(root);
    }
    if (!err && !value) {
        err_set(&why, ERR_PROTOCOL,
                "%s: neither SecretString nor SecretBinary is in the answer of %s", s->told,
                s->json.service.url);
        err = &why;
    }
    s->done(s->arg, value, len, err);
    if (value)
        OPENSSL_cleanse(value, len);
    free(value);
}

void secrets_get(struct secrets *s, secrets_done_fn *done, void *arg)
{
    CHECK(!s->call);
    s->done = done;
    s->arg = arg;
    struct buf body = BUF_INIT(2 * ID_MAX);
    buf_str_append(&body, "{\"SecretId\":");
    text_json_quote(&body, s->id);
    buf_byte(&body, '}');
    const struct aws_json_request rq = {
        .operation = "GetSecretValue", .body = &body, .answer_max = ANSWER_MAX};
    s->call = aws_json_start(&s->json, &rq, on_answer, s);
}

void secrets_cancel(struct secrets *s)
{
    if (s->call)
        aws_json_cancel(s->call);
}
