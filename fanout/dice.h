/*
 * Random numbers for policy: splitmix64 (Steele, Lea, Flood 2014), one state of
 * 64 bits that its owner seeds, so that tests get the same run every time. Not
 * for secrets. One owner, one thread.
 */
#ifndef FANOUT_DICE_H
#define FANOUT_DICE_H

#include <stdint.h>

struct dice {
    uint64_t state; /* any value is a good seed */
};

static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t mixed = dice->state += 0x9e3779b97f4a7c15u;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

/* 0 to limit - 1, each as likely (but for one part in 2^64 / limit); limit >= 1. */
static inline uint64_t dice_below(struct dice *dice, uint64_t limit)
{
    return (uint64_t)((unsigned __int128)dice_next(dice) * limit >> 64);
}

#endif
