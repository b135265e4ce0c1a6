/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_source: what the providers (credentials_*.c) share. A provider finds out, from the
 * environment and the files, whether its place is in use, and makes a source of it; a source is
 * fetched from as often as need be.
 *
 * To add one: write its file, declare its function here, put it in credentials_chain.c's table.
 *
 *     struct credentials_source *source;
 *     if (credentials_container(&lookup, &source, &tried, &err) == 1)
 *         credentials_source_fetch(source, on_fetched, me);
 *     ...
 *     credentials_source_free(source);
 */
#ifndef EGRESS_AWS_CREDENTIALS_SOURCE_H
#define EGRESS_AWS_CREDENTIALS_SOURCE_H

#include <stddef.h>

#include "aws/credentials.h"
#include "aws/sts.h"
#include "core/buf.h"

/* One of the two is NULL. What is found is the receiver's from here on. */
typedef void credentials_fetched_fn(void *arg, const struct aws_credentials *found,
                                    const struct err *err);

struct credentials_source;

struct credentials_source_ops {
    void (*fetch)(struct credentials_source *s);  /* ends in one credentials_source_end() */
    void (*cancel)(struct credentials_source *s); /* asks for that end soon */
    void (*free)(struct credentials_source *s);
};

/* Embedded first in each provider's own struct. One fetch at a time. */
struct credentials_source {
    const struct credentials_source_ops *ops;
    const char *provider; /* literal */
    char *where;          /* owned; what a user would want to know besides, or NULL */
    struct loop *loop;
    struct aws_credentials keys; /* of a place that holds keys; then ops is NULL */
    bool last_resort;            /* nobody said that it is there */

    credentials_fetched_fn *done; /* of the fetch under way */
    void *arg;
    struct loop_task task;
    struct err failed;
};

/* Completes from the loop. Not for one with keys. */
void credentials_source_fetch(struct credentials_source *s, credentials_fetched_fn *done,
                              void *arg);
void credentials_source_cancel(struct credentials_source *s);
void credentials_source_free(struct credentials_source *s); /* no fetch under way; NULL is fine */

/* For providers. `found` is handed over. */
void credentials_source_end(struct credentials_source *s, const struct aws_credentials *found,
                            const struct err *err);
/* Ends the fetch from the loop: for what goes wrong before anything was started. */
void credentials_source_fail(struct credentials_source *s, const struct err *err);

/* ---- looking ---- */

struct profile;

struct credentials_lookup {
    struct loop *loop;
    struct sts *sts; /* borrowed: outlives the sources */
    const struct profile *profile;
    bool environment; /* keys and web identity of the environment count */
    /* The lookup of the profile that names this one as its source_profile, or NULL. */
    const struct credentials_lookup *parent;
};

/* 1: *out is a new source. 0: there is nothing here; where it looked may be appended to `tried`,
 * as part of a sentence. -1: there is something, but it cannot be used. */
typedef int credentials_provider_fn(const struct credentials_lookup *l,
                                    struct credentials_source **out, struct buf *tried,
                                    struct err *err);

credentials_provider_fn credentials_environment; /* AWS_ACCESS_KEY_ID and its companions */
credentials_provider_fn credentials_assume_role; /* role_arn and where to assume it from */
credentials_provider_fn credentials_web_identity;
credentials_provider_fn credentials_shared_file; /* keys in the shared credentials file */
credentials_provider_fn credentials_process;     /* credential_process */
credentials_provider_fn credentials_config_file; /* keys in the shared config file */
credentials_provider_fn credentials_container;
credentials_provider_fn credentials_imds; /* EC2 instance metadata */

/* The whole chain, and the part of it that is about one profile. */
credentials_provider_fn credentials_chain;
credentials_provider_fn credentials_profile_chain;

/* ---- pieces ---- */

/* The caller releases it. */
struct aws_credentials credentials_copy(const struct aws_credentials *c);

/* Value of a variable; NULL when it is not set or empty. */
const char *credentials_variable(const char *name);

/* What a provider found, with the names under which a user knows the values. NULL or "": absent. */
struct credentials_found {
    const char *provider; /* literal */
    const char *where;    /* for messages: `the environment`, `profile "x" in FILE` */
    const char *id_name, *id;
    const char *secret_name, *secret;
    const char *token_name, *token;
};

/* 1: *out is filled. 0: neither key is there. -1 (ERR_CONFIG): only one of them is, or one could
 * not go into a request header as it stands. */
int credentials_fill(struct aws_credentials *out, const struct credentials_found *found,
                     struct err *err);

/* As credentials_fill(), but *out becomes a source with these keys. */
int credentials_keys(const struct credentials_lookup *l, const struct credentials_found *found,
                     struct credentials_source **out, struct err *err);

/* Reads the JSON object that containers, instances and processes answer with: AccessKeyId,
 * SecretAccessKey, Token or SessionToken, Expiration; Code and Message when there is none. version:
 * what "Version" has to be, or 0. 0, or -1 (ERR_PROTOCOL, starts with `where`). */
int credentials_from_json(struct aws_credentials *out, const char *provider, const char *where,
                          int version, const char *json, size_t len, struct err *err);

/* Reads a small file with a secret in it, without white space around it. The caller wipes *out,
 * which is empty on failure. 0, or -1 (ERR_CONFIG, names the file). `name`: of the variable or key
 * that names the file. */
int credentials_read_file(const char *name, const char *path, struct buf *out, struct err *err);
void credentials_wipe(struct buf *b); /* and release */

/* The role session's name: as given, or one of our own. Caller frees. */
char *credentials_session_name(const char *given);
/* Whether they are what STS takes; session_name may be NULL. 0 or -1 (ERR_CONFIG). */
int credentials_check_role(const char *arn, const char *session_name, struct err *err);

/* Where the container endpoint is, checked: caller frees; NULL and err untouched when no variable
 * names one. For tests too. */
char *credentials_container_url(struct err *err);

/* A source that runs `command`, as the shared config file has it: without a shell, words split as a
 * shell would. */
struct credentials_source *credentials_process_new(struct loop *loop, const char *command,
                                                   int64_t timeout_ms, struct err *err);
/* Split in place into at most max words with a NULL after them; max + 1 places. How many, or -1
 * (ERR_CONFIG). */
int credentials_split_command(char *command, char **words, int max, struct err *err);

#endif
