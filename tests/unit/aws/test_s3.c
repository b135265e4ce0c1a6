/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 calls over real sockets against a scripted server: what is sent, and what each answer
 * means. That signatures are right, Ceph's gateway tests (tests/e2e).
 */
#include "aws/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/crc32c.h"
#include "tests/unit/s3_bench.h"

#define XML          "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define COMPLETED(etag)                                                                            \
    XML "<CompleteMultipartUploadResult><ETag>" etag "</ETag></CompleteMultipartUploadResult>"

/* ---- HeadObject ---- */

static void test_head(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\nContent-Length: 5368709121\r\nETag: \"abc\"\r\n"
         "Last-Modified: Mon, 20 Jan 2020 15:09:42 GMT\r\n"
         "x-amz-checksum-crc32c: yZRlqg==\r\nx-amz-checksum-type: FULL_OBJECT\r\n"
         "x-amz-meta-egress-source: voxel51\r\nx-amz-meta-egress-job: job-1\r\n",
         ""},
        {"200 OK\r\nContent-Length: 1\r\nETag: \"abc\"\r\nx-amz-checksum-crc32c: yZRlqg==-2\r\n"
         "x-amz-meta-egress-source: a b\r\nx-amz-meta-egress-job: ../../etc\r\n",
         ""},
        {"200 OK\r\nContent-Length: 1\r\nETag: \"abc\"\r\nx-amz-checksum-crc32c: yZRlqg==\r\n"
         "x-amz-checksum-type: COMPOSITE\r\n",
         ""},
        {"404 Not Found\r\n", ""},
        {"200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n", ""},
    };
    struct s3_bench b = {0};
    struct s3_info info = {0};
    s3_bench_open(&b, answers, 5);
    s3_head(b.s3, "a b+c/\xc3\xa9/../x", &info, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_int_equal(info.size, 5368709121);
    assert_int_equal(info.modified_ms, 1579532982000);
    assert_string_equal(info.etag, "\"abc\"");
    assert_true(info.has_crc32c);
    assert_int_equal(info.crc32c, 0xc99465aa);
    assert_string_equal(info.source, "voxel51");
    assert_string_equal(info.job, "job-1");
    assert_string_equal(info.attempt, "");
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_false(info.has_crc32c);
    assert_string_equal(info.source, "");
    assert_string_equal(info.job, "");
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_false(info.has_crc32c);
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_NOT_FOUND, "s3://buck/k");
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_DESTINATION, "is it an S3 service?");
    s3_bench_stop(&b, 5);
    s3_bench_sent(&b, 0, "HEAD /buck/a%20b%2Bc/%C3%A9/../x HTTP/1.1\r\n");
    s3_bench_sent(&b, 0, "x-amz-checksum-mode: ENABLED\r\n");
    s3_bench_sent(&b, 0,
                  "/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-checksum-mode;"
                  "x-amz-content-sha256;x-amz-date, Signature=");
    s3_bench_free(&b);
}

/* ---- GetObject ---- */

static void test_get(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\nETag: \"abc\"\r\n", "hello"},
        {"404 Not Found\r\n", XML "<Error><Code>NoSuchKey</Code></Error>"},
        {"200 OK\r\nContent-Type: text/html\r\n", "<html>"},
        {"200 OK\r\nETag: \"abc\"\r\n", "hello"},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 4);
    s3_get(b.s3, "k", s3_bench_data, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(buf_str(&b.seen), "hello");
    s3_get(b.s3, "k", s3_bench_data, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_NOT_FOUND, "s3://buck/k");
    s3_get(b.s3, "k", s3_bench_data, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_DESTINATION, "answered 200 with text/html");
    assert_string_equal(buf_str(&b.seen), "hello");
    b.stop_early = true;
    s3_get(b.s3, "k", s3_bench_data, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_CANCELLED, "");
    s3_bench_close(&b, 4);
}

/* ---- PutObject ---- */

static const struct s3_object object = {
    .key = "k",
    .content_type = "video/mp4",
    .content_encoding = "gzip",
    .if_none_match = true,
    .source = "voxel51",
    .job = "job-1",
    .output = "a b/\xc3\xa9\n.json",
    .attempt = "0123456789abcdef0123456789abcdef",
};

static void test_put(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\nETag: \"abc\"\r\n", ""},
        {"200 OK\r\nETag: \"abc\"\r\n", ""},
        {"412 Precondition Failed\r\n", XML "<Error><Code>PreconditionFailed</Code></Error>"},
        {"200 OK\r\n", ""},
        {"200 OK\r\nETag: \"a\tb\"\r\n", ""},
    };
    struct s3_bench b = {
        .config = {.sse = "aws:kms", .sse_kms_key_id = "key-1", .storage_class = "STANDARD_IA"}};
    char etag[S3_ETAG_SIZE] = "";
    s3_bench_open(&b, answers, 5);
    s3_put(b.s3, &object, "hello", 5, crc32c(0, "hello", 5), etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "\"abc\"");
    struct s3_object replacing = {.key = "k", .if_match = "\"old\""};
    s3_put(b.s3, &replacing, "", 0, 0, NULL, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_put(b.s3, &object, "hello", 5, 0, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_EXISTS, "s3://buck/k is taken");
    s3_put(b.s3, &object, "hello", 5, 0, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "no ETag");
    s3_put(b.s3, &object, "hello", 5, 0, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "ETag is malformed");
    s3_bench_stop(&b, 5);
    static const char *const sent[] = {
        "PUT /buck/k HTTP/1.1\r\n",
        "\r\n\r\nhello",
        "Content-Length: 5\r\n",
        "content-type: video/mp4\r\n",
        "content-encoding: gzip\r\n",
        "if-none-match: *\r\n",
        "x-amz-checksum-crc32c: mnG7TA==\r\n",
        "x-amz-meta-egress-source: voxel51\r\n",
        "x-amz-meta-egress-job: job-1\r\n",
        "x-amz-meta-egress-output: a%20b%2F%C3%A9%0A.json\r\n",
        "x-amz-meta-egress-attempt: 0123456789abcdef0123456789abcdef\r\n",
        "x-amz-server-side-encryption: aws:kms\r\n",
        "x-amz-server-side-encryption-aws-kms-key-id: key-1\r\n",
        "x-amz-storage-class: STANDARD_IA\r\n",
    };
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
        s3_bench_sent(&b, 0, sent[i]);
    /* over http the body is signed */
    s3_bench_sent(&b, 0, "x-amz-content-sha256: " HELLO_SHA256 "\r\n");
    s3_bench_sent(&b, 1, "if-match: \"old\"\r\n");
    s3_bench_sent(&b, 1, "Content-Length: 0\r\n");
    s3_bench_not_sent(&b, 1, "if-none-match");
    s3_bench_not_sent(&b, 1, "x-amz-meta-");
    s3_bench_not_sent(&b, 1, "ontent-type");
    s3_bench_free(&b);
}

static void test_put_plain(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{"200 OK\r\nETag: \"abc\"\r\n", ""}};
    struct s3_bench b = {.config = {.no_checksum = true, .unsigned_payload = true}};
    struct s3_object odd = {.key = "k", .content_type = "text/\xc3\xa9"};
    s3_bench_open(&b, answers, 1);
    s3_put(b.s3, &odd, "hello", 5, 1, NULL, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_bench_stop(&b, 1);
    s3_bench_sent(&b, 0, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n");
    s3_bench_not_sent(&b, 0, "x-amz-checksum");
    s3_bench_not_sent(&b, 0, "ontent-type");
    s3_bench_free(&b);
}

static void test_refused_before_sending(void **state)
{
    (void)state;
    struct s3_bench b = {0};
    struct s3_info info;
    char key[S3_KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[S3_KEY_MAX + 1] = '\0';
    s3_bench_open(&b, NULL, 0);
    s3_head(b.s3, key, &info, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_INPUT, "has 1025 bytes, S3's limit is 1024");
    s3_head(b.s3, "", &info, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_INPUT, "empty");
    s3_head(b.s3, "a\xff", &info, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_INPUT, "not UTF-8");
    struct s3_object replacing = {.key = "k", .if_match = ""};
    s3_put(b.s3, &replacing, "", 0, 0, NULL, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_INPUT, "no ETag to compare with");
    s3_bench_close(&b, 0);
}

static void test_cancel(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{"200 OK\r\nETag: \"abc\"\r\n", ""}};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 1);
    struct s3_call *call = s3_put(b.s3, &object, "hello", 5, 0, NULL, s3_bench_done, &b);
    s3_cancel(call);
    s3_cancel(call);
    s3_bench_fails(&b, ERR_CANCELLED, "PutObject");
    s3_bench_close(&b, 0);
}

/* ---- multipart ---- */

static void test_create(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", XML "<InitiateMultipartUploadResult><Bucket>buck</Bucket><UploadId>2~a/b+c"
                           "</UploadId></InitiateMultipartUploadResult>"},
        {"200 OK\r\n", XML "<InitiateMultipartUploadResult/>"},
        {"200 OK\r\nContent-Type: text/html\r\n", "<html><br></html>"},
        {"200 OK\r\n", XML "<Error><Code>AccessDenied</Code></Error>"},
    };
    struct s3_bench b = {0};
    struct s3_created created;
    s3_bench_open(&b, answers, 4);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(created.upload_id, "2~a/b+c");
    assert_int_equal(created.lost, 0);
    free(created.upload_id);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "UploadId");
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_DESTINATION, "is it an S3 service?");
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_AUTH, "AccessDenied");
    assert_null(created.upload_id);
    s3_bench_stop(&b, 4);
    s3_bench_sent(&b, 0, "POST /buck/k?uploads= HTTP/1.1\r\n");
    s3_bench_sent(&b, 0, "x-amz-checksum-algorithm: CRC32C\r\n");
    s3_bench_sent(&b, 0, "x-amz-checksum-type: FULL_OBJECT\r\n");
    s3_bench_sent(&b, 0, "x-amz-meta-egress-attempt: ");
    s3_bench_sent(&b, 0, "content-type: video/mp4\r\n");
    s3_bench_not_sent(&b, 0, "if-none-match");
    s3_bench_free(&b);
}

static void test_part(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\nETag: \"p7\"\r\n", ""},
        {"200 OK\r\n", ""},
        {"404 Not Found\r\n", XML "<Error><Code>NoSuchUpload</Code></Error>"},
    };
    struct s3_bench b = {0};
    char etag[S3_ETAG_SIZE] = "";
    s3_bench_open(&b, answers, 3);
    s3_upload_part(b.s3, "k", "2~a/b+c", 7, "hello", 5, crc32c(0, "hello", 5), etag, s3_bench_done,
                   &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "\"p7\"");
    s3_upload_part(b.s3, "k", "u", 8, "hello", 5, 0, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "UploadPart: the answer has no ETag");
    s3_upload_part(b.s3, "k", "u", 8, "hello", 5, 0, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "upload is gone");
    s3_bench_stop(&b, 3);
    s3_bench_sent(&b, 0, "PUT /buck/k?partNumber=7&uploadId=2~a%2Fb%2Bc HTTP/1.1\r\n");
    s3_bench_sent(&b, 0, "x-amz-checksum-crc32c: mnG7TA==\r\n");
    s3_bench_free(&b);
}

#define PART(number, etag, checksum)                                                               \
    "<Part><PartNumber>" number "</PartNumber><ETag>&quot;" etag "&quot;</ETag>" checksum "</"     \
    "Part>"

static char first[] = "\"a&1\"", second[] = "\"b2\"";
static const struct s3_part stored[] = {{first, true, 0x12345678}, {second, false, 0}};
static const struct s3_parts parts = {
    .upload_id = "u", .parts = stored, .n = 2, .size = 6000000, .crc32c = 0xc99465aa};

static void test_complete(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", COMPLETED("&quot;whole-2&quot;")},
        {"200 OK\r\n", COMPLETED("")}, /* Ceph */
        {"200 OK\r\n", "  \n\n" COMPLETED("w")},
    };
    struct s3_bench b = {0};
    char etag[S3_ETAG_SIZE] = "";
    s3_bench_open(&b, answers, 3);
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "\"whole-2\"");
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "");
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "w");
    s3_bench_stop(&b, 3);
    static const char *const sent[] = {
        "POST /buck/k?uploadId=u HTTP/1.1\r\n",
        "if-none-match: *\r\n",
        "x-amz-checksum-crc32c: yZRlqg==\r\n",
        "x-amz-checksum-type: FULL_OBJECT\r\n",
        "x-amz-mp-object-size: 6000000\r\n",
        PART("1", "a&amp;1", "<ChecksumCRC32C>EjRWeA==</ChecksumCRC32C>")
            PART("2", "b2", "") "</CompleteMultipartUpload>",
    };
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
        s3_bench_sent(&b, 0, sent[i]);
    s3_bench_free(&b);
}

static void test_complete_fails_inside_200(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        /* again until it works */
        {"200 OK\r\n", XML "<Error><Code>InternalError</Code></Error>"},
        {"200 OK\r\n", XML "<Error><Code>SlowDown</Code></Error>"},
        {"200 OK\r\n", COMPLETED("w")},
        /* no repetition will help */
        {"200 OK\r\n", XML "<Error><Code>AccessDenied</Code></Error>"},
        {"200 OK\r\n", XML "<Error><Code>InvalidPart</Code></Error>"},
        {"200 OK\r\n", XML "<Something/>"},
        {"200 OK\r\n", ""},
    };
    struct s3_bench b = {0};
    char etag[S3_ETAG_SIZE] = "";
    s3_bench_open(&b, answers, 7);
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "w");
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_AUTH, "AccessDenied");
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "InvalidPart");
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "no CompleteMultipartUploadResult");
    s3_complete_upload(b.s3, &object, &parts, etag, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "no XML");
    s3_bench_close(&b, 7);
}

static void test_complete_gives_up(void **state)
{
    (void)state;
    static const struct scripted_answer busy = {"200 OK\r\n",
                                                XML "<Error><Code>InternalError</Code></Error>"};
    const struct scripted_answer answers[] = {busy, busy, busy, busy};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 4);
    s3_complete_upload(b.s3, &object, &parts, NULL, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_HTTP, "InternalError");
    assert_true(err_is_retryable(&b.err));
    s3_bench_close(&b, 4);
}

static void test_no_checksums(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", XML "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                           "</InitiateMultipartUploadResult>"},
        {"200 OK\r\nETag: \"p\"\r\n", ""},
        {"200 OK\r\n", COMPLETED("w")},
        {"200 OK\r\nContent-Length: 1\r\nETag: \"p\"\r\n", ""},
    };
    struct s3_bench b = {.config = {.no_checksum = true}};
    struct s3_created created;
    char etag[S3_ETAG_SIZE];
    struct s3_info info;
    s3_bench_open(&b, answers, 4);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_ok(&b);
    free(created.upload_id);
    s3_upload_part(b.s3, "k", "u", 1, "hello", 5, 0, etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_complete_upload(b.s3, &object, &parts, NULL, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_bench_stop(&b, 4);
    for (size_t i = 0; i < 4; i++) {
        s3_bench_not_sent(&b, i, "x-amz-checksum");
        s3_bench_not_sent(&b, i, "x-amz-mp-object-size");
    }
    s3_bench_free(&b);
}

static void test_abort(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"204 No Content\r\nContent-Length: 0\r\n", ""},
        {"404 Not Found\r\n", XML "<Error><Code>NoSuchUpload</Code></Error>"},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 2);
    s3_abort_upload(b.s3, "k", "u", s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_abort_upload(b.s3, "k", "u", s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "gone");
    s3_bench_stop(&b, 2);
    s3_bench_sent(&b, 0, "DELETE /buck/k?uploadId=u HTTP/1.1\r\n");
    s3_bench_free(&b);
}

/* ---- ListObjectsV2 ---- */

#define PAGE(more, keys)                                                                           \
    XML "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" keys more           \
        "</ListBucketResult>"
#define KEY(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"
#define URL_KEYS "<EncodingType>url</EncodingType>"
#define MORE(token)                                                                                \
    "<IsTruncated>true</IsTruncated><NextContinuationToken>" token "</NextContinuationToken>"

static void test_list(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", PAGE(URL_KEYS MORE("t=1/+"), KEY("p/a+b%2Bc") KEY("p/%C3%A9%0A%25"))},
        {"200 OK\r\n", PAGE(URL_KEYS, KEY("p/%00") KEY("p/%zz") KEY("p/last"))},
        {"200 OK\r\n", PAGE("<IsTruncated>false</IsTruncated>", KEY("a+b%20c"))},
        {"200 OK\r\n", PAGE("", "")},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 4);
    s3_list(b.s3, "p/", s3_bench_key, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(buf_str(&b.seen), "p/a b+c|p/\xc3\xa9\n%|p/last|");
    buf_clear(&b.seen);
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(buf_str(&b.seen), "a+b%20c|"); /* the store did not encode */
    buf_clear(&b.seen);
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(buf_str(&b.seen), "");
    s3_bench_stop(&b, 4);
    s3_bench_sent(&b, 0, "GET /buck?list-type=2&encoding-type=url&prefix=p%2F HTTP/1.1\r\n");
    s3_bench_sent(&b, 1, "&prefix=p%2F&continuation-token=t%3D1%2F%2B HTTP/1.1\r\n");
    s3_bench_sent(&b, 2, "GET /buck?list-type=2&encoding-type=url HTTP/1.1\r\n");
    s3_bench_free(&b);
}

static void test_list_that_makes_no_sense(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", PAGE("<IsTruncated>true</IsTruncated>", KEY("a"))},
        {"200 OK\r\n", PAGE(MORE("t"), KEY("a"))},
        {"200 OK\r\n", PAGE(MORE("t"), KEY("a"))},
        {"200 OK\r\n", XML "<html></html>"},
        {"404 Not Found\r\n", XML "<Error><Code>NoSuchBucket</Code><Message/></Error>"},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 5);
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "does not say how to go on");
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "in a circle");
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_DESTINATION, "is it an S3 service?");
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_DESTINATION, "bucket buck does not exist at http://127.0.0.1:");
    s3_bench_close(&b, 5);
}

/* Another token each time, and never a key. */
static void test_list_without_an_end(void **state)
{
    (void)state;
    enum { ENOUGH = 1500 };
    static struct scripted_answer answers[ENOUGH];
    for (size_t i = 0; i < ENOUGH; i++)
        answers[i] = (struct scripted_answer){
            "200 OK\r\n", i % 2 ? PAGE(MORE("t1"), "") : PAGE(MORE("t2"), ""), SCRIPTED_KEEP};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, ENOUGH);
    s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_PROTOCOL, "does not come to an end");
    s3_bench_close(&b, 1000);
}

static void test_list_cancelled_by_its_receiver(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", PAGE(MORE("t"), KEY("a") KEY("b"))},
    };
    struct s3_bench b = {.stop_early = true};
    s3_bench_open(&b, answers, 1);
    b.call = s3_list(b.s3, "", s3_bench_key, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_CANCELLED, "ListObjectsV2");
    assert_string_equal(buf_str(&b.seen), "a|");
    s3_bench_close(&b, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_put_plain),
        cmocka_unit_test(test_refused_before_sending),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_part),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_complete_fails_inside_200),
        cmocka_unit_test(test_complete_gives_up),
        cmocka_unit_test(test_no_checksums),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_that_makes_no_sense),
        cmocka_unit_test(test_list_without_an_end),
        cmocka_unit_test(test_list_cancelled_by_its_receiver),
    };
    return cmocka_run_group_tests(tests, s3_bench_set_up, NULL);
}
