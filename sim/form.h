/* SPDX-License-Identifier: Apache-2.0
 *
 * form: the fields of a request's body, url-encoded or multipart.
 *
 *     char *days;
 *     form_read(rq, (struct form_field[]){{"days", &days}}, 1);
 *     free(days);
 */
#ifndef EGRESS_SIM_FORM_H
#define EGRESS_SIM_FORM_H

#include "server.h"

struct form_field {
    const char *name;
    char **value; /* set to NULL, or to the field's text, which the caller frees */
};

/* -1: the body is not a form. Fields of no known name are left out. */
int form_read(struct request *rq, const struct form_field *fields, size_t n_fields);

#endif
