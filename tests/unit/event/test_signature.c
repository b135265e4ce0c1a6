/* SPDX-License-Identifier: Apache-2.0
 *
 * signature: published vectors, what is refused and what is said of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/secret.h"
#include "event/signature.h"

#define TOKEN "abcDEF0123456789-._~"
#define OTHER "0123456789abcdefOTHER"

/* Of the Standard Webhooks reference libraries. */
#define WHSEC     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SW_ID     "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define SW_AT     "1614265330"
#define SW_BODY   "{\"test\": 2432232314}"
#define SW_SIGNED "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define SW_NOW    (INT64_C(1614265330) * 1000)

/* Of GitHub's documentation. */
#define HUB      "It's a Secret to Everybody"
#define HUB_BODY "Hello, World!"
#define HUB_HEX  "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

static struct signature_keys *keys_of(const char *text)
{
    struct err err = {0};
    struct signature_keys *keys = signature_keys_parse(text, strlen(text), "keys", &err);
    if (!keys)
        fail_msg("%s", err.msg);
    return keys;
}

static void no_keys(const char *text, size_t len, const char *says)
{
    struct err err = {0};
    assert_null(signature_keys_parse(text, len, "keys", &err));
    if (err.code != ERR_CONFIG || !strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

static void passes(const char *text, struct signature_given given)
{
    struct err err = {0};
    struct signature_keys *keys = keys_of(text);
    given.body_len = given.body ? strlen(given.body) : 0;
    if (signature_check(keys, &given, SW_NOW, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(err.code, ERR_NONE);
    signature_keys_free(keys);
}

static void fails_at(const char *text, struct signature_given given, int64_t now_ms,
                     const char *says)
{
    struct err err = {0};
    struct signature_keys *keys = keys_of(text);
    given.body_len = given.body ? strlen(given.body) : 0;
    assert_int_equal(signature_check(keys, &given, now_ms, &err), -1);
    assert_int_equal(err.code, ERR_AUTH);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    assert_null(strstr(err.msg, TOKEN));
    assert_null(strstr(err.msg, &WHSEC[6]));
    signature_keys_free(keys);
}

static void fails(const char *text, struct signature_given given, const char *says)
{
    fails_at(text, given, SW_NOW, says);
}

static struct signature_given standard(const char *signature)
{
    return (struct signature_given){.webhook_id = SW_ID,
                                    .webhook_timestamp = SW_AT,
                                    .webhook_signature = signature,
                                    .body = SW_BODY};
}

static void tokens(void **state)
{
    (void)state;
    static const char file[] = "token " OTHER "\n# the next one\ntoken\t" TOKEN "  \r\n";
    passes(file, (struct signature_given){.query_token = TOKEN});
    passes(file, (struct signature_given){.query_token = OTHER});
    passes(file, (struct signature_given){.header_token = TOKEN});
    passes(file, (struct signature_given){.authorization = "Bearer " TOKEN});
    passes(file, (struct signature_given){.authorization = "bearer  " TOKEN});
    passes(file, (struct signature_given){.query_token = "wrong", .header_token = TOKEN});
    static const char *const wrong[] = {
        "", "a", TOKEN "x", "abcDEF0123456789-._", TOKEN TOKEN, "abcDEF0123456789-._x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        fails(file, (struct signature_given){.query_token = wrong[i]}, "not one of our tokens");
    fails(file, (struct signature_given){.authorization = TOKEN}, "not one of our tokens");
    fails(file, (struct signature_given){.authorization = "Basic " TOKEN}, "not one of our");
    fails(
        file, (struct signature_given){0},
        "neither token nor signature; expected ?token=TOKEN behind the URL, x-egress-token: TOKEN");
    fails("token " TOKEN, standard(SW_SIGNED), "neither token nor signature");
}

static void standard_webhooks(void **state)
{
    (void)state;
    static const char file[] = "standard-webhooks " WHSEC;
    passes(file, standard(SW_SIGNED));
    passes(file, standard("v1a,AAAA v2,x  v1,AAAA " SW_SIGNED " v1,"));
    passes("standard-webhooks whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" /* being exchanged */
           "standard-webhooks " WHSEC,
           standard(SW_SIGNED));
    static const char wrong[] = "webhook-signature is not that of one of our secrets";
    fails("standard-webhooks whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAA", standard(SW_SIGNED), wrong);
    fails(file, standard(""), wrong);
    fails(file, standard("v1"), wrong);
    fails(file, standard("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE"), wrong);
    fails(file, standard("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), wrong);
    struct signature_given given = standard(SW_SIGNED);
    given.body = "{\"test\": 2432232315}";
    fails(file, given, wrong);
    given = standard(SW_SIGNED);
    given.webhook_id = "msg_p5jXN8AQM9LWM0D4loKWxJel";
    fails(file, given, wrong);
    given = standard(SW_SIGNED);
    given.webhook_timestamp = "1614265331";
    fails(file, given, wrong);
    given.webhook_timestamp = "yesterday";
    fails(file, given, "webhook-timestamp: expected seconds");
    given.webhook_timestamp = NULL;
    fails(file, given, "expected webhook-id and webhook-timestamp");
    given = standard(SW_SIGNED);
    given.webhook_id = "";
    fails(file, given, "expected webhook-id and webhook-timestamp");
    given = standard(NULL);
    fails(file, given, "neither token nor signature; expected a signature as of Standard Webhooks");
}

static void old_and_early_ones(void **state)
{
    (void)state;
    static const char file[] = "standard-webhooks " WHSEC;
    struct signature_keys *keys = keys_of(file);
    struct signature_given given = standard(SW_SIGNED);
    struct err err = {0};
    given.body_len = strlen(SW_BODY);
    const int64_t edge = SIGNATURE_TOLERANCE_S * INT64_C(1000);
    assert_int_equal(signature_check(keys, &given, SW_NOW + edge, &err), 0);
    assert_int_equal(signature_check(keys, &given, SW_NOW - edge, &err), 0);
    signature_keys_free(keys);
    fails_at(file, given, SW_NOW + edge + 1000, "301 seconds old; expected at most 300");
    fails_at(file, given, SW_NOW - edge - 1000, "301 seconds ahead; expected at most 300");
}

static void hub_signatures(void **state)
{
    (void)state;
    static const char file[] = "hub-sha256 " HUB "\n";
    struct signature_given given = {.hub_signature = "sha256=" HUB_HEX, .body = HUB_BODY};
    passes(file, given);
    passes("hub-sha256   " HUB "\r\n", given);
    given.hub_signature = "sha256="
                          "757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17";
    passes(file, given);
    fails("hub-sha256 " HUB " \n", given, "X-Hub-Signature-256 is not that of one of our secrets");
    static const char *const wrong[] = {"",
                                        "sha256=",
                                        HUB_HEX,
                                        "sha1=" HUB_HEX,
                                        "sha256=" HUB_HEX "0",
                                        "sha256=857107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f"
                                        "4379c8b043e17"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        given.hub_signature = wrong[i];
        fails(file, given, "X-Hub-Signature-256 is not that of one of our secrets");
    }
    given.hub_signature = "sha256=" HUB_HEX;
    given.body = "Hello, World?";
    fails(file, given, "X-Hub-Signature-256 is not");
    fails(file, (struct signature_given){0}, "expected X-Hub-Signature-256: sha256=HEX");
}

/* Any way that is configured will do, whatever else comes with it. */
static void several_ways(void **state)
{
    (void)state;
    static const char file[] = "token " TOKEN "\nstandard-webhooks " WHSEC "\nhub-sha256 " HUB "\n";
    struct signature_given given = standard(SW_SIGNED);
    given.query_token = "wrong";
    passes(file, given);
    given = standard("v1,wrong");
    given.query_token = TOKEN;
    passes(file, given);
    given = standard("v1,wrong");
    given.hub_signature = "sha256=" HUB_HEX;
    given.body = HUB_BODY;
    passes(file, given);
    fails(file, (struct signature_given){0}, "; or a signature as of Standard Webhooks");
}

static void files_that_are_none(void **state)
{
    (void)state;
    static const char *const none[][2] = {
        {"", "keys: no secret in it; expected \"token VALUE\""},
        {"# token " TOKEN "\n\n \t\n", "no secret in it"},
        {"\n" TOKEN "\n", "keys, line 2: expected \"token VALUE\""},
        {"token\n", "keys, line 1: a secret of 0 bytes; expected 16 to 512"},
        {"token sixteen-bytes-xy\ntoken fourteen-bytes\n", "line 2: a secret of 14 bytes"},
        {"token with spaces in it 0123456789\n", "other than A-Z a-z 0-9"},
        {"token 0123456789abcdef+/==\n", "other than A-Z a-z 0-9"},
        {"tokens " TOKEN "\n", "line 1: expected"},
        {"standard-webhooks " TOKEN "\n", "begins with whsec_"},
        {"standard-webhooks whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS\n", "expected base64 of 16"},
        {"standard-webhooks whsec_AAAA\n", "a secret of 3 bytes"},
        {"hub-sha256 short\n", "a secret of 5 bytes"},
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        no_keys(none[i][0], strlen(none[i][0]), none[i][1]);
    no_keys("token " TOKEN "\0x\n", sizeof("token " TOKEN "\0x\n") - 1, "a NUL character");
}

static void many_and_long_ones(void **state)
{
    (void)state;
    struct buf text = BUF_INIT((size_t)64 * 1024);
    for (int i = 0; i < SIGNATURE_KEYS_MAX; i++)
        buf_printf(&text, "token number-%d-0123456789\n", i);
    passes(buf_str(&text), (struct signature_given){.query_token = "number-31-0123456789"});
    buf_str_append(&text, "token one-too-many-0123456789\n");
    no_keys(buf_str(&text), text.len, "line 33: expected at most 32 secrets");
    buf_clear(&text);
    buf_str_append(&text, "token ");
    for (int i = 0; i < SIGNATURE_SECRET_MAX; i++)
        buf_byte(&text, 'y');
    passes(buf_str(&text), (struct signature_given){.query_token = buf_str(&text) + 6});
    buf_byte(&text, 'y');
    no_keys(buf_str(&text), text.len, "a secret of 513 bytes");
    buf_clear(&text);
    buf_str_append(&text, "standard-webhooks whsec_");
    for (int i = 0; i < 2000; i++)
        buf_byte(&text, 'A');
    no_keys(buf_str(&text), text.len, "expected base64 of 16 to 512 bytes");
    buf_release(&text);
}

static void from_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/egress-secrets-XXXXXX", log[4096];
    int fd = mkstemp(path);
    struct err err = {0};
    assert_int_equal(write(fd, "token " TOKEN "\n", strlen("token " TOKEN "\n")), 27);
    FILE *lines = tmpfile();
    log_init(lines, LOG_INFO, LOG_HUMAN);
    struct signature_keys *keys = signature_keys_load(path, &err);
    assert_non_null(keys);
    signature_keys_free(keys);
    assert_int_equal(ftell(lines), 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    keys = signature_keys_load(path, &err);
    assert_non_null(keys);
    signature_keys_free(keys);
    rewind(lines);
    assert_non_null(fgets(log, sizeof(log), lines));
    assert_non_null(strstr(log, "may be read by every user"));
    assert_null(strstr(log, TOKEN));
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    fclose(lines);
    close(fd);
    unlink(path);
    assert_null(signature_keys_load(path, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "cannot open the secrets file"));
    assert_null(signature_keys_load("/dev/zero", &err));
    assert_non_null(strstr(err.msg, "not a regular file"));
}

static void comparing(void **state)
{
    (void)state;
    assert_true(secret_is_same("abc", 3, "abc", 3));
    assert_false(secret_is_same("abd", 3, "abc", 3));
    assert_false(secret_is_same("ab", 2, "abc", 3));
    assert_false(secret_is_same("abca", 4, "abc", 3));
    assert_false(secret_is_same("abcabc", 6, "abc", 3));
    assert_false(secret_is_same("", 0, "abc", 3));
    assert_false(secret_is_same("", 0, "\0", 1));
    assert_false(secret_is_same("a", 1, "aaa", 3));
}

int main(void)
{
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),
        cmocka_unit_test(standard_webhooks),
        cmocka_unit_test(old_and_early_ones),
        cmocka_unit_test(hub_signatures),
        cmocka_unit_test(several_ways),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(many_and_long_ones),
        cmocka_unit_test(from_a_file),
        cmocka_unit_test(comparing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
