/* What the fuzz targets share.
 *
 * A target is one source with one entry, LLVMFuzzerTestOneInput(): it takes any bytes, and
 * aborts if the code under test does what it must not. libFuzzer and AFL++ bring a main()
 * of their own; fuzz_main.c is a third, which replays files, and the one that CTest runs.
 */
#ifndef HAK_TESTS_FUZZ_H
#define HAK_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what is left of the input; behind its end there are zeros */

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* n bytes, n <= 8, as a number, the lowest first. */
static inline uint64_t fuzz_number(struct fuzz_input *in, unsigned n)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)fuzz_byte(in) << (8 * i);
	return v;
}

/* The bytes up to the next 0xff, or to the end, as a string; what does not fit is passed
 * over. Returns its length; there may be zeros in it. */
size_t fuzz_text(struct fuzz_input *in, char *buf, size_t size);

/* ---- findings */

/* A line to standard error, as it was at the start, then abort(). */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define FUZZ_REQUIRE(condition, ...)                                                               \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fuzz_fail(__VA_ARGS__);                                                    \
	} while (0)

/* ---- files for what reads only files */

/* A directory of this process alone; it goes at the exit, with the files in it. */
const char *fuzz_dir(void);

/* Make `path` a file with this content and no other. */
void fuzz_write_file(const char *path, const void *data, size_t size);

/* ---- what the code under test says on a descriptor */

struct fuzz_capture {
	int fd;    /* the one that is captured */
	int saved; /* what it was */
	int file;
};

/* From fuzz_capture_begin() to _end() all that is written to `fd` is kept from sight; _end()
 * copies it to buf, terminated, and returns its whole length. */
void fuzz_capture_begin(struct fuzz_capture *c, int fd);
size_t fuzz_capture_end(struct fuzz_capture *c, char *buf, size_t size);

#endif
