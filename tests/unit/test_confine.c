/* What a confined process can't do any more, and what it still can. Each test confines a child. */
#include "fanout/clock.h"
#include "service/config.h"
#include "service/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CAN_NOT 77 /* exit code of a child whose kernel lacks it */

extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

/* One directory with the configuration, one beside it with a secret, one with certificates. */
static char place[] = "/tmp/test_confine_XXXXXX";
static char config_file[64], near_file[64], secret[64], ca_file[64], link_file[64];

static struct upstream_settings upstream = {.attempt_timeout_us = CLOCK_NEVER,
                                            .hedge.delay_us = CLOCK_NEVER};
static struct config config = {.confine = true, .upstreams = &upstream, .upstream_count = 1};

static void make_file(char path[64], const char *directory, const char *name)
{
    char parent[64];
    int fd;

    snprintf(parent, sizeof parent, "%s/%s", place, directory);
    mkdir(parent, 0700);
    snprintf(path, 64, "%s/%s/%s", place, directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x\n", 2), 2);
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(place) == NULL)
        return 1;
    make_file(config_file, "conf", "upstreams.conf");
    make_file(near_file, "conf", "more.conf");
    make_file(secret, "secret", "file");
    make_file(ca_file, "certificates", "ca.pem");
    snprintf(link_file, sizeof link_file, "%s/conf/link", place);
    config.file = config_file;
    upstream.ca = ca_file;
    return symlink(ca_file, link_file);
}

static int teardown(void **state)
{
    static const char *const directories[] = {"conf", "secret", "certificates"};
    const char *const files[] = {config_file, near_file, secret, ca_file, link_file};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", place, directories[i]);
        rmdir(path);
    }
    return rmdir(place);
}

/* ---- what is tried: each returns 0 or the error ---- */

static int error_of(long result)
{
    if (result < 0)
        return errno;
    return 0;
}

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int error = error_of(fd);

    if (fd >= 0)
        close(fd);
    return error;
}

/* If it can be run after all, its exit code says so. */
static int try_program(void)
{
    char *const arguments[] = {(char *)"false", NULL};

    return error_of(execv("/bin/false", arguments));
}

static int try_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return error_of(pid);
}

static void *on_thread(void *arg)
{
    *(int *)arg = try_open(secret, O_WRONLY);
    return NULL;
}

/* What a thread made later meets; ESRCH: it can't be made. */
static int try_in_a_thread(void)
{
    pthread_t thread;
    int error = 0;

    if (pthread_create(&thread, NULL, on_thread, &error) != 0)
        return ESRCH;
    pthread_join(thread, NULL);
    return error;
}

static int try_listen(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = error_of(bind(fd, (struct sockaddr *)&address, sizeof address));

    if (error == 0)
        error = error_of(listen(fd, 1));
    close(fd);
    return error;
}

/* ---- children ---- */

/* A child confines itself by `parts` and checks; its exit code is 0 if all was as wanted. */
static int in_child(bool (*parts)(void), int (*check)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !parts())
            _exit(CAN_NOT);
        _exit(check());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CAN_NOT)
        skip();
    return WEXITSTATUS(status);
}

/* The exit code of a failed check tells its line, nearly. */
#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__ % 70 + 1;                                                              \
    } while (0)

static bool files(void)
{
    return confine_files(&config) > 0;
}

static bool everything(void)
{
    confine_process(&config);
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}

static int check_no_writing(void)
{
    WANT(try_open(config_file, O_WRONLY) == EACCES);
    WANT(try_open(config_file, O_RDWR) == EACCES);
    WANT(try_open(place, O_TMPFILE | O_RDWR) != 0);
    WANT(try_open("/tmp/test_confine_new", O_CREAT | O_WRONLY) == EACCES);
    WANT(error_of(unlink(near_file)) == EACCES);
    WANT(error_of(rename(near_file, config_file)) == EACCES);
    WANT(error_of(mkdir("/tmp/test_confine_made", 0700)) == EACCES);
    WANT(error_of(symlink("/etc", "/tmp/test_confine_link")) == EACCES);
    return 0;
}

static int check_no_changing(void)
{
    WANT(error_of(chmod(config_file, 0777)) == EACCES);
    WANT(error_of(chown(config_file, 1, 1)) == EACCES);
    WANT(error_of(truncate(config_file, 0)) == EACCES);
    return 0;
}

static int check_no_reading_elsewhere(void)
{
    WANT(try_open(secret, O_RDONLY) == EACCES);
    WANT(try_open("/tmp", O_RDONLY | O_DIRECTORY) == EACCES);
    WANT(try_open("/root", O_RDONLY | O_DIRECTORY) == EACCES);
    return 0;
}

static int check_needed_files(void)
{
    WANT(try_open("/etc/hosts", O_RDONLY) == 0);
    WANT(try_open("/etc/resolv.conf", O_RDONLY) == 0 || access("/etc/resolv.conf", F_OK) != 0);
    WANT(try_open("/etc/passwd", O_RDONLY) == 0);
    WANT(try_open("/usr/share", O_RDONLY | O_DIRECTORY) == 0);
    WANT(try_open("/proc/self/status", O_RDONLY) == 0);
    WANT(try_open("/dev/urandom", O_RDONLY) == 0);
    WANT(try_open(config_file, O_RDONLY) == 0);
    WANT(try_open(near_file, O_RDONLY) == 0);
    WANT(try_open(ca_file, O_RDONLY) == 0);
    WANT(try_open(link_file, O_RDONLY) == 0);
    return 0;
}

static int check_no_programs(void)
{
    WANT(try_program() == EPERM || try_program() == EACCES);
    return 0;
}

static int check_no_processes(void)
{
    WANT(try_fork() == EPERM);
    WANT(error_of(syscall(SYS_clone3, NULL, 0)) == ENOSYS);
    WANT(error_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL)) == EPERM);
    return 0;
}

static int check_no_way_round(void)
{
    WANT(error_of(syscall(SYS_io_uring_setup, 1, NULL)) == EPERM);
    WANT(error_of(syscall(SYS_openat2, AT_FDCWD, config_file, NULL, 0)) == ENOSYS);
    WANT(error_of(syscall(SYS_bpf, 0, NULL, 0)) == EPERM);
#ifdef __x86_64__
    WANT(error_of(syscall(SYS_getpid | 0x40000000)) == EPERM);
#endif
    return 0;
}

static int check_threads(void)
{
    WANT(try_in_a_thread() == EACCES);
    return 0;
}

static int check_listeners(void)
{
    WANT(try_listen() != 0);
    return 0;
}

static int check_connections(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons(9);
    WANT(error_of(connect(datagrams, (struct sockaddr *)&address, sizeof address)) == 0);
    WANT(error_of(connect(stream, (struct sockaddr *)&address, sizeof address)) != EACCES);
    WANT(error_of(kill(getpid(), 0)) == 0);
    return 0;
}

/* ---- the tests ---- */

static void nothing_can_be_written_made_or_removed(void **state)
{
    (void)state;
    assert_int_equal(in_child(everything, check_no_writing), 0);
    assert_int_equal(in_child(confine_calls, check_no_writing), 0);
    assert_int_equal(in_child(files, check_no_writing), 0);
}

static void owners_modes_and_lengths_stay(void **state)
{
    (void)state;
    assert_int_equal(in_child(everything, check_no_changing), 0);
}

static void other_files_can_not_be_read(void **state)
{
    (void)state;
    assert_int_equal(in_child(files, check_no_reading_elsewhere), 0);
}

static void what_is_read_again_can_be_read(void **state)
{
    (void)state;
    assert_int_equal(in_child(files, check_needed_files), 0);
    assert_int_equal(in_child(everything, check_needed_files), 0);
}

static void no_program_can_be_run(void **state)
{
    (void)state;
    assert_int_equal(in_child(confine_calls, check_no_programs), 0);
    assert_int_equal(in_child(files, check_no_programs), 0);
}

static void no_process_can_be_made_or_traced(void **state)
{
    (void)state;
    if (__sanitizer_print_stack_trace != NULL)
        skip(); /* its leak check needs both */
    assert_int_equal(in_child(confine_calls, check_no_processes), 0);
}

static void there_is_no_way_round_the_filter(void **state)
{
    (void)state;
    assert_int_equal(in_child(confine_calls, check_no_way_round), 0);
}

static void later_threads_start_and_are_confined(void **state)
{
    (void)state;
    assert_int_equal(in_child(confine_calls, check_threads), 0);
    assert_int_equal(in_child(files, check_threads), 0);
}

static void no_listener_can_be_opened(void **state)
{
    (void)state;
    assert_int_equal(in_child(confine_calls, check_listeners), 0);
}

static void connections_can_be_made(void **state)
{
    (void)state;
    assert_int_equal(in_child(everything, check_connections), 0);
}

static bool by_option(void)
{
    config.confine = false;
    confine_process(&config);
    return true;
}

static int check_unconfined(void)
{
    WANT(try_open(secret, O_WRONLY) == 0);
    WANT(try_fork() == 0);
    return 0;
}

static void an_option_turns_it_off(void **state)
{
    (void)state;
    assert_int_equal(in_child(by_option, check_unconfined), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_can_be_written_made_or_removed),
        cmocka_unit_test(owners_modes_and_lengths_stay),
        cmocka_unit_test(other_files_can_not_be_read),
        cmocka_unit_test(what_is_read_again_can_be_read),
        cmocka_unit_test(no_program_can_be_run),
        cmocka_unit_test(no_process_can_be_made_or_traced),
        cmocka_unit_test(there_is_no_way_round_the_filter),
        cmocka_unit_test(later_threads_start_and_are_confined),
        cmocka_unit_test(no_listener_can_be_opened),
        cmocka_unit_test(connections_can_be_made),
        cmocka_unit_test(an_option_turns_it_off),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
