/* Delays before retries: our own, and those that upstreams ask for. */
#include "fanout/backoff.h"

#include "fanout/dice.h"

#include <string.h>

#define US_PER_SECOND   1000000u
#define SECONDS_PER_DAY 86400

/* A letter stands for what it says in place of the digit or name there. */
#define IMF_FIXDATE_SHAPE "www, dd mmm yyyy hh:ii:ss GMT"

uint64_t backoff_ceiling_us(uint64_t base_us, uint64_t max_us, unsigned retry)
{
    unsigned doublings = retry - 1;

    if (retry == 0 || base_us == 0)
        return 0;
    if (doublings < 64 && base_us <= max_us >> doublings)
        return base_us << doublings;
    return max_us;
}

uint64_t backoff_delay_us(uint64_t base_us, uint64_t max_us, unsigned retry, struct dice *dice)
{
    uint64_t ceiling_us = backoff_ceiling_us(base_us, max_us, retry);

    return ceiling_us == UINT64_MAX ? dice_next(dice) : dice_below(dice, ceiling_us + 1);
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* False: not all digits. Saturates. */
static bool parse_seconds(const char *value, size_t length, uint64_t *seconds)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(value[i] - '0');

        if (!is_digit(value[i]))
            return false;
        sum = sum > (UINT64_MAX - digit) / 10 ? UINT64_MAX : sum * 10 + digit;
    }
    *seconds = sum;
    return length > 0;
}

struct date {
    unsigned weekday; /* 0: Sunday */
    unsigned day;
    unsigned month; /* 1 to 12 */
    unsigned year;
    unsigned hour;
    unsigned minute;
    unsigned second;
};

static bool date_has_shape(const char *value, size_t length)
{
    static const char shape[] = IMF_FIXDATE_SHAPE;

    if (length != sizeof shape - 1)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool is_number = strchr("dyhis", shape[i]) != NULL;
        bool is_name = strchr("wm", shape[i]) != NULL;

        if (is_number ? !is_digit(value[i]) : !is_name && value[i] != shape[i])
            return false;
    }
    return true;
}

/* Which of the names of three letters, from 0; count: none of them. */
static unsigned name_number(const char *names, unsigned count, const char *text)
{
    unsigned number = 0;

    while (number < count && memcmp(names + 3 * (size_t)number, text, 3) != 0)
        number++;
    return number;
}

static unsigned two_digits(const char *text)
{
    return (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
}

/* The value has the shape. */
static struct date read_date(const char *value)
{
    return (struct date){
        .weekday = name_number("SunMonTueWedThuFriSat", 7, value),
        .day = two_digits(value + 5),
        .month = name_number("JanFebMarAprMayJunJulAugSepOctNovDec", 12, value + 8) + 1,
        .year = two_digits(value + 12) * 100 + two_digits(value + 14),
        .hour = two_digits(value + 17),
        .minute = two_digits(value + 20),
        .second = two_digits(value + 23),
    };
}

static bool is_leap_year(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in_month(unsigned month, unsigned year)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap_year(year) ? 29 : days[month - 1];
}

/* Since 1970, negative before it. March is the first month of this reckoning, so that the leap
 * day is the last of its year. */
static int64_t days_since_epoch(const struct date *date)
{
    int64_t year = (int64_t)date->year + (date->month > 2);
    int64_t month = ((int64_t)date->month + 9) % 12;
    int64_t leap_days;

    year += 400 - 1; /* all positive, and a whole number of leap cycles later */
    leap_days = year / 4 - year / 100 + year / 400;
    return year * 365 + leap_days + (153 * month + 2) / 5 + date->day - 1 - 719468 - 146097;
}

static bool date_is_real(const struct date *date)
{
    int64_t days;

    if (date->weekday > 6 || date->month > 12 || date->day < 1 ||
        date->day > days_in_month(date->month, date->year))
        return false;
    /* A leap second may be written. */
    if (date->hour > 23 || date->minute > 59 || date->second > 60)
        return false;
    days = days_since_epoch(date) + 4; /* 1970 began on a Thursday */
    return ((days % 7) + 7) % 7 == date->weekday;
}

static bool parse_date(const char *value, size_t length, int64_t *seconds_since_epoch)
{
    struct date date;

    if (!date_has_shape(value, length))
        return false;
    date = read_date(value);
    if (!date_is_real(&date))
        return false;
    *seconds_since_epoch = days_since_epoch(&date) * SECONDS_PER_DAY + (int64_t)date.hour * 3600 +
                           (int64_t)date.minute * 60 + date.second;
    return true;
}

/* The years have four digits: it fits. */
static uint64_t us_until(int64_t seconds_since_epoch, uint64_t wall_now_us)
{
    uint64_t at_us;

    if (seconds_since_epoch <= 0)
        return 0;
    at_us = (uint64_t)seconds_since_epoch * US_PER_SECOND;
    return at_us > wall_now_us ? at_us - wall_now_us : 0;
}

bool backoff_retry_after_us(const char *value, size_t length, uint64_t wall_now_us, uint64_t max_us,
                            uint64_t *delay_us)
{
    uint64_t seconds, wanted_us;
    int64_t date;

    if (parse_seconds(value, length, &seconds))
        wanted_us = seconds > UINT64_MAX / US_PER_SECOND ? UINT64_MAX : seconds * US_PER_SECOND;
    else if (parse_date(value, length, &date))
        wanted_us = us_until(date, wall_now_us);
    else
        return false;
    *delay_us = wanted_us < max_us ? wanted_us : max_us;
    return true;
}
