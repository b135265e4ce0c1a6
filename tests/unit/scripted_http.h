/* SPDX-License-Identifier: Apache-2.0
 *
 * scripted_http: a real HTTP server on loopback that gives prepared answers, one a connection, and
 * keeps what it was asked. For unit tests.
 *
 *     struct scripted_answer answers[] = {{"200 OK\r\nETag: \"e\"\r\n", ""}};
 *     struct scripted_http *server = scripted_http_start(answers, 1);
 *     ... requests to scripted_http_url(server) ...
 *     assert_int_equal(scripted_http_stop(server), 1);
 *     scripted_http_free(server);
 */
#ifndef EGRESS_TESTS_SCRIPTED_HTTP_H
#define EGRESS_TESTS_SCRIPTED_HTTP_H

#include <stddef.h>

struct scripted_answer {
    /* Status and headers: "404 Not Found\r\nDate: ...\r\n"; Content-Length is added when missing.
     * "@name@" in it becomes the value that the latest request with that header had.
     * NULL: takes the request and closes the connection without an answer. */
    const char *head;
    const char *body;
};

struct scripted_http;

/* The answers are borrowed. Requests beyond the last one get a 501. */
struct scripted_http *scripted_http_start(const struct scripted_answer *answers, size_t n);
const char *scripted_http_url(const struct scripted_http *server); /* "http://127.0.0.1:PORT" */

/* Ends the server; returns how many requests came. */
size_t scripted_http_stop(struct scripted_http *server);
/* After the stop: request number i from 0, header and body. */
const char *scripted_http_request(const struct scripted_http *server, size_t i);
void scripted_http_free(struct scripted_http *server);

#endif
