/*
 * The command line.
 */
#ifndef SERVICE_OPTIONS_H
#define SERVICE_OPTIONS_H

enum options_action {
    OPTIONS_RUN,
    OPTIONS_TEST,   /* check the file and print the effective settings */
    OPTIONS_HEALTH, /* ask a running fanoutd how it is */
    OPTIONS_VERSION,
    OPTIONS_HELP,
    OPTIONS_WRONG, /* a line on standard error has said what */
};

struct options {
    enum options_action action;
    const char *file; /* of the configuration */
};

void options_parse(struct options *options, int argc, char **argv);
void options_print_help(void);

#endif
