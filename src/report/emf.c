/* SPDX-License-Identifier: Apache-2.0 */
#include "report/emf.h"

#include <inttypes.h>

#include "core/text.h"

static const struct {
    const char *name, *unit;
} counts[] =
    {
#define EMF_ROW(id, name, unit) [id] = {name, unit},
        EMF_COUNTS(EMF_ROW)},
  values[] = {EMF_VALUES(EMF_ROW)
#undef EMF_ROW
};

void emf_value(struct emf *emf, enum emf_kind kind, int64_t value)
{
    if (emf->value[kind].n < EMF_VALUES_MAX)
        emf->value[kind].values[emf->value[kind].n++] = value < 0 ? 0 : value;
}

static void define(struct buf *out, bool *first, const char *name, const char *unit)
{
    buf_printf(out, "%s{\"Name\":\"%s\",\"Unit\":\"%s\"}", *first ? "" : ",", name, unit);
    *first = false;
}

static bool is_empty(const struct emf *emf)
{
    for (size_t i = 0; i < EMF_COUNTS_N; i++)
        if (emf->count[i])
            return false;
    for (size_t i = 0; i < EMF_VALUES_N; i++)
        if (emf->value[i].n)
            return false;
    return true;
}

bool emf_format(const struct emf *emf, const char *function, int64_t now_ms, struct buf *out)
{
    if (is_empty(emf))
        return false;
    bool first = true;
    buf_printf(out,
               "{\"_aws\":{\"Timestamp\":%" PRId64 ",\"CloudWatchMetrics\":[{\"Namespace\":"
               "\"" EMF_NAMESPACE "\",\"Dimensions\":[[\"" EMF_DIMENSION "\"]],\"Metrics\":[",
               now_ms);
    for (size_t i = 0; i < EMF_COUNTS_N; i++)
        if (emf->count[i])
            define(out, &first, counts[i].name, counts[i].unit);
    for (size_t i = 0; i < EMF_VALUES_N; i++)
        if (emf->value[i].n)
            define(out, &first, values[i].name, values[i].unit);
    buf_str_append(out, "]}]},\"" EMF_DIMENSION "\":");
    text_json_quote(out, function);
    for (size_t i = 0; i < EMF_COUNTS_N; i++)
        if (emf->count[i])
            buf_printf(out, ",\"%s\":%" PRIu64, counts[i].name, emf->count[i]);
    for (size_t i = 0; i < EMF_VALUES_N; i++) {
        if (emf->value[i].n)
            buf_printf(out, ",\"%s\":[", values[i].name);
        for (size_t j = 0; j < emf->value[i].n; j++)
            buf_printf(out, "%s%" PRId64, j ? "," : "", emf->value[i].values[j]);
        if (emf->value[i].n)
            buf_byte(out, ']');
    }
    buf_byte(out, '}');
    return true;
}
