/* SPDX-License-Identifier: Apache-2.0
 *
 * The Lambda program.
 */
#include "lambda/lambda.h"

int main(void)
{
    return lambda_main();
}
