/*
 * System calls by a seccomp filter: a list of what the service never calls, so
 * that whatever its libraries come to call stays possible. Refused calls fail
 * as if they were not permitted; nothing is killed.
 */
#include "service/confine.h"

#include "fanout/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* System calls have other numbers elsewhere; where they are not known there is no filter. */
#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

#define X32_CALLS      0x40000000u /* a second set of numbers for the same calls */
#define STEPS_FOR_CALL 5           /* at most */
#define STEPS_AROUND   6

/* A leak check at the end of a sanitized build makes a process that traces this one. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

enum refusal { ALWAYS, IF_ANY_BIT, IF_NO_BIT };

/* Bits are those of an argument, the first being 0. */
struct refused_call {
    uint32_t number;
    uint32_t error;
    enum refusal when;
    uint32_t argument;
    uint32_t bits;
};

#define WRITING (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

/* clang-format off */
static const struct refused_call processes[] = {
    {SYS_ptrace, EPERM, ALWAYS, 0, 0},
    {SYS_clone, EPERM, IF_NO_BIT, 0, CLONE_THREAD},
    {SYS_clone3, ENOSYS, ALWAYS, 0, 0}, /* its flags can't be seen; libc then calls clone */
#ifdef SYS_fork
    {SYS_fork, EPERM, ALWAYS, 0, 0},
    {SYS_vfork, EPERM, ALWAYS, 0, 0},
#endif
};

static const struct refused_call others[] = {
    /* other programs and processes */
    {SYS_execve, EPERM, ALWAYS, 0, 0},
    {SYS_execveat, EPERM, ALWAYS, 0, 0},
    {SYS_process_vm_readv, EPERM, ALWAYS, 0, 0},
    {SYS_process_vm_writev, EPERM, ALWAYS, 0, 0},
    {SYS_listen, EPERM, ALWAYS, 0, 0},
    /* files */
    {SYS_openat, EACCES, IF_ANY_BIT, 2, WRITING},
    {SYS_openat2, ENOSYS, ALWAYS, 0, 0}, /* its flags can't be seen */
    {SYS_open_by_handle_at, EPERM, ALWAYS, 0, 0},
    {SYS_mknodat, EACCES, ALWAYS, 0, 0},
    {SYS_mkdirat, EACCES, ALWAYS, 0, 0},
    {SYS_unlinkat, EACCES, ALWAYS, 0, 0},
    {SYS_symlinkat, EACCES, ALWAYS, 0, 0},
    {SYS_linkat, EACCES, ALWAYS, 0, 0},
    {SYS_renameat2, EACCES, ALWAYS, 0, 0},
#ifdef SYS_renameat
    {SYS_renameat, EACCES, ALWAYS, 0, 0},
#endif
    {SYS_fchmodat, EACCES, ALWAYS, 0, 0},
    {SYS_fchownat, EACCES, ALWAYS, 0, 0},
    {SYS_truncate, EACCES, ALWAYS, 0, 0},
    /* file systems and namespaces */
    {SYS_mount, EPERM, ALWAYS, 0, 0},
    {SYS_umount2, EPERM, ALWAYS, 0, 0},
    {SYS_pivot_root, EPERM, ALWAYS, 0, 0},
    {SYS_chroot, EPERM, ALWAYS, 0, 0},
    {SYS_move_mount, EPERM, ALWAYS, 0, 0},
    {SYS_open_tree, EPERM, ALWAYS, 0, 0},
    {SYS_fsopen, EPERM, ALWAYS, 0, 0},
    {SYS_fsmount, EPERM, ALWAYS, 0, 0},
    {SYS_unshare, EPERM, ALWAYS, 0, 0},
    {SYS_setns, EPERM, ALWAYS, 0, 0},
    /* parts of the kernel that were often at fault, or that go round this filter */
    {SYS_io_uring_setup, EPERM, ALWAYS, 0, 0},
    {SYS_io_uring_enter, EPERM, ALWAYS, 0, 0},
    {SYS_io_uring_register, EPERM, ALWAYS, 0, 0},
    {SYS_bpf, EPERM, ALWAYS, 0, 0},
    {SYS_perf_event_open, EPERM, ALWAYS, 0, 0},
    {SYS_userfaultfd, EPERM, ALWAYS, 0, 0},
    {SYS_add_key, EPERM, ALWAYS, 0, 0},
    {SYS_request_key, EPERM, ALWAYS, 0, 0},
    {SYS_keyctl, EPERM, ALWAYS, 0, 0},
    {SYS_init_module, EPERM, ALWAYS, 0, 0},
    {SYS_finit_module, EPERM, ALWAYS, 0, 0},
    {SYS_delete_module, EPERM, ALWAYS, 0, 0},
    {SYS_kexec_load, EPERM, ALWAYS, 0, 0},
    {SYS_reboot, EPERM, ALWAYS, 0, 0},
    {SYS_swapon, EPERM, ALWAYS, 0, 0},
    {SYS_personality, EPERM, ALWAYS, 0, 0},
#ifdef SYS_open /* the older forms, where there are any */
    {SYS_open, EACCES, IF_ANY_BIT, 1, WRITING},
    {SYS_creat, EACCES, ALWAYS, 0, 0},
    {SYS_mknod, EACCES, ALWAYS, 0, 0},
    {SYS_mkdir, EACCES, ALWAYS, 0, 0},
    {SYS_rmdir, EACCES, ALWAYS, 0, 0},
    {SYS_unlink, EACCES, ALWAYS, 0, 0},
    {SYS_symlink, EACCES, ALWAYS, 0, 0},
    {SYS_link, EACCES, ALWAYS, 0, 0},
    {SYS_rename, EACCES, ALWAYS, 0, 0},
    {SYS_chmod, EACCES, ALWAYS, 0, 0},
    {SYS_chown, EACCES, ALWAYS, 0, 0},
    {SYS_lchown, EACCES, ALWAYS, 0, 0},
#endif
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void add(struct sock_fprog *program, uint32_t code, uint32_t operand, unsigned if_true,
                unsigned if_false)
{
    program->filter[program->len++] =
        (struct sock_filter)BPF_JUMP((uint16_t)code, operand, (uint8_t)if_true, (uint8_t)if_false);
}

static void add_load(struct sock_fprog *program, size_t offset)
{
    add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void add_return(struct sock_fprog *program, uint32_t verdict)
{
    add(program, BPF_RET | BPF_K, verdict, 0, 0);
}

static void add_refusal(struct sock_fprog *program, const struct refused_call *call)
{
    bool looks = call->when != ALWAYS;

    add(program, BPF_JMP | BPF_JEQ | BPF_K, call->number, 0, looks ? 4 : 1);
    if (looks) {
        bool any = call->when == IF_ANY_BIT;

        add_load(program, offsetof(struct seccomp_data, args) + sizeof(uint64_t) * call->argument);
        add(program, BPF_JMP | BPF_JSET | BPF_K, call->bits, any ? 0 : 1, any ? 1 : 0);
    }
    add_return(program, SECCOMP_RET_ERRNO | call->error);
    if (looks)
        add_return(program, SECCOMP_RET_ALLOW);
}

static void write_program(struct sock_fprog *program)
{
    add_load(program, offsetof(struct seccomp_data, arch));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    add_return(program, SECCOMP_RET_ERRNO | EPERM);
    add_load(program, offsetof(struct seccomp_data, nr));
    add(program, BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1);
    add_return(program, SECCOMP_RET_ERRNO | EPERM);
    for (size_t i = 0; i < COUNT(others); i++)
        add_refusal(program, &others[i]);
    for (size_t i = 0; i < COUNT(processes) && __sanitizer_print_stack_trace == NULL; i++)
        add_refusal(program, &processes[i]);
    add_return(program, SECCOMP_RET_ALLOW);
}

bool confine_calls(void)
{
    struct sock_fprog program = {0};
    bool ok;

    if (ARCHITECTURE == 0)
        return false;
    program.filter =
        mem_array(STEPS_AROUND + 1 + STEPS_FOR_CALL * (COUNT(others) + COUNT(processes)),
                  sizeof program.filter[0]);
    write_program(&program);
    ok = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
    free(program.filter);
    return ok;
}
