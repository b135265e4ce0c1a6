/* SPDX-License-Identifier: Apache-2.0
 *
 * analyzer: what clang's analyzer cannot see from a declaration. Included by `make lint` only.
 */
#include "core/err.h"

/* err.h promises -1; without it the analyzer follows the paths where an error is none. */
#define err_set(...) (err_set(__VA_ARGS__), -1)
#define err_set_errno(...) (err_set_errno(__VA_ARGS__), -1)
