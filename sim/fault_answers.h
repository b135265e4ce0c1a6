/* SPDX-License-Identifier: Apache-2.0
 *
 * fault_answers: faults that come before an answer or in its place.
 *
 *     enum MHD_Result rc;
 *     if (fault_answers(rq, &rc))
 *         return rc;
 */
#ifndef EGRESS_SIM_FAULT_ANSWERS_H
#define EGRESS_SIM_FAULT_ANSWERS_H

#include "server.h"

/* True: the request was answered, *rc is to be returned. Latency is waited here. */
bool fault_answers(struct request *rq, enum MHD_Result *rc);

/* What a fault of bodies does to an answer that has none. False: the connection is to be given
 * up. */
bool fault_spares_bodyless(struct request *rq);

#endif
