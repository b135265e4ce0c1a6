/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/xml.h"

#include <expat.h>
#include <string.h>

struct reader {
    XML_Parser parser; /* owned */
    xml_element_fn *each;
    void *arg;
    struct buf path; /* of the element we are in */
    struct buf text; /* since the last tag */
    unsigned depth;
    const char *refused; /* why we stopped the parser ourselves, or NULL */
};

static void refuse(struct reader *r, const char *why)
{
    if (!r->refused)
        r->refused = why;
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct reader *r = arg;
    if (r->refused)
        return;
    if (++r->depth > XML_DEPTH_MAX) {
        refuse(r, "elements are nested too deep");
        return;
    }
    const char *colon = strrchr(name, ':');
    if (r->path.len)
        buf_byte(&r->path, '/');
    buf_str_append(&r->path, colon && colon[1] ? colon + 1 : name);
    if (buf_overflowed(&r->path))
        refuse(r, "element names are too long");
    buf_clear(&r->text);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
    (void)name;
    struct reader *r = arg;
    if (r->refused)
        return;
    r->each(r->arg, buf_str(&r->path), buf_str(&r->text));
    buf_clear(&r->text);
    r->depth--;
    char *slash = strrchr(r->path.data, '/');
    r->path.len = slash ? (size_t)(slash - r->path.data) : 0;
    r->path.data[r->path.len] = '\0';
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int len)
{
    struct reader *r = arg;
    if (!r->refused && buf_append(&r->text, s, (size_t)len) < 0)
        refuse(r, "an element is too large");
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    refuse(arg, "a document type declaration is not allowed");
}

int xml_read(const char *doc, size_t len, xml_element_fn *each, void *arg, struct err *err)
{
    if (len > XML_SIZE_MAX)
        return err_set(err, ERR_PROTOCOL, "XML of %zu bytes is over the limit of %d", len,
                       (int)XML_SIZE_MAX);
    /* S3 keeps a slow answer alive with white space, which some stores send before the document. */
    for (; len && *doc && strchr(" \t\r\n", *doc); len--)
        doc++;
    struct reader r = {
        .parser = XML_ParserCreate(NULL),
        .each = each,
        .arg = arg,
        .path = BUF_INIT(1024),
        .text = BUF_INIT(XML_SIZE_MAX),
    };
    if (!r.parser)
        return err_set(err, ERR_INTERNAL, "no memory to parse XML");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    int rc = 0;
    if (XML_Parse(r.parser, doc, (int)len, XML_TRUE) != XML_STATUS_OK)
        rc = err_set(err, ERR_PROTOCOL, "line %lu: %s",
                     (unsigned long)XML_GetCurrentLineNumber(r.parser),
                     r.refused ? r.refused : XML_ErrorString(XML_GetErrorCode(r.parser)));
    XML_ParserFree(r.parser);
    buf_release(&r.path);
    buf_release(&r.text);
    return rc;
}

void xml_escape(struct buf *out, const char *s)
{
    for (; *s; s++) {
        const char *entity = *s == '&'    ? "&amp;"
                             : *s == '<'  ? "&lt;"
                             : *s == '>'  ? "&gt;"
                             : *s == '"'  ? "&quot;"
                             : *s == '\'' ? "&apos;"
                                          : NULL;
        if (entity)
            buf_str_append(out, entity);
        else
            buf_byte(out, *s);
    }
}
