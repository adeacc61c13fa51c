/*
 * Memory. Small allocations, whose size no outsider controls, abort when there
 * is no memory left: there is nothing sensible to do then. What an outsider
 * can make large goes through struct buf (buf.h), which is capped and fails
 * politely. Everything here is released with free().
 */
#ifndef FANOUT_MEM_H
#define FANOUT_MEM_H

#include <stddef.h>
#include <stdlib.h>

_Noreturn void mem_abort(void);              /* the end that all these come to */
void *mem_alloc(size_t size);                /* not cleared */
void *mem_zalloc(size_t size);               /* zeroed */
void *mem_realloc(void *block, size_t size); /* like realloc(3) */
void *mem_array(size_t count, size_t size);  /* zeroed; checks count * size */
/* For libraries, most of which do not look: up to 64 KiB as above; NULL for what is larger, which
 * an outsider may have caused and which they are prepared for. */
void *mem_library_alloc(size_t size);
void *mem_library_array(size_t count, size_t size);
void *mem_library_realloc(void *block, size_t size);
char *mem_strdup(const char *text);                 /* text may be NULL: gives NULL */
char *mem_strndup(const char *text, size_t length); /* always ends in NUL */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* free(3) where there mostly is nothing: allocators take their time over NULL. */
static inline void mem_free(void *block)
{
    if (block != NULL)
        free(block);
}

#endif
