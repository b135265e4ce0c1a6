/* SPDX-License-Identifier: Apache-2.0 */
#include "report/page.h"

#include <string.h>

#include "report/page_files.h"

const struct page_file *page_find(const char *path)
{
    for (const struct page_file *file = page_files; file->path; file++)
        if (strcmp(path, file->path) == 0)
            return file;
    return NULL;
}
