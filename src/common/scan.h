/* Numbers out of text, as files of the kernel and the environment have them. Each returns
 * where it stopped reading, or NULL, with nothing set, if what it looks for is not there. */
#ifndef HAK_COMMON_SCAN_H
#define HAK_COMMON_SCAN_H

#include "common/base.h"

/* Decimal digits, of a number below 2^64. */
const char *scan_u64(const char *s, uint64_t *out);

/* The text behind the first `key`; NULL: it is not in s. */
const char *scan_behind(const char *s, const char *key);

/* "12.34" as a number of 1/scale: for scale 1000, 12340. Further digits are cut off. */
const char *scan_decimal(const char *s, uint32_t scale, uint64_t *out);

#endif
