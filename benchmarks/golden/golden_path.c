/* golden_path SIZE COUNT: what golden/check counts, malloc and free on the hit path.
 *
 * After a warm-up of 200 pairs, golden_hit() makes COUNT pairs of malloc(SIZE) and free. It
 * calls nothing else and from no other place, so what is executed on behalf of it is malloc
 * and free in turn. Not a benchmark: nothing is timed.
 */
#include <stdlib.h>

void golden_hit(size_t size, long count);

__attribute__((noinline)) void golden_hit(size_t size, long count)
{
	for (long i = 0; i < count; i++) {
		void *p = malloc(size);

		__asm__ volatile("" : "+r"(p) : : "memory");
		free(p);
	}
}

static __attribute__((noinline)) void warm_up(size_t size)
{
	for (int i = 0; i < 200; i++) {
		void *p = malloc(size);

		__asm__ volatile("" : "+r"(p) : : "memory");
		free(p);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	warm_up((size_t)atol(argv[1]));
	golden_hit((size_t)atol(argv[1]), atol(argv[2]));
	return 0;
}
