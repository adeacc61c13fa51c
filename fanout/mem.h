/*
 * Memory. Small allocations, whose size no outsider controls, abort when there
 * is no memory left: there is nothing sensible to do then. What an outsider
 * can make large goes through struct buf (buf.h), which is capped and fails
 * politely. Everything here is released with free().
 */
#ifndef FANOUT_MEM_H
#define FANOUT_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                       /* not cleared */
void *mem_zalloc(size_t size);                      /* zeroed */
void *mem_realloc(void *block, size_t size);        /* like realloc(3) */
void *mem_array(size_t count, size_t size);         /* zeroed; checks count * size */
char *mem_strdup(const char *text);                 /* text may be NULL: gives NULL */
char *mem_strndup(const char *text, size_t length); /* always ends in NUL */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
