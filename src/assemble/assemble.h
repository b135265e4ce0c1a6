/* SPDX-License-Identifier: Apache-2.0
 *
 * assemble: settings -> loop, source, sink and engine, in their concrete forms. The one place that
 * knows which there are. Main thread.
 *
 *     struct assembly a;
 *     if (assemble(&a, settings, ASSEMBLE_ENGINE, &err) < 0) ...
 *     loop_run(a.loop);
 *     assembly_release(&a);
 */
#ifndef EGRESS_ASSEMBLE_ASSEMBLE_H
#define EGRESS_ASSEMBLE_ASSEMBLE_H

#include "core/err.h"
#include "core/settings.h"
#include "net/loop.h"
#include "transfer/transfer.h"

#define EGRESS_PROGRAM "egress " EGRESS_VERSION

/* Sources there are; for what goes by a source's name without asking it. */
#define SOURCE_VOXEL51 "voxel51"

/* What is put together; any of them. */
enum assemble_extent {
    ASSEMBLE_SINK = 1 << 0,
    ASSEMBLE_SOURCE = 1 << 1,
    ASSEMBLE_QUEUE = 1 << 2, /* of SET_QUEUE */
    ASSEMBLE_AWS = 1 << 4,   /* credentials alone */
    ASSEMBLE_ENGINE = 1 << 3 | ASSEMBLE_SINK | ASSEMBLE_SOURCE,
};

struct assembly {
    struct loop *loop; /* owned, like all here; what was not asked for is NULL */
    struct sink *sink;
    struct source *source;
    struct engine *engine;
    struct queue_sqs *queue;
    struct credentials *credentials; /* of AWS */
};

/* Everything that the settings say is checked before anything goes over the network. *a is set on
 * success only. */
int assemble(struct assembly *a, const struct settings *s, unsigned extent,
             struct err *err) MUST_CHECK;
/* Adds what is not there yet; on failure what was there stays. token: the Platform's, for a source
 * that is to be added; NULL: the one that the settings lead to. */
struct token;
int assemble_more(struct assembly *a, const struct settings *s, unsigned extent,
                  const struct token *token, struct err *err) MUST_CHECK;
/* Makes the directory that --to names, if it is one that is missing; the one above it has to exist.
 * For what is to run for long, and would be told of a mistake late. */
int assemble_make_directory(const struct settings *s, struct err *err) MUST_CHECK;
/* What of it can be told from the settings alone. */
int assemble_check(const struct settings *s, unsigned extent, struct err *err) MUST_CHECK;
/* Reads the token anew that the settings lead to; what is under way goes on. On failure the old one
 * stays. */
int assembly_reload_token(struct assembly *a, const struct settings *s, struct err *err) MUST_CHECK;
/* Where the source is, as a user would name it; borrowed from the assembly. */
const char *assembly_source_url(const struct assembly *a);
/* Takes out the source and the engine, for others to be added. No transfer may be under way. */
void assembly_drop_source(struct assembly *a);
/* Nothing may be under way. A zeroed one is fine. */
void assembly_release(struct assembly *a);

#endif
