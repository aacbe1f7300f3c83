#include "ace/ace_cost.h"

enum {
	/* A refill and a flush of a bin, for each block of small bundles. */
	SLOW_OP_NS = 150,
	/* A page given back, faulted in again and cleared: 600 and 1600 ns where it was measured. */
	PAGE_NS = 2200,
	PAGE_SHIFT = 12, /* in pages of 4 KiB, whatever the system's are: clearing is most of it */
};

#define NS_PER_S ((uint64_t)1000000000)

/* count per second, each taking cost_ns. */
static int64_t share(const struct ace_sample *s, uint64_t count, uint64_t cost_ns)
{
	uint64_t cpu_ppm = s->cpu_ppm > PPM ? s->cpu_ppm : PPM;
	return ppm_ratio(count, NS_PER_S / cost_ns) * PPM / (int64_t)cpu_ppm;
}

int64_t ace_cost_of_ops(const struct ace_sample *s)
{
	return share(s, s->ops_per_s, SLOW_OP_NS);
}

int64_t ace_cost_of_pages(const struct ace_sample *s)
{
	uint64_t returned = s->returned_bytes_per_s >> PAGE_SHIFT;
	return share(s, returned > s->faults_per_s ? returned : s->faults_per_s, PAGE_NS);
}
