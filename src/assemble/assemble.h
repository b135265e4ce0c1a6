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

enum assemble_extent {
    ASSEMBLE_SINK,   /* loop and sink */
    ASSEMBLE_ENGINE, /* and source and engine */
};

struct assembly {
    struct loop *loop; /* owned, like all here */
    struct sink *sink;
    struct source *source; /* NULL with ASSEMBLE_SINK, and so is the engine */
    struct engine *engine;
    struct credentials *credentials; /* of S3, else NULL */
};

/* Everything that the settings say is checked before anything goes over the network. *a is set on
 * success only. */
int assemble(struct assembly *a, const struct settings *s, enum assemble_extent extent,
             struct err *err) MUST_CHECK;
/* Nothing may be under way. A zeroed one is fine. */
void assembly_release(struct assembly *a);

#endif
