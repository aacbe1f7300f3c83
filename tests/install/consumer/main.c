/* A program outside the project that uses an installed hakmem: by its own names
 * and by the C library's, which must be the same heap. Prints the version. */
#include <hakmem/hakmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
	fprintf(stderr, "consumer: %s\n", what);
	return 1;
}

int main(void)
{
	char *own = hak_malloc(100);
	char *libc = malloc(100);

	if (!own || !libc)
		return fail("no memory");
	if (hak_usable_size(own) < 100)
		return fail("usable size of hak_malloc(100) is below 100");
	if (hak_usable_size(libc) < 100)
		return fail("malloc is not hakmem's");
	memset(own, 1, 100);
	memset(libc, 2, 100);
	/* Each through the other family. */
	free(own);
	hak_free(libc);
	puts(hak_version());
	return 0;
}
