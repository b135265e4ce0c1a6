/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <jansson.h>

/* jansson's own text quotes what it stumbled over, which may be a secret. */
static const char *reason(enum json_error_code code)
{
    switch (code) {
    case json_error_stack_overflow:
        return "nested too deep";
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_premature_end_of_input:
        return "ends too early";
    case json_error_end_of_input_expected:
        return "something follows its end";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "has a NUL character in a string";
    case json_error_duplicate_key:
        return "a member is given twice";
    case json_error_numeric_overflow:
        return "a number is out of range";
    default:
        return "syntax error";
    }
}

int json_refused(struct err *err, const char *what, const struct json_error_t *why)
{
    return err_set(err, ERR_INPUT, "%s is not JSON: %s (line %d, byte %d)", what,
                   reason(json_error_code(why)), why->line, why->position);
}
