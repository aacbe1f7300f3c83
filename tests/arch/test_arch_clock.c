/* src/arch: now_ns never goes back, in one thread that is moved from CPU to CPU nor between
 * threads that hand a time on, also while it changes from the kernel's clock to the
 * counter; and it keeps the kernel's pace. */
#include "unit.h"

#include "arch/arch.h"
#include "arch/detect.h"
#include "common/atomics.h"
#include "common/os.h"
#if HAK_ARCH_HAS_NATIVE
#include "arch/ticks.h"
#endif

enum {
	CHANGE_MS = 130, /* after this long the counter's rate is known */
	MAX_CPUS = 64,
};

static arch_now_fn now_ns;

static unsigned usable_cpus(int cpus[MAX_CPUS])
{
	cpu_set_t set;
	unsigned n = 0;
	REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0, "no affinity");
	for (int cpu = 0; cpu < CPU_SETSIZE && n < MAX_CPUS; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[n++] = cpu;
	return n;
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* best effort: emulators */
}

/* The last time that any thread has read, and passed on. */
static _Atomic uint64_t latest;
static _Atomic bool stop;

/* Read the time passed on, then the clock, which must not be behind. */
static void look(void)
{
	uint64_t passed_on = atomic_load_acquire(&latest);
	uint64_t now = now_ns();
	CHECK(now >= passed_on, "the clock went back by %llu ns",
	      (unsigned long long)(passed_on - now));
	while (passed_on < now && !atomic_cas_weak_release(&latest, &passed_on, now))
		;
}

struct looker {
	int cpu; /* -1: moves on after each block of looks */
};

static void *looker(void *arg)
{
	const struct looker *me = arg;
	int cpus[MAX_CPUS];
	unsigned n = usable_cpus(cpus);
	if (me->cpu >= 0)
		pin(me->cpu);
	for (unsigned turn = 0; !atomic_load_relaxed(&stop); turn++) {
		if (me->cpu < 0)
			pin(cpus[turn % n]);
		for (unsigned i = 0; i < 200; i++)
			look();
	}
	return NULL;
}

/* One thread on each of two CPUs and one that moves, over the change of clocks. */
static void never_back(void)
{
	int cpus[MAX_CPUS];
	unsigned n = usable_cpus(cpus);
	struct looker lookers[3] = { { cpus[0] }, { cpus[n - 1] }, { -1 } };
	pthread_t threads[3];
	uint64_t end = test_now_ms() + 2 * CHANGE_MS;
	for (unsigned i = 0; i < 3; i++)
		threads[i] = unit_thread(looker, &lookers[i]);
	while (test_now_ms() < end)
		sched_yield();
	atomic_store_relaxed(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* What passes on the clock lies between what passes on the kernel's, read inside and
 * outside; one part in a thousand is for a clock that is being disciplined. */
static void pace(void)
{
	uint64_t outer = os_now_ns(), first = now_ns(), inner = os_now_ns();
	uint64_t last, outer_end, inner_end, ours, slack;
	struct timespec nap = { .tv_nsec = 50 * 1000 * 1000 };
	nanosleep(&nap, NULL);
	inner_end = os_now_ns();
	last = now_ns();
	outer_end = os_now_ns();
	ours = last - first;
	slack = (outer_end - outer) / 1000 + 1000;
	CHECK(ours + slack >= inner_end - inner && ours <= outer_end - outer + slack,
	      "%llu ns, the kernel says %llu to %llu", (unsigned long long)ours,
	      (unsigned long long)(inner_end - inner), (unsigned long long)(outer_end - outer));
}

static void which(void)
{
	const struct hak_arch *a = arch_get();
	test_say("now_ns is %s", a->variant[ARCH_OP_NOW_NS]);
	now_ns = a->now_ns;
	CHECK(strcmp(a->variant[ARCH_OP_NOW_NS], "clock_gettime") != 0 || now_ns == os_now_ns,
	      "another clock than the kernel's");
}

#if HAK_ARCH_HAS_NATIVE
static void changed(void)
{
	bool ticks = arch_get()->now_ns == ticks_now_ns;
	CHECK(ticks_calibrated() == ticks, "calibrated is %d", !ticks);
}
#endif

static const struct test_case cases[] = {
	{ "which", which },
	{ "never_back", never_back },
	{ "pace", pace },
#if HAK_ARCH_HAS_NATIVE
	{ "changed", changed },
#endif
};

UNIT_MAIN(cases)
