#include "common/missrate.h"

#include <errno.h>

#include "arch/pmu.h"
#include "common/atomics.h"
#include "common/os.h"
#include "common/sample.h"
#include "common/size_class.h"
#include "common/timed_loads.h"

enum {
	/* A thread's counters are read this often at most: a read costs up to some us. */
	COUNTERS_PERIOD_MS = 50,
	/* An event that counts nothing for so long is one that the CPU lacks. */
	SILENT_MAX_NS = 100 * 1000 * 1000,
	MILLION = 1000000,
	PS_PER_NS = 1000,
};

/* How the rate is found. It only moves on: HARDWARE, UNCALIBRATED, CALIBRATING, then TIMING
 * or NOTHING. */
enum method { HARDWARE, UNCALIBRATED, CALIBRATING, TIMING, NOTHING };
static _Atomic int method;
static _Atomic int hardware_source = COUNTER_SOURCE_NONE; /* of the thread that read last */
static struct timed_loads timing;                         /* constant once method is TIMING */

static _Atomic uint32_t taking; /* 1: a caller is inside missrate_take() */

#if HAKMEM_TESTING
static const struct hak_pmu *test_pmu;
#define timing_pmu() (test_pmu != NULL ? test_pmu : pmu_get())
#else
#define timing_pmu() pmu_get()
#endif

/* What all threads have found. */
#define TALLY(F)                                                                                   \
	F(counting_points) /* samples at which counters could have been read */                   \
	F(counting_ns)     /* spent on reading them */                                             \
	F(counted_loads)                                                                           \
	F(counted_misses)                                                                          \
	F(timed_loads)                                                                             \
	F(timed_misses)                                                                            \
	F(timed_ticks)

struct tally {
#define FIELD(name) uint64_t name;
	TALLY(FIELD)
#undef FIELD
};

/* Statistics: relaxed. */
static alignas(HAK_CACHELINE) struct {
#define FIELD(name) _Atomic uint64_t name;
	TALLY(FIELD)
#undef FIELD
} totals;

static bool method_move(int from, int to)
{
	return atomic_cas_acq_rel(&method, &from, to);
}

/* ---- counters */

static void give_up_hardware(int why)
{
	counters_stop();
	if (method_move(HARDWARE, UNCALIBRATED))
		counter_source_step_down(COUNTER_SOURCE_SOFTWARE, why);
}

static bool is_there(const struct hak_counters *c, enum counter which)
{
	return c->source[which] != COUNTER_SOURCE_NONE;
}

/* 0, or why these counters are not to be used. */
static int verdict(const struct hak_counters *c)
{
	if (!is_there(c, COUNTER_LLC_LOADS) || !is_there(c, COUNTER_LLC_MISSES))
		return -ENOENT;
	if (atomic_load_relaxed(&totals.counted_loads) == 0 && c->value[COUNTER_LLC_LOADS] == 0 &&
	    c->running_ns[COUNTER_LLC_LOADS] > SILENT_MAX_NS)
		return -ENODATA;
	return 0;
}

static void read_counters(void)
{
	struct hak_counters c;
	uint64_t start;
	int why;
	atomic_add_relaxed(&totals.counting_points, 1);
	if (!counters_start(COUNTERS_LLC, &why)) {
		if (why != -EAGAIN)
			give_up_hardware(why);
		return;
	}
	start = os_now_ns();
	if (!counters_growth(COUNTERS_PERIOD_MS, &c))
		return;
	why = verdict(&c);
	if (why != 0) {
		give_up_hardware(why);
		return;
	}
	atomic_store_relaxed(&hardware_source, (int)c.source[COUNTER_LLC_LOADS]);
	atomic_add_relaxed(&totals.counted_loads, c.value[COUNTER_LLC_LOADS]);
	atomic_add_relaxed(&totals.counted_misses, c.value[COUNTER_LLC_MISSES]);
	atomic_add_relaxed(&totals.counting_ns, os_now_ns() - start);
}

/* ---- timed loads */

static void calibrate(void)
{
	bool good;
	if (!method_move(UNCALIBRATED, CALIBRATING)) /* another thread does */
		return;
	good = timed_loads_calibrate(&timing, timing_pmu());
	if (!good)
		counter_source_step_down(COUNTER_SOURCE_NONE, -ERANGE);
	atomic_store_release(&method, good ? TIMING : NOTHING); /* pairs with method_now() */
}

static void time_load(const void *block)
{
	struct timed_sum sum = { 0 };
	if (!timed_loads_add(&timing, timing_pmu(), block, &sum))
		return;
	atomic_add_relaxed(&totals.timed_loads, sum.loads);
	if (timing.by_mean)
		atomic_add_relaxed(&totals.timed_ticks, sum.ticks);
	else if (sum.misses > 0)
		atomic_add_relaxed(&totals.timed_misses, sum.misses);
}

/* ---- for the allocator */

static enum method method_now(void)
{
	return (enum method)atomic_load_acquire(&method);
}

void missrate_sample(const void *block)
{
	switch (method_now()) {
	case HARDWARE:
		read_counters();
		break;
	case UNCALIBRATED:
		calibrate();
		break;
	case TIMING:
		counters_stop(); /* of a thread that had them when another gave up */
		time_load(block);
		break;
	case CALIBRATING:
	case NOTHING:
		break;
	}
}

/* Larger ones may be pages that nobody has touched: a load would be a fault, and map zeros. */
static void look(void *block, size_t bytes)
{
	if (bytes <= HAK_SMALL_MAX)
		missrate_sample(block);
}

void missrate_start(void)
{
	static const struct sampler_hooks hooks = { .look = look };
	sampler_set(SAMPLER_MISS_RATE, &hooks, MISSRATE_SAMPLE_OPS);
}

void missrate_after_fork(void)
{
	/* Other threads stopped in the middle. */
	(void)method_move(CALIBRATING, UNCALIBRATED);
	atomic_store_relaxed(&taking, 0);
}

/* ---- for who asks */

static struct tally tally_now(void)
{
	return (struct tally){
#define FIELD(name) .name = atomic_load_relaxed(&totals.name),
		TALLY(FIELD)
#undef FIELD
	};
}

static struct tally tally_since(const struct tally *now, const struct tally *then)
{
	return (struct tally){
#define FIELD(name) .name = now->name - then->name,
		TALLY(FIELD)
#undef FIELD
	};
}

static uint64_t square_root(uint64_t x)
{
	uint64_t root = 0;
	for (uint64_t bit = UINT64_C(1) << 31; bit != 0; bit >>= 1)
		if ((root + bit) * (root + bit) <= x)
			root += bit;
	return root;
}

/* Twice the standard error of a share of n samples, in millionths. Two more successes and
 * failures than were seen keep it honest at both ends (Agresti and Coull, 1998). */
static uint32_t sampling_error(uint32_t ppm, uint64_t n)
{
	uint64_t more = n + 4, p = (ppm * n + 2 * MILLION) / more;
	return (uint32_t)(2 * square_root(p * (MILLION - p) / more));
}

/* What an operation has to bear, if so many samples took so long together. */
static uint32_t ps_per_op(uint64_t ns, uint64_t samples)
{
	return samples == 0 ? 0 : (uint32_t)(ns * PS_PER_NS / (samples * MISSRATE_SAMPLE_OPS));
}

static struct missrate rate_counted(const struct tally *t)
{
	struct missrate r = {
		.ppm = -1,
		.source = (enum counter_source)atomic_load_relaxed(&hardware_source),
		.samples = t->counted_loads,
		.overhead_ps_per_op = ps_per_op(t->counting_ns, t->counting_points),
	};
	uint64_t misses = t->counted_misses < r.samples ? t->counted_misses : r.samples;
	if (r.samples > 0) /* 128 bits: both may be of many days */
		r.ppm = (int32_t)((unsigned __int128)misses * MILLION / r.samples);
	return r;
}

static struct missrate rate_timed(const struct tally *t)
{
	const struct timed_sum sum = { t->timed_loads, t->timed_misses, t->timed_ticks };
	struct missrate r = {
		.ppm = -1,
		.source = COUNTER_SOURCE_SOFTWARE,
		.samples = sum.loads,
		.overhead_ps_per_op = ps_per_op(timing.cost_ns, 1),
	};
	if (sum.loads > 0) {
		r.ppm = (int32_t)timed_loads_ppm(&timing, &sum);
		r.error_ppm = sampling_error((uint32_t)r.ppm, sum.loads);
	}
	return r;
}

static struct missrate rate_of(const struct tally *t)
{
	struct missrate r = { .ppm = -1, .source = COUNTER_SOURCE_NONE };
	switch (method_now()) {
	case HARDWARE:
		r = rate_counted(t);
		break;
	case TIMING:
		r = rate_timed(t);
		break;
	case UNCALIBRATED:
	case CALIBRATING:
	case NOTHING:
		break;
	}
	return r;
}

struct missrate missrate_take(void)
{
	static struct tally last; /* of who takes */
	struct tally now = tally_now(), t = { 0 };
	if (!atomic_swap_acquire(&taking, 1)) {
		t = tally_since(&now, &last);
		last = now;
		atomic_store_release(&taking, 0);
	}
	return rate_of(&t);
}

struct missrate missrate_total(void)
{
	struct tally now = tally_now();
	return rate_of(&now);
}

#if HAKMEM_TESTING
void missrate_reset(const struct hak_pmu *pmu)
{
	test_pmu = pmu;
	atomic_store_relaxed(&method, HARDWARE);
	atomic_store_relaxed(&hardware_source, COUNTER_SOURCE_NONE);
#define FIELD(name) atomic_store_relaxed(&totals.name, 0);
	TALLY(FIELD)
#undef FIELD
}
#endif
