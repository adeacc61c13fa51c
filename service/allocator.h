/*
 * The program's malloc is jemalloc's, where it is linked with it; a sanitizer brings its own, and
 * then nothing here does anything.
 */
#ifndef SERVICE_ALLOCATOR_H
#define SERVICE_ALLOCATOR_H

/* Like "5.3.0-0-g54eaed1"; NULL: it is not jemalloc. */
const char *allocator_version(void);

/* Gives back to the system what has been free for some seconds, by a thread of jemalloc's own: else
 * memory would go back while there is work, and not while there is none. */
void allocator_give_back_when_idle(void);

#endif
