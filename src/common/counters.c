#include "common/counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <unistd.h>

#include "arch/pmu.h"
#include "common/atomics.h"
#include "common/diag.h"
#include "common/options.h"
#include "common/os.h"
#include "common/perf_event.h"
#include "common/thread.h"

enum {
	SLOTS = 64, /* upper end of HAKMEM_COUNTER_THREADS */
	/* Descriptors that may be kept open together: a quarter of the common limit of 1024
	 * would be the program's loss, this is 16 threads' worth. */
	FDS_MAX = 64,
	/* A counter may be out of the PMU while others take their turn, which is some ms each. One
	 * that cannot be read for so long, at so many reads, will not be read that way any more. */
	BROKEN_READS = 8,
	BROKEN_MS = 200,
};

struct thread_counter {
	struct perf_event event;
	enum counter_source source;
	uint64_t base; /* counted by events that were closed since */
	uint64_t value;
	uint64_t reported; /* by counters_growth() */
	uint64_t running_ns;
	uint32_t failures;  /* reads running */
	uint32_t failed_ms; /* when the first of them was */
};

/* A thread's counters. All but `taken` is its thread's alone. */
struct slot {
	/* 0 or 1; a byte would need a library on some machines */
	alignas(HAK_CACHELINE) _Atomic uint32_t taken;
	bool no_user; /* reading in user space has failed here */
	pid_t pid;    /* of the process that opened them; a child made past fork() differs */
	unsigned set;
	uint32_t growth_at_ms; /* of the last counters_growth() */
	struct thread_counter counters[COUNTER_COUNT];
};

static struct slot slots[SLOTS];
static _Atomic int fds_kept;
/* Per counter: -errno with which the whole process was refused, or 0. */
static _Atomic int refused[COUNTER_COUNT];

/* ---- the events */

#define COUNTER_CACHE_EVENT(level, op, result)                                                     \
	(PERF_COUNT_HW_CACHE_##level | PERF_COUNT_HW_CACHE_OP_##op << 8 |                          \
	 PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct perf_spec real_specs[COUNTER_COUNT] = {
#define SPEC(name, kind, number) [COUNTER_##name] = { .type = (kind), .config = (number) },
	COUNTERS(SPEC)
#undef SPEC
};

#if HAKMEM_TESTING
static const struct perf_spec *specs = real_specs;
#else
#define specs real_specs
#endif

/* Never PERF_TYPE_RAW: the kernel opens numbers that the CPU lacks, and they stay 0. */
static struct perf_spec spec_of(enum counter c, bool user)
{
	struct perf_spec spec = specs[c];
	spec.user_config1 = user ? pmu_get()->user_config1 : 0;
	return spec;
}

/* ---- sources */

const char *counter_source_name(enum counter_source source)
{
	static const char *const names[] = {
		[COUNTER_SOURCE_USER] = "user",
		[COUNTER_SOURCE_FD] = "perf_fd",
		[COUNTER_SOURCE_SOFTWARE] = "software",
		[COUNTER_SOURCE_NONE] = "none",
	};
	return names[source];
}

static const char *reason(int why)
{
	switch (-why) {
	case ENODATA:
		return "the event counts nothing";
	case EACCES:
	case EPERM:
		return "not permitted (perf_event_paranoid, perf_event_mlock_kb or a sandbox)";
	case ENOSYS:
		return "the kernel has none, or a sandbox hides them";
	case ENOENT:
	case ENODEV:
	case EINVAL:
		return "this machine has no such event";
	case ENOTSUP:
		return "not allowed in user space here";
	case EMFILE:
	case ENFILE:
		return "too many open files";
	case ERANGE:
		return "hits and misses take the same time here";
	default:
		return "refused";
	}
}

static _Atomic unsigned said; /* bit per source */

void counter_source_step_down(enum counter_source to, int why)
{
	unsigned bit = 1u << to;
	unsigned before = atomic_load_relaxed(&said);
	if (!options.verbose && options.ace_log_level < 1)
		return;
	do {
		if (before & bit)
			return;
	} while (!atomic_cas_weak_release(&said, &before, before | bit));
	diag_line("counters: %s (error %d); next source: %s", reason(why), -why,
		  counter_source_name(to));
}

/* Is that what every thread of this process would hear? */
static bool is_for_all(int why)
{
	switch (-why) {
	case EACCES:
	case EPERM:
	case ENOSYS:
	case ENOENT:
	case ENODEV:
	case EINVAL:
	case EOPNOTSUPP:
		return true;
	default: /* of files, memory, other threads' events */
		return false;
	}
}

/* ---- a thread's counters */

static void counter_close(struct thread_counter *c)
{
	if (c->event.fd >= 0 && c->source == COUNTER_SOURCE_FD)
		atomic_sub_relaxed(&fds_kept, 1);
	perf_event_close(&c->event);
	c->source = COUNTER_SOURCE_NONE;
	c->base = c->value;
	c->failures = 0;
}

static int counter_open(struct slot *s, enum counter which, const struct perf_event *group)
{
	struct thread_counter *c = &s->counters[which];
	const struct perf_spec spec = spec_of(which, !s->no_user);
	int err = atomic_load_relaxed(&refused[which]);
	if (err == 0)
		err = perf_event_open(&c->event, &spec, group);
	if (is_for_all(err))
		atomic_store_relaxed(&refused[which], err);
	return err;
}

/* The event is open: choose how to read it. */
static int counter_choose_source(struct slot *s, struct thread_counter *c)
{
	int err = s->no_user ? -ENOTSUP : perf_event_use_page(&c->event);
	if (err == 0) {
		c->source = COUNTER_SOURCE_USER;
		return 0;
	}
	counter_source_step_down(COUNTER_SOURCE_FD, err);
	if (atomic_add_relaxed(&fds_kept, 1) >= FDS_MAX) {
		atomic_sub_relaxed(&fds_kept, 1);
		perf_event_close(&c->event);
		return -EMFILE;
	}
	c->source = COUNTER_SOURCE_FD;
	return 0;
}

static void slot_close(struct slot *s)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		counter_close(&s->counters[i]);
}

/* Open what the slot's set asks for. 0, or why nothing is open (-errno; -EAGAIN). A counter that
 * the machine lacks is left out; where this thread may have better luck later it is all or
 * nothing. Loads and misses share their time in the counters, so that their ratio
 * holds whoever takes turns with them. */
static int slot_open(struct slot *s)
{
	int errors[COUNTER_COUNT], err = -ENOENT, have = 0, failed = 0;
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const struct perf_event *group =
			i == COUNTER_LLC_MISSES && s->counters[COUNTER_LLC_LOADS].event.fd >= 0
				? &s->counters[COUNTER_LLC_LOADS].event
				: NULL;
		s->counters[i].event = (struct perf_event)PERF_EVENT_CLOSED;
		s->counters[i].source = COUNTER_SOURCE_NONE;
		errors[i] = s->set & 1u << i ? counter_open(s, (enum counter)i, group) : -ENOENT;
	}
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (errors[i] == 0)
			errors[i] = counter_choose_source(s, &s->counters[i]);
		if (errors[i] == 0)
			have++;
		else if (!is_for_all(errors[i]))
			failed++;
		if (errors[i] != 0 && s->set & 1u << i)
			err = errors[i];
	}
	if (failed > 0)
		slot_close(s);
	return failed > 0 ? -EAGAIN : have > 0 ? 0 : err;
}

static unsigned slots_max(void)
{
	unsigned n = (unsigned)options.counter_threads;
	return n < SLOTS ? n : SLOTS;
}

/* NULL: all are taken. Pairs with slot_give_back(). */
static struct slot *slot_take(void)
{
	for (unsigned i = 0; i < slots_max(); i++) {
		uint32_t free = 0;
		if (!atomic_load_relaxed(&slots[i].taken) &&
		    atomic_cas_acquire(&slots[i].taken, &free, 1))
			return &slots[i];
	}
	return NULL;
}

static void slot_give_back(struct slot *s)
{
	atomic_store_release(&s->taken, 0);
}

static struct slot *my_slot(void)
{
	struct slot *s;
	if (thread_state.counter_slot == 0)
		return NULL;
	s = &slots[thread_state.counter_slot - 1];
	/* A child that was made without fork()'s handlers has the slot, but not the pages; one
	 * of vfork has the pages, but they are not about it. */
	return HAK_LIKELY(s->pid == getpid()) ? s : NULL;
}

static bool all_refused(unsigned set, int *why)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		int err = atomic_load_relaxed(&refused[i]);
		if ((set & 1u << i) && err == 0)
			return false;
		if (set & 1u << i)
			*why = err;
	}
	return true;
}

bool counters_start(unsigned set, int *why)
{
	struct slot *s;
	*why = slots_max() == 0 ? -EPERM : -EAGAIN;
	if (thread_state.counter_slot != 0)
		return my_slot() != NULL;
	if (all_refused(set, why))
		return false;
	s = slot_take();
	if (s == NULL)
		return false;
	memset(s->counters, 0, sizeof(s->counters));
	s->no_user = false;
	s->pid = getpid();
	s->set = set;
	s->growth_at_ms = os_now_ms();
	*why = slot_open(s);
	if (*why != 0) {
		slot_give_back(s);
		return false;
	}
	thread_state.counter_slot = (uint8_t)(s - slots + 1);
	return true;
}

void counters_stop(void)
{
	struct slot *s = my_slot();
	if (s == NULL)
		return;
	thread_state.counter_slot = 0;
	slot_close(s);
	slot_give_back(s);
}

void counters_after_fork(void)
{
	thread_state.counter_slot = 0;
	atomic_store_relaxed(&fds_kept, 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!atomic_load_relaxed(&slots[i].taken))
			continue;
		for (unsigned c = 0; c < COUNTER_COUNT; c++)
			perf_event_forget(&slots[i].counters[c].event);
		slot_give_back(&slots[i]);
	}
}

/* ---- reading */

/* What the count would be, had the event been in a counter all the time. */
static uint64_t scaled(const struct perf_reading *r)
{
	if (r->running_ns == 0 || r->running_ns >= r->enabled_ns)
		return r->count;
	return (uint64_t)((unsigned __int128)r->count * r->enabled_ns / r->running_ns);
}

static void counter_read(struct thread_counter *c)
{
	struct perf_reading r;
	uint64_t value;
	if (!perf_event_read(&c->event, &r)) {
		if (c->failures++ == 0)
			c->failed_ms = os_now_ms();
		return;
	}
	c->failures = 0;
	value = c->base + scaled(&r);
	if (value > c->value) /* a scaled one may be less than the last */
		c->value = value;
	c->running_ns = r.running_ns;
}

static bool is_broken(const struct thread_counter *c)
{
	return c->failures >= BROKEN_READS && os_now_ms() - c->failed_ms >= BROKEN_MS;
}

/* Counters that are not readable any more get new events of the next source. */
static void slot_step_down(struct slot *s)
{
	slot_close(s);
	s->no_user = true;
	(void)slot_open(s);
}

bool counters_read(struct hak_counters *out)
{
	struct slot *s = my_slot();
	bool broken = false;
	if (s == NULL)
		return false;
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		struct thread_counter *c = &s->counters[i];
		if (c->source == COUNTER_SOURCE_NONE)
			continue;
		counter_read(c);
		broken |= is_broken(c);
	}
	if (broken)
		slot_step_down(s);
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const struct thread_counter *c = &s->counters[i];
		out->source[i] = c->source;
		out->value[i] = c->source == COUNTER_SOURCE_NONE ? 0 : c->value;
		out->running_ns[i] = c->running_ns;
	}
	return true;
}

bool counters_growth(uint32_t period_ms, struct hak_counters *out)
{
	struct slot *s = my_slot();
	uint32_t now_ms = os_now_ms();
	if (s == NULL || now_ms - s->growth_at_ms < period_ms)
		return false;
	s->growth_at_ms = now_ms;
	(void)counters_read(out);
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		struct thread_counter *c = &s->counters[i];
		out->value[i] -= c->source == COUNTER_SOURCE_NONE ? 0 : c->reported;
		c->reported = c->value;
	}
	return true;
}

#if HAKMEM_TESTING
void counters_reset(const struct perf_spec *instead)
{
	specs = instead != NULL ? instead : real_specs;
	atomic_store_relaxed(&said, 0);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		atomic_store_relaxed(&refused[i], 0);
}
#endif
