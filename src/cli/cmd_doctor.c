/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_doctor: `egress doctor`: whether the set-up works, check by check.
 */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "core/buf.h"
#include "core/text.h"
#include "doctor/doctor.h"

struct checking {
    struct doctor *doctor;
    bool json;
    int status;
    size_t counts[DOCTOR_STATUSES];
};

static const char *const status_names[DOCTOR_STATUSES] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL", [DOCTOR_SKIP] = "skip"};

static void print_json(const struct doctor_check *check)
{
    struct buf line = BUF_INIT(64 * 1024);
    buf_printf(&line, "{\"status\":\"%s\",\"check\":", status_names[check->status]);
    text_json_quote(&line, check->name);
    buf_str_append(&line, ",\"text\":");
    text_json_quote(&line, check->text);
    buf_str_append(&line, ",\"advice\":");
    text_json_quote(&line, check->advice);
    if (check->err)
        buf_printf(&line, ",\"error\":\"%s\"", err_name(check->err->code));
    buf_str_append(&line, "}\n");
    fputs(buf_str(&line), stdout);
    buf_release(&line);
}

static void on_check(void *arg, const struct doctor_check *check)
{
    struct checking *c = arg;
    c->counts[check->status]++;
    if (check->err)
        c->status = cli_status_merge(c->status, err_exit_status(check->err));
    if (c->json)
        print_json(check);
    else
        printf("%-4s  %-20s %s%s%s\n", status_names[check->status], check->name, check->text,
               *check->advice ? "; to do: " : "", check->advice);
    fflush(stdout);
}

static void on_end(void *arg)
{
    struct checking *c = arg;
    loop_stop(doctor_loop(c->doctor));
}

static void cancel(void *arg)
{
    struct checking *c = arg;
    doctor_cancel(c->doctor);
}

static void print_summary(const struct checking *c)
{
    const size_t *n = c->counts;
    if (c->json)
        printf("{\"summary\":{\"ok\":%zu,\"warn\":%zu,\"fail\":%zu,\"skip\":%zu}}\n", n[DOCTOR_OK],
               n[DOCTOR_WARN], n[DOCTOR_FAIL], n[DOCTOR_SKIP]);
    else
        printf("%zu ok, %zu warn, %zu failed, %zu skipped\n", n[DOCTOR_OK], n[DOCTOR_WARN],
               n[DOCTOR_FAIL], n[DOCTOR_SKIP]);
}

int cmd_doctor(const struct command_context *ctx)
{
    struct err err = {0};
    struct interrupt in;
    struct checking c = {.json = settings_on(ctx->settings, SET_JSON)};
    const struct doctor_config config = {
        .settings = ctx->settings, .on_check = on_check, .on_end = on_end, .arg = &c};
    c.doctor = doctor_new(&config, &err);
    if (!c.doctor)
        return cli_fail(ctx, &err);
    if (interrupt_on(&in, doctor_loop(c.doctor), cancel, &c, &err) < 0) {
        doctor_free(c.doctor);
        return cli_fail(ctx, &err);
    }
    doctor_start(c.doctor);
    loop_run(doctor_loop(c.doctor));
    interrupt_off(&in);
    doctor_free(c.doctor);
    print_summary(&c);
    return interrupt_status(&in, c.status);
}
