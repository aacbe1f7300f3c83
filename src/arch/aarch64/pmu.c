#include "arch/pmu.h"

enum {
	CYCLE_COUNTER = 32, /* the page's index of PMCCNTR_EL0 */
	/* PMUSERENR_EL0: what user space may read (Arm ARM). */
	USERENR_ALL = 1 << 0,
	USERENR_CYCLES = 1 << 2,
	USERENR_EVENTS = 1 << 3,
};

/* Readable at any time, unlike the counters: the kernel takes the right away when
 * perf_user_access is switched off, and pages of running events do not show that at once. */
static bool may_read(uint32_t right)
{
	uint64_t userenr;
	__asm__ volatile("mrs %0, pmuserenr_el0" : "=r"(userenr));
	return (userenr & (USERENR_ALL | right)) != 0;
}

#define FOR_EACH_EVENT_COUNTER(F)                                                                  \
	F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)      \
	F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30)

/* The register's number is part of the instruction. */
static bool read_event_counter(uint32_t number, uint64_t *raw)
{
	switch (number) {
#define CASE(n)                                                                                    \
	case n:                                                                                    \
		__asm__ volatile("mrs %0, pmevcntr" #n "_el0" : "=r"(*raw));                       \
		return true;
		FOR_EACH_EVENT_COUNTER(CASE)
#undef CASE
	default:
		return false;
	}
}

static bool read_counter(uint32_t index, uint64_t *raw)
{
	if (index != CYCLE_COUNTER)
		return may_read(USERENR_EVENTS) && read_event_counter(index - 1, raw);
	if (!may_read(USERENR_CYCLES))
		return false;
	__asm__ volatile("mrs %0, pmccntr_el0" : "=r"(*raw));
	return true;
}

/* The barriers keep the clock from being read early, and DSB waits for the load. */
static uint32_t timed_load(const void *p)
{
	uint64_t start, end, value;
	__asm__ volatile("dsb ish\n\t"
			 "isb\n\t"
			 "mrs %0, cntvct_el0\n\t"
			 "isb\n\t"
			 "ldr %2, [%3]\n\t"
			 "dsb ish\n\t"
			 "isb\n\t"
			 "mrs %1, cntvct_el0\n\t"
			 : "=&r"(start), "=&r"(end), "=&r"(value)
			 : "r"(p)
			 : "memory");
	return (uint32_t)(end - start);
}

static void flush_line(const void *p)
{
	__asm__ volatile("dc civac, %0\n\t"
			 "dsb sy"
			 :
			 : "r"(p)
			 : "memory");
}

/* config1: bit 1 asks for user access. Bit 0 would ask for a counter of 64 bits; then an event
 * of cycles waits, perhaps for ever, while another has the one counter of that width. */
const struct hak_pmu pmu_native = {
	.read_counter = read_counter,
	.user_config1 = 2,
	.timed_load = timed_load,
	.flush_line = flush_line,
};
