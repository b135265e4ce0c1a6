/* SPDX-License-Identifier: Apache-2.0 */
#include "ingress/proxy_event.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/text.h"

/* A string of n bytes that may hold NULs. */
static char *copy_bytes(const void *data, size_t n)
{
    char *s = xcalloc(n + 1, 1);
    if (n)
        memcpy(s, data, n);
    return s;
}

static enum ingress_shape shape_of(const json_t *root)
{
    if (json_object_get(json_object_get(root, "requestContext"), "http"))
        return INGRESS_PROXY_V2;
    if (json_object_get(root, "httpMethod"))
        return INGRESS_PROXY_V1;
    /* Cut down by hand for a test, as many samples are: only the body matters then. */
    if (json_object_get(root, "body") && !json_object_get(root, "id"))
        return INGRESS_PROXY_V1;
    return INGRESS_BARE;
}

static int take_method(const json_t *method, char **out, struct err *err)
{
    if (!method) {
        *out = xstrdup("POST");
        return 0;
    }
    const char *s = json_string_value(method);
    if (!s || strlen(s) != json_string_length(method))
        return err_set(err, ERR_INPUT, "the proxy event's HTTP method is not a plain string");
    *out = xstrdup(s);
    return 0;
}

static int decode_base64(struct ingress_request *request, struct err *err)
{
    char *decoded = xcalloc(3 * (request->body_len / 4) + 4, 1);
    int n = text_unbase64(request->body, request->body_len, (unsigned char *)decoded);
    if (n < 0) {
        free(decoded);
        return err_set(err, ERR_INPUT,
                       "the proxy event says isBase64Encoded, but its body is not base64");
    }
    free(request->body);
    request->body = decoded;
    request->body_len = (size_t)n;
    return 0;
}

static int take_body(const json_t *root, struct ingress_request *request, struct err *err)
{
    const json_t *body = json_object_get(root, "body");
    if (body && !json_is_string(body) && !json_is_null(body))
        return err_set(err, ERR_INPUT,
                       "the proxy event's \"body\" is not a string; expected the webhook's JSON as "
                       "text, or null");
    const json_t *flag = json_object_get(root, "isBase64Encoded");
    if (flag && !json_is_boolean(flag) && !json_is_null(flag))
        return err_set(err, ERR_INPUT,
                       "the proxy event's \"isBase64Encoded\" is neither true nor false");
    request->body_len = json_string_length(body);
    request->body = copy_bytes(json_string_value(body), request->body_len);
    return json_is_true(flag) ? decode_base64(request, err) : 0;
}

/* Anything but a plain string is no token. */
static char *take_token(const json_t *value)
{
    const char *s = json_string_value(value);
    return s && strlen(s) == json_string_length(value) ? xstrdup(s) : NULL;
}

static void take_tokens(json_t *root, struct ingress_request *request)
{
    const json_t *query = json_object_get(root, "queryStringParameters");
    request->query_token = take_token(json_object_get(query, "token"));
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(root, "headers"), name,
                        value) if (!request->header_token &&
                                   strcasecmp(name, "x-egress-token") == 0) request->header_token =
        take_token(value);
}

static int take_proxy(json_t *root, struct ingress_request *request, struct err *err)
{
    const json_t *method = json_object_get(root, "httpMethod");
    const json_t *path = json_object_get(root, "path");
    if (request->shape == INGRESS_PROXY_V2) {
        const json_t *http = json_object_get(json_object_get(root, "requestContext"), "http");
        method = json_object_get(http, "method");
        path = json_object_get(root, "rawPath");
        if (!method)
            return err_set(err, ERR_INPUT, "the proxy event has no requestContext.http.method");
    }
    request->path = xstrdup(json_is_string(path) ? json_string_value(path) : "");
    take_tokens(root, request);
    if (take_method(method, &request->method, err) < 0)
        return -1;
    return take_body(root, request, err);
}

int proxy_event_parse(const void *data, size_t len, struct ingress_request *request,
                      struct err *err)
{
    if (len > PROXY_EVENT_MAX)
        return err_set(err, ERR_TOO_LARGE, "the event is %zu bytes long; expected at most %d", len,
                       PROXY_EVENT_MAX);
    struct ingress_request got = {.shape = INGRESS_BARE};
    /* NULs are let through: only in the body they matter, and there event_parse() refuses them. */
    json_t *root =
        len ? json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL) : NULL;
    got.shape = shape_of(root);
    int rc = 0;
    if (got.shape == INGRESS_BARE) {
        got.method = xstrdup("POST");
        got.path = xstrdup("");
        got.body = copy_bytes(data, len);
        got.body_len = len;
    } else {
        rc = take_proxy(root, &got, err);
    }
    json_decref(root);
    if (rc < 0)
        ingress_request_release(&got);
    else
        *request = got;
    return rc;
}

void ingress_request_release(struct ingress_request *request)
{
    free(request->method);
    free(request->path);
    free(request->body);
    free(request->query_token);
    free(request->header_token);
    *request = (struct ingress_request){0};
}
