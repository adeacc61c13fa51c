/*
 * Files by Landlock: nothing may be written, made, removed or run any more, and
 * only what is listed here may be read.
 *
 * Rules are about directories, and not about the files in them, because files
 * like /etc/resolv.conf are replaced by renaming another over them.
 */
#include "service/confine.h"

#include "service/config.h"
#include "service/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ_DIR  LANDLOCK_ACCESS_FS_READ_DIR

/* As of version 6; the headers that we are built with may know less of it. */
struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

/* All rights there are, by the version of Landlock: what is not granted is refused. TCP may still
 * be connected anywhere, but not bound; signals and abstract sockets stay within the process. */
static const struct ruleset rights[] = {
    {0, 0, 0},      {0x1fff, 0, 0}, {0x3fff, 0, 0}, {0x7fff, 0, 0},
    {0x7fff, 1, 0}, {0xffff, 1, 0}, {0xffff, 1, 3},
};

#define NEWEST (int)(sizeof rights / sizeof rights[0] - 1)

static const char *const trees[] = {
    "/etc", /* names, certificates of authorities */
    "/usr", /* the same, and libraries loaded late */
    "/lib",
    "/lib64",
    "/proc", /* of other processes only what is for everybody */
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/proc/self/exe", /* for the names in a sanitizer's report */
};

/* Often symbolic links to elsewhere. */
static const char *const linked_files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};

/* Where OpenSSL and libcurl are told to look for authorities; the first is a directory. */
static const char *const variables[] = {"SSL_CERT_DIR", "SSL_CERT_FILE"};

/* False: there is no such place. */
static bool allow(int ruleset, const char *path)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = READ_FILE};
    struct stat status;
    bool ok;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return false;
    if (fstat(rule.parent_fd, &status) == 0 && S_ISDIR(status.st_mode))
        rule.allowed_access |= READ_DIR;
    ok = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(rule.parent_fd);
    return ok;
}

/* The directory of a file, or the file alone if that is the root. */
static void allow_directory_of(int ruleset, const char *file)
{
    char path[PATH_MAX];
    const char *directory;

    if (strlen(file) >= sizeof path)
        return;
    strcpy(path, file);
    directory = dirname(path);
    allow(ruleset, strcmp(directory, "/") == 0 ? file : directory);
}

/* A file as it is named, and what it is a link to now. */
static void allow_file(int ruleset, const char *file)
{
    char *target;

    if (file == NULL)
        return;
    allow_directory_of(ruleset, file);
    target = realpath(file, NULL);
    if (target != NULL)
        allow_directory_of(ruleset, target);
    free(target);
}

static void allow_all(int ruleset, const struct config *config)
{
    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++)
        allow(ruleset, trees[i]);
    for (size_t i = 0; i < sizeof linked_files / sizeof linked_files[0]; i++)
        allow_file(ruleset, linked_files[i]);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *path = getenv(variables[i]);

        if (path != NULL && !allow(ruleset, path))
            continue;
        allow_file(ruleset, path);
    }
    allow_file(ruleset, config->file);
    for (size_t i = 0; i < config->upstream_count; i++) {
        allow_file(ruleset, config->upstreams[i].ca);
        allow_file(ruleset, config->upstreams[i].cert);
        allow_file(ruleset, config->upstreams[i].key);
    }
}

static int make_ruleset(int version)
{
    struct ruleset ruleset = rights[version < NEWEST ? version : NEWEST];

    return (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0);
}

int confine_files(const struct config *config)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int ruleset;
    bool ok;

    if (version < 1)
        return 0;
    ruleset = make_ruleset(version);
    if (ruleset < 0)
        return 0;
    allow_all(ruleset, config);
    ok = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok ? version : 0;
}

void confine_process(const struct config *config)
{
    bool has_filter;
    int version;

    if (!config->confine) {
        log_event(TRACE_INFO, NULL, "event=not_confined reason=\"confine = false\"");
        return;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        log_event(TRACE_WARN, NULL, "event=not_confined reason=\"the kernel is too old\"");
        return;
    }
    version = confine_files(config);
    has_filter = confine_calls();
    log_event(version > 0 && has_filter ? TRACE_INFO : TRACE_WARN, NULL,
              "event=confined landlock=%d seccomp=%s", version, has_filter ? "yes" : "no");
}
