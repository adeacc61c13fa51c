/* Allocation that aborts: see the header for where it may be used. */
#include "fanout/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL ((size_t)64 * 1024)

void mem_abort(void)
{
    fputs("fanoutd: out of memory\n", stderr);
    abort();
}

static void *checked(void *block)
{
    if (block == NULL)
        mem_abort();
    return block;
}

void *mem_alloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_realloc(void *block, size_t size)
{
    return checked(realloc(block, size > 0 ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
    return checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *mem_library_alloc(size_t size)
{
    return size <= SMALL ? mem_alloc(size) : malloc(size);
}

void *mem_library_array(size_t count, size_t size)
{
    return size == 0 || count <= SMALL / size ? mem_array(count, size) : calloc(count, size);
}

void *mem_library_realloc(void *block, size_t size)
{
    return size <= SMALL ? mem_realloc(block, size) : realloc(block, size);
}

char *mem_strdup(const char *text)
{
    return text != NULL ? checked(strdup(text)) : NULL;
}

char *mem_strndup(const char *text, size_t length)
{
    char *copy = mem_alloc(length + 1);

    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int length;

    va_start(args, format);
    length = vasprintf(&text, format, args);
    va_end(args);
    return checked(length >= 0 ? text : NULL);
}
