/* SPDX-License-Identifier: Apache-2.0
 *
 * aws_service: where one service of AWS (not S3) is in one region, and how requests to it are
 * signed. Loop's thread.
 *
 *     struct aws_service s;
 *     char *url = aws_service_url("sqs", "eu-west-1");
 *     if (aws_service_init(&s, "sqs", "the endpoint of SQS", url, "eu-west-1", &err) == 0) ...
 *     aws_service_sign(&s, http, headers, 1, body, len, who);          from http's prepare
 *     aws_service_release(&s);
 */
#ifndef EGRESS_AWS_AWS_SERVICE_H
#define EGRESS_AWS_AWS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/sigv4.h"
#include "core/err.h"
#include "net/http.h"

struct aws_service {
    const char *name; /* literal; as signatures have it */
    char *url;        /* owned, like all here */
    char *host;       /* as the Host header has it */
    char *path;
    char *region; /* of signatures */
};

/* What may become part of a host name and of every signature. */
bool aws_is_region(const char *s);

/* "https://PREFIX.REGION.amazonaws.com", with China's own domain; caller frees. */
char *aws_service_url(const char *prefix, const char *region);

/* name: literal. label: what url is, for messages. -1 (ERR_USAGE): url is no endpoint, or region is
 * none. *s is set on success only. */
int aws_service_init(struct aws_service *s, const char *name, const char *label, const char *url,
                     const char *region, struct err *err) MUST_CHECK;
void aws_service_release(struct aws_service *s); /* a zeroed one is fine */

/* Adds what signs a POST with these headers (which are sent already) and this body. */
void aws_service_sign(const struct aws_service *s, struct http_call *http,
                      const struct sigv4_header *headers, size_t n_headers, const void *body,
                      size_t body_len, const struct aws_credentials *who);

#endif
