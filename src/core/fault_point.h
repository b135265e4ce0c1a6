/* SPDX-License-Identifier: Apache-2.0
 *
 * fault_point: named places in the code where a test has the process die, as a crash would have it.
 *
 * Nothing of it is left in a build without -DEGRESS_FAULT_POINTS (`make TORTURE=1` has it). With
 * it, EGRESS_FAULT_POINT=NAME kills the process (SIGKILL) the first time it comes past the place of
 * that name, NAME:N the N-th time. docs/STATES.md lists the names and what each leaves behind.
 * Any thread.
 *
 *     FAULT_POINT("journal-before-commit");
 */
#ifndef EGRESS_CORE_FAULT_POINT_H
#define EGRESS_CORE_FAULT_POINT_H

#ifdef EGRESS_FAULT_POINTS
void fault_point(const char *name);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
