/* SPDX-License-Identifier: Apache-2.0
 *
 * page_files: page.html, page.css and page.js as a table, in a file that tools/embed.sh writes.
 */
#ifndef EGRESS_REPORT_PAGE_FILES_H
#define EGRESS_REPORT_PAGE_FILES_H

#include "report/page.h"

extern const struct page_file page_files[]; /* ends with one without a path */

#endif
