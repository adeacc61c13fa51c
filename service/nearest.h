/*
 * "did you mean …?": the valid name nearest to a wrong one.
 */
#ifndef SERVICE_NEAREST_H
#define SERVICE_NEAREST_H

#include <stddef.h>

/*
 * The name in names[0..count) with the smallest edit distance to `wrong` (insert, delete, replace,
 * swap neighbours; case ignored), NULL if none is near enough to be meant (distance over a third
 * of the longer one's length, at least 1 allowed). Names longer than 64 bytes are not considered.
 */
const char *nearest_name(const char *wrong, const char *const *names, size_t count);

#endif
