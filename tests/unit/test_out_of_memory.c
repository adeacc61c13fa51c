/*
 * No memory: small allocations end the process with one line, what an outsider
 * can make large is refused, and nothing is ever left out in between.
 */
#include "fanout/buf.h"
#include "fanout/json.h"
#include "fanout/mem.h"
#include "tests/unit/failing_malloc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MOST_ALLOCATIONS 100

static void fail_at(long number)
{
    atomic_store(&failing->fail_at, 0);
    atomic_store(&failing->count, 0);
    atomic_store(&failing->fail_at, number);
}

/* ---- the end ---- */

static void alloc(void)
{
    free(mem_alloc(10));
}

static void alloc_zeroed(void)
{
    free(mem_zalloc(10));
}

static void alloc_array(void)
{
    free(mem_array(10, 10));
}

static void alloc_again(void)
{
    free(mem_realloc(NULL, 10));
}

static void copy_some(void)
{
    free(mem_strndup("text", 2));
}

/* Runs it in a child whose next allocation fails; *status is how that ended. */
static void run_failing(void (*run)(void), int *status, char output[128])
{
    int pipe_ends[2];
    ssize_t length;
    pid_t pid;

    assert_int_equal(pipe(pipe_ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(pipe_ends[1], STDERR_FILENO);
        fail_at(1);
        run();
        _exit(0);
    }
    close(pipe_ends[1]);
    length = read(pipe_ends[0], output, 127);
    output[length > 0 ? length : 0] = '\0';
    close(pipe_ends[0]);
    assert_int_equal(waitpid(pid, status, 0), pid);
}

/* With one line, when its first allocation fails. */
static void assert_each_ends_the_process(void (*const runs[])(void), size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char output[128];
        int status;

        run_failing(runs[i], &status, output);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_string_equal(output, "fanoutd: out of memory\n");
    }
}

static void a_small_allocation_ends_the_process_with_one_line(void **state)
{
    static void (*const runs[])(void) = {alloc, alloc_zeroed, alloc_array, alloc_again, copy_some};

    (void)state;
    assert_each_ends_the_process(runs, sizeof runs / sizeof runs[0]);
}

/* ---- refusing ---- */

static void a_buffer_refuses_and_keeps_what_it_has(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, BUF_UNLIMITED);
    assert_true(buf_append_text(&buf, "kept"));
    fail_at(1);
    assert_false(buf_reserve(&buf, 1 << 20));
    fail_at(0);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "kept", 4);
    buf_release(&buf);
}

/* Writes one document, the way that service/document.c does. True: whole, as
 * its end says. */
static bool write_document(struct buf *buf)
{
    static char text[3000];

    memset(text, '\1', sizeof text);
    buf_append_text(buf, "{\"a\":");
    json_write_string(buf, text, sizeof text);
    buf_printf(buf, ",\"b\":%d,\"c\":", 1);
    json_write_base64(buf, text, sizeof text);
    return buf_append_text(buf, "}\n");
}

static void nothing_is_left_out_of_a_document_that_has_its_end(void **state)
{
    struct buf whole, buf;
    long count;

    (void)state;
    buf_init(&whole, BUF_UNLIMITED);
    fail_at(MOST_ALLOCATIONS);
    assert_true(write_document(&whole));
    count = atomic_load(&failing->count);
    assert_in_range(count, 2, MOST_ALLOCATIONS - 1);
    for (long number = 1; number <= count; number++) {
        buf_init(&buf, BUF_UNLIMITED);
        fail_at(number);
        assert_false(write_document(&buf));
        fail_at(0);
        buf_release(&buf);
    }
    for (size_t most = 0; most < whole.len; most++) {
        buf_init(&buf, most);
        assert_false(write_document(&buf));
        buf_release(&buf);
    }
    buf_release(&whole);
}

static void a_released_buffer_is_as_new(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 4);
    assert_false(buf_append_text(&buf, "too long"));
    buf_release(&buf);
    assert_true(buf_append_text(&buf, "fits"));
    buf_release(&buf);
}

/* ---- libraries ---- */

static void library_alloc(void)
{
    free(mem_library_alloc(100));
}

static void library_array(void)
{
    free(mem_library_array(10, 10));
}

static void library_realloc(void)
{
    free(mem_library_realloc(NULL, 100));
}

static void libraries_get_small_blocks_or_the_process_ends(void **state)
{
    static void (*const runs[])(void) = {library_alloc, library_array, library_realloc};

    (void)state;
    assert_each_ends_the_process(runs, sizeof runs / sizeof runs[0]);
}

static void libraries_are_told_when_there_is_no_large_block(void **state)
{
    char *block;

    (void)state;
    fail_at(1);
    assert_null(mem_library_alloc(1 << 20));
    fail_at(1);
    assert_null(mem_library_array(1 << 10, 1 << 10));
    fail_at(0);
    block = mem_library_alloc(10);
    memcpy(block, "123456789", 10);
    fail_at(1);
    assert_null(mem_library_realloc(block, 1 << 20));
    fail_at(0);
    assert_string_equal(block, "123456789");
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_allocation_ends_the_process_with_one_line),
        cmocka_unit_test(a_buffer_refuses_and_keeps_what_it_has),
        cmocka_unit_test(nothing_is_left_out_of_a_document_that_has_its_end),
        cmocka_unit_test(a_released_buffer_is_as_new),
        cmocka_unit_test(libraries_get_small_blocks_or_the_process_ends),
        cmocka_unit_test(libraries_are_told_when_there_is_no_large_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
