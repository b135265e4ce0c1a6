/* SPDX-License-Identifier: Apache-2.0
 *
 * receipt: what is written is read back; damaged, foreign and hostile ones are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "core/mem.h"
#include "transfer/receipt.h"

#define ID "016f6063-51a1-4948-a827-ce4c31ec53ed"

static const char sample[] =
    "{\"version\":1,\"state\":\"stored\",\"source\":\"voxel51\",\"job\":\"" ID "\","
    "\"job_name\":\"clip \\\"1\\\"\",\"outputs\":["
    "{\"name\":\"../a\\u000a.json\",\"key\":\"" ID "/a.json\",\"size\":1099511627776,"
    "\"crc32c\":\"4waSgw==\",\"content_type\":\"application/json\",\"validator\":\"\\\"v1\\\"\","
    "\"etag\":\"\\\"e-2\\\"\"},{\"name\":\"\",\"key\":\"k\",\"size\":0}],"
    "\"completed\":\"2020-01-20T15:09:42.000Z\",\"expires\":\"2020-01-23T15:00:00.000Z\","
    "\"stored\":\"2020-01-20T15:10:01.250Z\",\"program\":\"egress 0.1.0\"}\n";

static void fill(struct receipt *r)
{
    *r = (struct receipt){.state = RECEIPT_STORED,
                          .source = xstrdup("voxel51"),
                          .job = ID,
                          .job_name = xstrdup("clip \"1\""),
                          .n_outputs = 2,
                          .completed_ms = INT64_C(1579532982000),
                          .expires_ms = INT64_C(1579791600000),
                          .stored_ms = INT64_C(1579533001250),
                          .program = xstrdup("egress 0.1.0")};
    r->outputs = xcalloc(2, sizeof(*r->outputs));
    r->outputs[0] = (struct receipt_output){.name = xstrdup("../a\n.json"),
                                            .key = xstrdup(ID "/a.json"),
                                            .size = UINT64_C(1) << 40,
                                            .has_crc32c = true,
                                            .crc32c = 0xe3069283,
                                            .content_type = xstrdup("application/json"),
                                            .validator = xstrdup("\"v1\""),
                                            .etag = xstrdup("\"e-2\"")};
    r->outputs[1] = (struct receipt_output){.name = xstrdup(""), .key = xstrdup("k")};
}

static void is_written_as_documented(void **state)
{
    (void)state;
    struct receipt r;
    struct err err = {0};
    struct buf text = BUF_INIT(RECEIPT_BYTES_MAX);
    fill(&r);
    assert_int_equal(receipt_format(&r, &text, &err), 0);
    assert_string_equal(buf_str(&text), sample);
    buf_release(&text);
    receipt_release(&r);
    assert_null(r.outputs);
}

static void is_read_back(void **state)
{
    (void)state;
    struct receipt r;
    struct err err = {0};
    assert_int_equal(receipt_parse(sample, strlen(sample), "voxel51", ID, &r, &err), 0);
    assert_int_equal(r.state, RECEIPT_STORED);
    assert_string_equal(r.source, "voxel51");
    assert_string_equal(r.job, ID);
    assert_string_equal(r.job_name, "clip \"1\"");
    assert_true(r.completed_ms == INT64_C(1579532982000));
    assert_true(r.expires_ms == INT64_C(1579791600000));
    assert_true(r.stored_ms == INT64_C(1579533001250));
    assert_string_equal(r.program, "egress 0.1.0");
    assert_int_equal(r.n_outputs, 2);
    assert_string_equal(r.outputs[0].name, "../a\n.json");
    assert_string_equal(r.outputs[0].key, ID "/a.json");
    assert_true(r.outputs[0].size == UINT64_C(1) << 40);
    assert_true(r.outputs[0].has_crc32c);
    assert_int_equal(r.outputs[0].crc32c, 0xe3069283);
    assert_string_equal(r.outputs[0].content_type, "application/json");
    assert_string_equal(r.outputs[0].validator, "\"v1\"");
    assert_string_equal(r.outputs[0].etag, "\"e-2\"");
    assert_false(r.outputs[1].has_crc32c);
    assert_null(r.outputs[1].content_type);
    receipt_release(&r);
}

static void little_is_enough_and_more_is_ignored(void **state)
{
    (void)state;
    static const char text[] =
        "{\"version\":1,\"state\":\"stored\",\"source\":\"voxel51\",\"job\":\"j\",\"job_name\":"
        "null,"
        "\"outputs\":[{\"name\":\"n\",\"key\":\"k\",\"size\":1,\"crc32c\":null,\"new\":[]}],"
        "\"stored\":\"2020-01-20T15:10:01Z\",\"program\":\"p\",\"more\":{\"a\":1}}";
    struct receipt r;
    struct err err = {0};
    assert_int_equal(receipt_parse(text, strlen(text), "voxel51", "j", &r, &err), 0);
    assert_null(r.job_name);
    assert_true(r.expires_ms == 0 && r.completed_ms == 0);
    assert_false(r.outputs[0].has_crc32c);
    receipt_release(&r);
}

static void refused_bytes(const char *text, size_t len, const char *says)
{
    struct receipt r;
    struct err err = {0};
    assert_int_equal(receipt_parse(text, len, "voxel51", ID, &r, &err), -1);
    assert_int_equal(err.code, ERR_INPUT);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    assert_int_equal(strncmp(err.msg, "receipt .egress/voxel51/" ID ".json: ", 66), 0);
    assert_non_null(strstr(err.msg, "writes it anew"));
}

static void refused(const char *text, const char *says)
{
    refused_bytes(text, strlen(text), says);
}

/* The sample with one member of it, or of its first output, replaced; NULL takes it out. */
static void refused_with(bool in_output, const char *name, const char *json, const char *says)
{
    json_t *root = json_loads(sample, 0, NULL);
    json_t *object = in_output ? json_array_get(json_object_get(root, "outputs"), 0) : root;
    if (json)
        assert_int_equal(json_object_set_new(object, name, json_loads(json, JSON_DECODE_ANY, NULL)),
                         0);
    else
        assert_int_equal(json_object_del(object, name), 0);
    char *text = json_dumps(root, 0);
    refused(text, says);
    free(text);
    json_decref(root);
}

static void not_a_receipt(void **state)
{
    (void)state;
    refused("", "not JSON: ends too early");
    refused_bytes(NULL, 0, "not JSON");
    refused("<html>", "not JSON");
    refused("[]", "\"version\"");
    refused("{}", "\"version\"");
    refused_bytes(sample, strlen(sample) - 2, "not JSON: ends too early");
    refused("{\"version\":1,\"version\":1}", "given twice");
}

static void of_another_job(void **state)
{
    (void)state;
    refused_with(false, "job", "\"other\"", "it is of job other of voxel51, not of job " ID);
    refused_with(false, "job", "7", "it is of job (none)");
    refused_with(false, "job", NULL, "it is of job (none)");
    refused_with(false, "source", "\"elsewhere\"", "of elsewhere, not of job");
    refused_with(false, "source", NULL, "of (none), not of job");
}

static void of_another_version_or_state(void **state)
{
    (void)state;
    refused_with(false, "version", "2", "version 2, but this egress reads version 1");
    refused_with(false, "version", "0", "version 0");
    refused_with(false, "version", "\"1\"", "\"version\" is not a number");
    refused_with(false, "version", "1.0", "\"version\" is not a number");
    refused_with(false, "state", "\"elsewhere\"", "\"state\" is not \"stored\"");
    refused_with(false, "state", NULL, "\"state\" is not \"stored\"");
}

static void wrong_members(void **state)
{
    (void)state;
    refused_with(false, "job_name", "7", "\"job_name\" is not a string");
    refused_with(false, "program", NULL, "\"program\" is missing");
    refused_with(false, "stored", NULL, "\"stored\" is missing");
    refused_with(false, "stored", "\"yesterday\"", "\"stored\" is \"yesterday\"");
    refused_with(false, "completed", "1579532982", "\"completed\" is not a string");
    refused_with(false, "expires", "\"\"", "\"expires\" is \"\"");
    refused_with(false, "outputs", NULL, "\"outputs\" is not a list");
    refused_with(false, "outputs", "{}", "\"outputs\" is not a list");
    refused_with(false, "outputs", "[]", "\"outputs\" is not a list");
    refused_with(false, "outputs", "[7]", "output 1: not an object");
    refused_with(true, "name", NULL, "output 1: \"name\" is missing");
    refused_with(true, "key", NULL, "\"key\" is missing");
    refused_with(true, "key", "[]", "\"key\" is not a string");
    refused_with(true, "key", "\"\"", "\"key\" is not the key");
    refused_with(true, "key", "\".egress/voxel51/x.json\"", "\"key\" is not the key");
    refused_with(true, "size", NULL, "\"size\" is not a number");
    refused_with(true, "size", "-1", "\"size\" is not a number");
    refused_with(true, "size", "1.5", "\"size\" is not a number");
    refused_with(true, "size", "\"1\"", "\"size\" is not a number");
    refused_with(true, "crc32c", "\"4waSgw\"", "\"crc32c\" is \"4waSgw\"");
    refused_with(true, "crc32c", "0", "\"crc32c\" is not a string");
    refused_with(true, "content_type", "false", "\"content_type\" is not a string");
    refused_with(true, "etag", "{}", "\"etag\" is not a string");
}

static void too_much(void **state)
{
    (void)state;
    char *big = xcalloc(RECEIPT_BYTES_MAX + 2, 1);
    memset(big, ' ', RECEIPT_BYTES_MAX + 1);
    memcpy(big, sample, strlen(sample));
    struct receipt r;
    struct err err = {0};
    assert_int_equal(receipt_parse(big, RECEIPT_BYTES_MAX, "voxel51", ID, &r, &err), 0);
    receipt_release(&r);
    refused_bytes(big, RECEIPT_BYTES_MAX + 1, "expected at most 1048576");
    memset(big, '[', RECEIPT_BYTES_MAX);
    refused_bytes(big, RECEIPT_BYTES_MAX, "nested too deep");
    /* One output too many */
    struct buf list = BUF_INIT(RECEIPT_BYTES_MAX);
    buf_str_append(&list, "[");
    for (int i = 0; i < RECEIPT_OUTPUTS_MAX; i++)
        buf_str_append(&list, "{\"name\":\"n\",\"key\":\"k\",\"size\":1},");
    buf_str_append(&list, "7]");
    refused_with(false, "outputs", buf_str(&list), "not a list of 1 to 10000");
    buf_release(&list);
    free(big);
}

static void one_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct receipt r;
    struct err err = {0};
    fill(&r);
    struct buf text = BUF_INIT(strlen(sample) - 1);
    assert_int_equal(receipt_format(&r, &text, &err), -1);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    buf_release(&text);
    receipt_release(&r);
}

static void keys(void **state)
{
    (void)state;
    char *key = receipt_key("voxel51", ID);
    assert_string_equal(key, ".egress/voxel51/" ID ".json");
    char job[JOB_ID_MAX + 1];
    assert_true(receipt_key_job(key, "voxel51", job));
    assert_string_equal(job, ID);
    assert_false(receipt_key_job(key, "other", job));
    free(key);
    static const char *const others[] = {"",
                                         ".egress/",
                                         ".egress/voxel51/",
                                         ".egress/voxel51/.json",
                                         ".egress/voxel51/a",
                                         ".egress/voxel51/a.jso",
                                         ".egress/voxel51/a/b.json",
                                         "x.egress/voxel51/a.json",
                                         ".egress/voxel52/a.json",
                                         ".egress/voxel51/a.json.tmp"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(receipt_key_job(others[i], "voxel51", job));
    char id[JOB_ID_MAX + 2];
    memset(id, 'a', sizeof(id));
    id[JOB_ID_MAX + 1] = '\0';
    key = receipt_key("voxel51", id);
    assert_false(receipt_key_job(key, "voxel51", job));
    free(key);
    id[JOB_ID_MAX] = '\0';
    key = receipt_key("voxel51", id);
    assert_true(receipt_key_job(key, "voxel51", job));
    assert_string_equal(job, id);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_written_as_documented),
        cmocka_unit_test(is_read_back),
        cmocka_unit_test(little_is_enough_and_more_is_ignored),
        cmocka_unit_test(not_a_receipt),
        cmocka_unit_test(of_another_job),
        cmocka_unit_test(of_another_version_or_state),
        cmocka_unit_test(wrong_members),
        cmocka_unit_test(too_much),
        cmocka_unit_test(one_that_does_not_fit_is_told),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
