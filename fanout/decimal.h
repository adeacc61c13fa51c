/*
 * Numbers as text, for what is written with every answer: printf(3) costs more
 * there than the rest of the document.
 */
#ifndef FANOUT_DECIMAL_H
#define FANOUT_DECIMAL_H

#include <stdint.h>

#define DECIMAL_SIZE    20 /* the largest number */
#define DECIMAL_MS_SIZE 19 /* the largest time */

/* Each writes to `to`, without a NUL, and returns where the text ends. */
char *decimal_write(char *to, uint64_t number);
/* Microseconds as milliseconds with one decimal, rounded to the nearest: "41.8". */
char *decimal_write_ms(char *to, uint64_t time_us);

#endif
