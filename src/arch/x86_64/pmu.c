#include "arch/pmu.h"

/* RDPMC takes the counter's number, which is the page's index less 1 (Intel SDM, volume
 * 2B; perf_event_open(2)). The kernel has allowed it to this process when the page says
 * cap_user_rdpmc. */
static bool read_counter(uint32_t index, uint64_t *raw)
{
	uint32_t low, high;
	__asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(index - 1));
	*raw = (uint64_t)high << 32 | low;
	return true;
}

/* The fences keep what comes before out of the measured time, and the load in it; RDTSCP
 * waits for the load. The low half of the clock is enough: differences are small. */
static uint32_t timed_load(const void *p)
{
	uint32_t start, end;
	uint64_t value;
	__asm__ volatile("lfence\n\t"
			 "rdtsc\n\t"
			 "mov %%eax, %0\n\t"
			 "lfence\n\t"
			 "mov (%3), %2\n\t"
			 "rdtscp\n\t"
			 "mov %%eax, %1"
			 : "=&r"(start), "=&r"(end), "=&r"(value)
			 : "r"(p)
			 : "rax", "rcx", "rdx", "memory");
	return end - start;
}

static void flush_line(const void *p)
{
	__asm__ volatile("clflush (%0)\n\t"
			 "mfence"
			 :
			 : "r"(p)
			 : "memory");
}

const struct hak_pmu pmu_native = {
	.read_counter = read_counter,
	.timed_load = timed_load,
	.flush_line = flush_line,
};
