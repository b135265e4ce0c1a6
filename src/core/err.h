/* SPDX-License-Identifier: Apache-2.0
 *
 * err: the one way a failure is told, from the place it happened to the line a person reads.
 *
 * A fallible function takes `struct err *err` last and returns 0 or -1 (or NULL). `err` is left
 * untouched on success and must not be NULL. Nothing here allocates. Any thread.
 *
 *     struct err err = {0};
 *     if (thing_open(path, &err) < 0) {
 *         err_prefix(&err, "cannot start");
 *         log_error("%s", err.msg);
 *     }
 */
#ifndef EGRESS_CORE_ERR_H
#define EGRESS_CORE_ERR_H

#include <stdbool.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* X(code, name, worth a retry, exit status of a command that ends with it); the exit statuses are
 * documented in egress(1). "worth a retry" is about the job; net decides about single requests. */
#define ERR_CODES(X)                                                                               \
    X(ERR_NONE, "none", false, 0)                                                                  \
    X(ERR_INTERNAL, "internal", false, 1)       /* a bug of ours, told instead of hidden */        \
    X(ERR_USAGE, "usage", false, 2)             /* the command line or a setting */                \
    X(ERR_CONFIG, "config", false, 3)           /* token, credentials, files of ours */            \
    X(ERR_AUTH, "auth", false, 3)               /* the other side refused who we are */            \
    X(ERR_DESTINATION, "destination", false, 3) /* no such bucket, directory not writable */       \
    X(ERR_INPUT, "input", false, 4)             /* something from outside is malformed */          \
    X(ERR_NETWORK, "network", true, 1)          /* no connection, or it broke */                   \
    X(ERR_TIMEOUT, "timeout", true, 1)          /* no progress for too long */                     \
    X(ERR_HTTP, "http", true, 1)                /* an unexpected status; see http_status */        \
    X(ERR_PROTOCOL, "protocol", true, 1)        /* an answer that makes no sense */                \
    X(ERR_SPENT, "spent", true, 1)              /* an upload that nothing can finish any more */   \
    X(ERR_INTEGRITY, "integrity", true, 1)      /* short body, checksum mismatch */                \
    X(ERR_IO, "io", true, 1)                    /* local disk */                                   \
    X(ERR_TOO_LARGE, "too_large", false, 4)     /* over a limit that a setting raises */           \
    X(ERR_NOT_FOUND, "not_found", false, 4)     /* a key or a route that is not there */           \
    X(ERR_EXISTS, "exists", false, 4)           /* the key is taken (condition failed) */          \
    X(ERR_CONFLICT, "conflict", false, 4)       /* the key holds what is not this job's */         \
    X(ERR_DEADLINE, "deadline", false, 4)       /* it takes longer than one run may, in any run */ \
    X(ERR_CANCELLED, "cancelled", true, 1)      /* we were told to stop */                         \
    X(ERR_JOB_PENDING, "pending", true, 1)      /* the job has not finished yet */                 \
    X(ERR_JOB_FAILED, "failed", false, 4)       /* the job itself failed */                        \
    X(ERR_JOB_EXPIRED, "expired", false, 4)     /* the output has been deleted */                  \
    X(ERR_JOB_NO_OUTPUT, "no_output", false, 4) /* complete, but there is nothing to fetch */      \
    X(ERR_JOB_UNKNOWN, "unknown_job", false, 4) /* the Platform does not know the id */

enum err_code {
#define ERR_ENUM(code, name, retry, status) code,
    ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
};

struct err {
    enum err_code code;
    int http_status;    /* of the answer that caused it, or 0 */
    int retry_after_ms; /* what the other side asked for, or 0 */
    char msg[1024];     /* one line, printable as it stands; never a secret or a payload */
};

/* Sets code and message; keeps nothing of what was there. Returns -1, for `return err_set(...)`. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set with ": " and the text of errno `errnum` appended. */
int err_set_errno(struct err *err, enum err_code code, int errnum, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Puts "context: " in front of the message. */
void err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Short stable name of the code ("network"), as it stands in logs and JSON. */
const char *err_name(enum err_code code);

/* Whether doing the same job again later may help. The only place where that is decided. */
bool err_is_retryable(const struct err *err);

/* Exit status for a command that ended with this error. */
int err_exit_status(const struct err *err);

/* For bugs only: never tests anything that comes from outside. Stays on in release builds. */
#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))
_Noreturn void check_failed(const char *cond, const char *file, int line);

#endif
