/* SPDX-License-Identifier: Apache-2.0
 *
 * static_tls: of the one-file programs only: libcurl readies TLS when a program starts, and that
 * takes as long as all else of its start. OpenSSL does the same by itself when TLS is first used
 * (OPENSSL_init_ssl(3)), so libcurl's call, the one that asks for engines, does nothing. The
 * linker's --wrap puts this between.
 */
#include <openssl/ssl.h>

int init_tls(uint64_t options,
             const OPENSSL_INIT_SETTINGS *settings) __asm__("__wrap_OPENSSL_init_ssl");
int really_init_tls(uint64_t options,
                    const OPENSSL_INIT_SETTINGS *settings) __asm__("__real_OPENSSL_init_ssl");

int init_tls(uint64_t options, const OPENSSL_INIT_SETTINGS *settings)
{
    return options & OPENSSL_INIT_ENGINE_ALL_BUILTIN ? 1 : really_init_tls(options, settings);
}
