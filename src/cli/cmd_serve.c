/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_serve: `egress serve`: the daemon.
 */
#include "cli/cli.h"
#include "serve/serve.h"

int cmd_serve(const struct command_context *ctx)
{
    struct err err = {0};
    if (serve_run(ctx->settings, &err) < 0)
        return cli_fail(ctx, &err);
    return STATUS_OK;
}
