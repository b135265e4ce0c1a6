/* SPDX-License-Identifier: Apache-2.0
 *
 * XML as stores send it, and as nobody should.
 */
#include "aws/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

static void each(void *arg, const char *path, const char *text)
{
    buf_printf(arg, "%s=%s;", path, text);
}

static void assert_reads(const char *doc, const char *expected)
{
    struct buf seen = BUF_INIT(4096);
    struct err err = {0};
    if (xml_read(doc, strlen(doc), each, &seen, &err) < 0)
        fail_msg("%s: %s", doc, err.msg);
    assert_string_equal(buf_str(&seen), expected);
    buf_release(&seen);
}

static void assert_refused(const char *doc, size_t len, const char *why)
{
    struct buf seen = BUF_INIT(1024 * 1024);
    struct err err = {0};
    assert_int_equal(xml_read(doc, len, each, &seen, &err), -1);
    assert_int_equal(err.code, ERR_PROTOCOL);
    if (!strstr(err.msg, why))
        fail_msg("\"%s\" is not in: %s", why, err.msg);
    buf_release(&seen);
}

static void test_elements(void **state)
{
    (void)state;
    assert_reads("<?xml version=\"1.0\"?><Error><Code>A</Code><Message/></Error>",
                 "Error/Code=A;Error/Message=;Error=;");
    assert_reads("<a xmlns='http://x/'> <b>1</b> <b x='y'> 2 </b></a>", "a/b=1;a/b= 2 ;a=;");
    assert_reads("<s:a xmlns:s='u'><s:b>1</s:b></s:a>", "a/b=1;a=;");
    assert_reads("<a>one<b/>two</a>", "a/b=;a=two;");
}

static void test_text(void **state)
{
    (void)state;
    assert_reads("<a>&lt;&amp;&quot;&#233;&#x1F600;<!-- no --><![CDATA[<&]]></a>",
                 "a=<&\"\xc3\xa9\xf0\x9f\x98\x80<&;");
    assert_reads("<a>\xc3\xa9</a>", "a=\xc3\xa9;");
    assert_reads("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>", "a=\xc3\xa9;");
}

/* A slow CompleteMultipartUpload is kept alive with white space. */
static void test_space_before_the_document(void **state)
{
    (void)state;
    assert_reads(" \r\n\n <?xml version='1.0'?>\n<a>1</a>\n", "a=1;");
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const docs[] = {"",          "   ",      "hello",         "<a>",
                                       "<a></b>",   "<a/><b/>", "<a>&nope;</a>", "<a>\xff</a>",
                                       "{\"a\":1}", "<a b></a>"};
    for (size_t i = 0; i < sizeof(docs) / sizeof(docs[0]); i++)
        assert_refused(docs[i], strlen(docs[i]), "line ");
    assert_refused("<a>\0</a>", 8, "line ");
}

static void test_doctype(void **state)
{
    (void)state;
    static const char *const docs[] = {
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY x 'y'><!ENTITY z '&x;&x;'>]><a>&z;</a>",
        "<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://127.0.0.1:1/'> %x;]><a/>",
    };
    for (size_t i = 0; i < sizeof(docs) / sizeof(docs[0]); i++)
        assert_refused(docs[i], strlen(docs[i]), "document type declaration");
}

static void test_depth(void **state)
{
    (void)state;
    char doc[XML_DEPTH_MAX * 7 + 8] = "";
    size_t n = 0;
    for (int i = 0; i < XML_DEPTH_MAX; i++, n += 3)
        memcpy(doc + n, "<a>", 3);
    for (int i = 0; i < XML_DEPTH_MAX; i++, n += 4)
        memcpy(doc + n, "</a>", 4);
    struct buf seen = BUF_INIT(64 * 1024);
    struct err err = {0};
    assert_int_equal(xml_read(doc, n, each, &seen, &err), 0);
    buf_release(&seen);

    struct buf deep = BUF_INIT(1024 * 1024);
    for (int i = 0; i < 60000; i++)
        buf_str_append(&deep, "<a>");
    assert_refused(buf_str(&deep), deep.len, "too deep");
    buf_release(&deep);
}

static void test_sizes(void **state)
{
    (void)state;
    size_t len = XML_SIZE_MAX + 1;
    char *doc = xcalloc(1, len);
    memset(doc, ' ', len);
    assert_refused(doc, len, "over the limit");
    free(doc);

    struct buf names = BUF_INIT(8192);
    buf_byte(&names, '<');
    for (int i = 0; i < 2000; i++)
        buf_byte(&names, 'n');
    buf_str_append(&names, "/>");
    assert_refused(buf_str(&names), names.len, "names are too long");
    buf_release(&names);
}

static void test_escape(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(256);
    xml_escape(&b, "\"a<b>&'c\"");
    assert_string_equal(buf_str(&b), "&quot;a&lt;b&gt;&amp;&apos;c&quot;");
    char *doc = xprintf("<e>%s</e>", buf_str(&b));
    assert_reads(doc, "e=\"a<b>&'c\";");
    free(doc);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_space_before_the_document),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_doctype),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
