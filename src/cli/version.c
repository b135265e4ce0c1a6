/* SPDX-License-Identifier: Apache-2.0
 *
 * version: what this program is and what it stands on. Asks the libraries for their versions only.
 */
#include "cli/cli.h"

#include <expat.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "core/buf.h"
#include "net/version.h"

void cli_print_version(FILE *out)
{
    XML_Expat_Version expat = XML_ExpatVersionInfo();
    struct buf net = BUF_INIT(256);
    net_version(&net);
    fprintf(out, "egress %s\n", EGRESS_VERSION);
    fprintf(out, "%s, OpenSSL %s, jansson %s, expat %d.%d.%d\n", buf_str(&net),
            OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str(), expat.major,
            expat.minor, expat.micro);
    buf_release(&net);
}
