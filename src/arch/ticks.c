#include "arch/ticks.h"

#include "arch/inline.h"
#include "common/atomics.h"
#include "common/os.h"

__extension__ typedef unsigned __int128 u128;

enum {
	CALIBRATION_NS = 100 * 1000 * 1000, /* both ends are known to 50 ns: 1 part per million */
	SAMPLES = 5,
	SCALE_SHIFT = 32,
};

/* The counter and the kernel's clock, the counter read first. */
struct moment {
	uint64_t ticks, ns;
};

static struct moment first;      /* constant after ticks_begin() */
static struct moment base;       /* constant once `calibrated` */
static uint64_t scale;           /* ns per tick << SCALE_SHIFT; constant once `calibrated` */
static _Atomic bool calibrating; /* somebody does, or has done */
static _Atomic bool calibrated;

/* Of some tries the one that was disturbed least. */
static struct moment moment_now(void)
{
	struct moment best = { 0 };
	uint64_t shortest = UINT64_MAX;
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct moment m;
		uint64_t took;
		m.ticks = hak_ticks();
		m.ns = os_now_ns();
		took = hak_ticks() - m.ticks;
		if (took < shortest) {
			shortest = took;
			best = m;
		}
	}
	return best;
}

void ticks_begin(void)
{
	first = moment_now();
}

/* CPUs may be a few ticks apart: what lies before the base counts as the base. */
static uint64_t scaled(uint64_t ticks)
{
	int64_t since = (int64_t)(ticks - base.ticks);
	return since <= 0 ? base.ns
			  : base.ns + (uint64_t)((u128)(uint64_t)since * scale >> SCALE_SHIFT);
}

/* A moment's clock was read after its counter. So the clock made of it is ahead of the
 * kernel's by the time that one reading takes, and the change from one to the other
 * is no step back. */
static void calibrate(void)
{
	if (atomic_swap_acquire(&calibrating, true))
		return;
	base = moment_now();
	if (base.ticks == first.ticks) /* a counter that stands still: stay with the kernel's */
		return;
	scale = (uint64_t)(((u128)(base.ns - first.ns) << SCALE_SHIFT) /
			   (base.ticks - first.ticks));
	atomic_store_release(&calibrated, true); /* pairs with ticks_now_ns() */
}

static HAK_COLD uint64_t now_ns_slow(void)
{
	uint64_t ns = os_now_ns();
	if (ns - first.ns >= CALIBRATION_NS)
		calibrate();
	/* Other threads may count in ticks since the clock was read. */
	return atomic_load_acquire(&calibrated) ? scaled(hak_ticks()) : ns;
}

uint64_t ticks_now_ns(void)
{
	if (HAK_LIKELY(atomic_load_acquire(&calibrated)))
		return scaled(hak_ticks());
	return now_ns_slow();
}

#if HAKMEM_TESTING
bool ticks_calibrated(void)
{
	return atomic_load_acquire(&calibrated);
}
#endif
