/*
 * Numbers with units, as people write them: "800ms", "64k". In the
 * configuration and in queries alike.
 */
#ifndef SERVICE_UNITS_H
#define SERVICE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/*
 * A whole number and us, ms, s, m or h, to microseconds. NULL on success, else what is wrong,
 * static ("needs a unit: us, ms, s, m or h").
 */
const char *units_parse_duration(const char *text, uint64_t *duration_us);

/* A whole number and nothing (bytes), k, m or g (powers of 1024). NULL on success. */
const char *units_parse_size(const char *text, size_t *bytes);

#endif
