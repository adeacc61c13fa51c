/* The command line, by getopt_long(3). */
#include "service/options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

#define DEFAULT_FILE "upstreams.conf"

void options_print_help(void)
{
    puts("Usage: fanoutd [-c FILE]            serve what FILE says\n"
         "       fanoutd -t [FILE]            check FILE and print its effective settings\n"
         "       fanoutd --health [-c FILE]   ask the fanoutd that FILE is of; exit 0 if it lives\n"
         "\n"
         "  -c, --config FILE   the configuration (default: " DEFAULT_FILE ")\n"
         "  -t, --test          check the configuration, print it with every default, and exit\n"
         "      --health        ask /livez of the first listen address, and exit\n"
         "  -V, --version       print the versions of fanoutd and its libraries, and exit\n"
         "  -h, --help          print this, and exit\n"
         "\n"
         "SIGTERM and SIGINT finish what is in flight and end it; a second one ends it at once.");
}

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
    {"health", no_argument, NULL, 'H'},       {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

static enum options_action action_of(int letter)
{
    switch (letter) {
    case 't':
        return OPTIONS_TEST;
    case 'H':
        return OPTIONS_HEALTH;
    case 'V':
        return OPTIONS_VERSION;
    case 'h':
        return OPTIONS_HELP;
    default:
        return OPTIONS_WRONG;
    }
}

void options_parse(struct options *options, int argc, char **argv)
{
    int letter;

    *options = (struct options){.action = OPTIONS_RUN, .file = DEFAULT_FILE};
    while ((letter = getopt_long(argc, argv, "c:tVh", long_options, NULL)) != -1) {
        if (letter == 'c')
            options->file = optarg;
        else
            options->action = action_of(letter);
        if (options->action == OPTIONS_WRONG)
            break;
    }
    if (options->action == OPTIONS_TEST && optind < argc)
        options->file = argv[optind++];
    if (options->action != OPTIONS_WRONG && optind < argc) {
        fprintf(stderr, "fanoutd: unexpected argument '%s'\n", argv[optind]);
        options->action = OPTIONS_WRONG;
    }
    if (options->action == OPTIONS_WRONG)
        fputs("Try 'fanoutd --help'.\n", stderr);
}
