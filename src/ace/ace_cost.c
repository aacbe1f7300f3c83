#include "ace/ace_cost.h"

enum {
	/* A refill and a flush of a bin, for each block of small bundles. */
	SLOW_OP_NS = 150,
	/* A page given back, and one faulted in and cleared, where it was measured. */
	RETURN_NS = 600,
	FAULT_NS = 1600,
	PAGE_SHIFT = 12, /* in pages of 4 KiB, whatever the system's are: clearing is most of it */
	IDLE_OPS_PER_S = 1000,
	IDLE_CPU = PPM / 20,
};

#define NS_PER_S ((uint64_t)1000000000)

int64_t ace_cost_of_ops(const struct ace_sample *s)
{
	uint64_t cpu_ppm = s->cpu_ppm > PPM ? s->cpu_ppm : PPM;
	return ppm_ratio(s->ops_per_s, NS_PER_S / SLOW_OP_NS) * PPM / (int64_t)cpu_ppm;
}

int64_t ace_cost_of_pages(const struct ace_sample *s)
{
	return ppm_ratio(s->returned_bytes_per_s >> PAGE_SHIFT, NS_PER_S / RETURN_NS) +
	       ppm_ratio(s->faults_per_s, NS_PER_S / FAULT_NS);
}

bool ace_is_idle(const struct ace_sample *s)
{
	return s->ops_per_s < IDLE_OPS_PER_S &&
	       s->cpu_ppm <= (uint64_t)(IDLE_CPU + ace_cost_of_pages(s));
}
