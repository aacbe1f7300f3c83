/* common/scan.c: numbers out of text. */
#include "unit.h"

#include "common/scan.h"

static void whole_numbers(void)
{
	static const struct {
		const char *text;
		uint64_t value;
		size_t length; /* 0: not a number */
	} rows[] = {
		{ "0", 0, 1 },
		{ "007x", 7, 3 },
		{ "18446744073709551615 ", UINT64_MAX, 20 },
		{ "18446744073709551616", 0, 0 },
		{ "99999999999999999999", 0, 0 },
		{ "", 0, 0 },
		{ "-1", 0, 0 },
		{ " 1", 0, 0 },
		{ "max", 0, 0 },
	};
	for (unsigned i = 0; i < HAK_ARRAY_LEN(rows); i++) {
		uint64_t n = 4711;
		const char *end = scan_u64(rows[i].text, &n);
		CHECK_U64(end == NULL ? 0 : (size_t)(end - rows[i].text), rows[i].length,
			  rows[i].text);
		CHECK_U64(n, end == NULL ? 4711 : rows[i].value, rows[i].text);
	}
}

static void decimals(void)
{
	uint64_t n = 0;
	CHECK(scan_decimal("12.34 ", 10000, &n) != NULL, "12.34");
	CHECK_U64(n, 123400, "12.34");
	CHECK(*scan_decimal("0.005x", 100, &n) == 'x', "where 0.005 ends");
	CHECK_U64(n, 0, "0.005 cut off");
	CHECK(scan_decimal("7", 1000, &n) != NULL, "7");
	CHECK_U64(n, 7000, "7");
	CHECK(scan_decimal("18446744073709551615", 2, &n) == NULL, "too large");
	CHECK(scan_decimal(".5", 10, &n) == NULL, "no digit in front");
}

static void keys(void)
{
	CHECK(strcmp(scan_behind("a b=1 c=2", "c="), "2") == 0, "behind a key");
	CHECK(scan_behind("a b=1", "c=") == NULL, "a key that is not there");
}

static const struct test_case cases[] = {
	{ "whole_numbers", whole_numbers },
	{ "decimals", decimals },
	{ "keys", keys },
};

UNIT_MAIN(cases)
