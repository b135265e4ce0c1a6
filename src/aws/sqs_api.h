/* SPDX-License-Identifier: Apache-2.0
 *
 * sqs_api: one queue's API calls in SQS's JSON protocol (application/x-amz-json-1.0), signed.
 */
#ifndef EGRESS_AWS_SQS_API_H
#define EGRESS_AWS_SQS_API_H

#include <stddef.h>
#include <stdint.h>

struct sqs_message { /* borrowed during the call that gets it */
    const char *id;
    const char *handle; /* of this receipt of it */
    const char *body;   /* body_len bytes, as they came */
    size_t body_len;
    unsigned receives; /* ApproximateReceiveCount: this one included; 1 when not known */
    int64_t sent_ms;   /* Unix time of the first send; 0: not known */
};

#endif
