/* SPDX-License-Identifier: Apache-2.0
 *
 * help: what `egress help` prints, put together from the command table and the settings table.
 */
#include "cli/cli.h"

#include <sys/ioctl.h> /* beyond POSIX.1-2008: TIOCGWINSZ, the terminal's width */

enum { WIDTH_STANDARD = 80, WIDTH_MAX = 100 };

static unsigned width_of(FILE *out)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_STANDARD;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

static void print_overview(FILE *out)
{
    size_t n;
    const struct command *commands = cli_commands(&n);
    fputs("Usage: egress COMMAND [FLAGS] [OPERANDS]\n"
          "\n"
          "Stores the outputs of finished Voxel51 Platform jobs before they expire: in S3, in an\n"
          "S3-compatible store, or in a directory.\n"
          "\n"
          "Commands:\n",
          out);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-10s%s\n", commands[i].name, commands[i].summary);
    fputs("\n"
          "  egress help COMMAND    the command's flags (egress COMMAND --help does the same)\n"
          "  egress --version       this program's version and those of its libraries\n"
          "\n"
          "Exit status:\n"
          "  0    everything is stored; nothing differs; nothing failed\n"
          "  1    something is not stored, and another try may do it\n"
          "  2    the command line or a setting is wrong\n"
          "  3    set-up: the token, the credentials or the destination was refused\n"
          "  4    some job will never be stored as things are\n"
          "  5    verify found a difference\n"
          "  130  interrupted (SIGINT)\n"
          "  143  told to end (SIGTERM)\n"
          "\n"
          "The manual page, egress(1), says the rest.\n",
          out);
}

void cli_print_help(const struct command *command, FILE *out)
{
    if (!command) {
        print_overview(out);
        return;
    }
    const char *flags = command->n_accepted ? " [FLAGS]" : "";
    fprintf(out, "Usage: egress %s%s%s%s\n\n%s: %s.\n", command->name, flags,
            *command->operands ? " " : "", command->operands, command->name, command->summary);
    if (command->details)
        fprintf(out, "\n%s", command->details);
    if (command->n_accepted) {
        fputs("\nFlags, as --name VALUE or --name=VALUE; a flag wins over its environment "
              "variable:\n",
              out);
        settings_help(command->accepted, command->n_accepted, width_of(out), out);
    }
}
