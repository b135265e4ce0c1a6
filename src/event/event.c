/* SPDX-License-Identifier: Apache-2.0 */
#include "event/event.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

#define EXPECTED "expected {\"id\": JOB_ID, \"event\": \"" EVENT_JOB_COMPLETE "\"}"

static int check_id(const json_t *id, struct err *err)
{
    if (!id)
        return err_set(err, ERR_INPUT, "no \"id\"; " EXPECTED);
    if (json_is_null(id))
        return err_set(err, ERR_INPUT, "\"id\" is null; " EXPECTED);
    if (!json_is_string(id))
        return err_set(err, ERR_INPUT, "\"id\" is not a string; " EXPECTED);
    if (json_string_length(id) == 0)
        return err_set(err, ERR_INPUT, "\"id\" is empty; " EXPECTED);
    if (!job_id_is_valid(json_string_value(id)))
        return err_set(err, ERR_INPUT,
                       "\"id\" is not a job id: \"%.64s\"; expected a letter or digit, then up to "
                       "%d letters, digits, - or _",
                       json_string_value(id), JOB_ID_MAX - 1);
    return 0;
}

static int check_event(const json_t *event, struct err *err)
{
    if (!event)
        return err_set(err, ERR_INPUT, "no \"event\"; " EXPECTED);
    if (!json_is_string(event))
        return err_set(err, ERR_INPUT, "\"event\" is not a string; " EXPECTED);
    if (strcmp(json_string_value(event), EVENT_JOB_COMPLETE) != 0)
        return err_set(err, ERR_INPUT, "\"event\" is \"%.64s\"; expected \"%s\"",
                       json_string_value(event), EVENT_JOB_COMPLETE);
    return 0;
}

int event_parse(const void *body, size_t len, struct event *event, struct err *err)
{
    if (len == 0)
        return err_set(err, ERR_INPUT, "no body; " EXPECTED);
    if (len > EVENT_BODY_MAX)
        return err_set(err, ERR_TOO_LARGE, "the body is %zu bytes long; expected at most %d", len,
                       EVENT_BODY_MAX);
    json_error_t why;
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!root)
        return json_refused(err, "the body", &why);
    int rc = -1;
    const json_t *id = json_object_get(root, "id");
    const json_t *name = json_object_get(root, "event");
    if (!json_is_object(root)) {
        err_set(err, ERR_INPUT, "the body is JSON but not an object; " EXPECTED);
    } else if (check_id(id, err) == 0 && check_event(name, err) == 0) {
        *event = (struct event){0};
        memcpy(event->id, json_string_value(id), json_string_length(id));
        event->event = xstrdup(json_string_value(name));
        event->msg = xstrdup(json_string_value(json_object_get(root, "msg")));
        rc = 0;
    }
    json_decref(root);
    return rc;
}

void event_release(struct event *event)
{
    free(event->event);
    free(event->msg);
    *event = (struct event){0};
}
