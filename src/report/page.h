/* SPDX-License-Identifier: Apache-2.0
 *
 * page: the files of the page that a daemon shows, part of the program (page.html, page.css and
 * page*.js beside this file; the Makefile turns them into page_files.c). Any thread.
 *
 *     const struct page_file *file = page_find("/");
 *     answer(file->content_type, file->data, file->len);
 */
#ifndef EGRESS_REPORT_PAGE_H
#define EGRESS_REPORT_PAGE_H

#include <stddef.h>

struct page_file {
    const char *path; /* "/", "/page.css", "/page.js" */
    const char *content_type;
    const unsigned char *data;
    size_t len;
};

/* NULL: there is none. */
const struct page_file *page_find(const char *path);

/* What every answer with a file of it has as Content-Security-Policy: everything from here, nothing
 * inline, nothing from elsewhere, no frame around it. */
#define PAGE_SECURITY_POLICY                                                                       \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#endif
