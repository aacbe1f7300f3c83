/* Operations of the allocator, in an order that the input says, on up to three threads of
 * which one runs at a time, against the shadow model of the stress programs: contents,
 * alignment, usable sizes, overlaps. At the end all is freed and the structures are walked.
 *
 * An operation is a byte, then its arguments: see ops[]. Most are of a run of blocks: the
 * first one's slot, and a byte with how many there are and how far apart.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "common/knobs.h"
#include "common/options.h"
#include "common/os.h"
#include "common/report.h"
#include "common/stats.h"
#include "common/thread.h"
#include "fuzz.h"
#include "hakmem/hakmem.h"
#include "stress/shadow.h"

enum {
	LANES = 3, /* threads; lane 0 is the caller's */
	SLOTS = 256,
	MAX_LIVE_BYTES = 12 << 20,
	MAX_ASKED_BYTES = 16 << 20, /* of one input: it must not take long */
	MAX_OPS = 300,
	MAX_MISUSES = 1, /* a report takes long */
	SMALL_BYTES = 256,
	MIN_ALIGN = 16,
};

static struct fuzz_input input;
static struct shadow_block slots[SLOTS]; /* at NULL: empty */
static void *last_freed;
static struct rng rng;
static size_t live_bytes, asked_bytes;
static unsigned op_number, misuses;
static uint64_t reports; /* that there have to be */
static bool may_fail; /* a fault has been armed in this input */

/* ---- threads: one lane runs, the others wait for it */

static struct lane {
	pthread_t thread;
	bool running; /* lane 0: never */
	bool stop;    /* it ends instead of waiting */
} lanes[LANES];
static pthread_mutex_t baton = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t passed = PTHREAD_COND_INITIALIZER;
static unsigned running_lane;

static unsigned run_ops(unsigned me);

/* False: this lane ends. */
static bool wait_for_turn(unsigned me)
{
	bool go;
	pthread_mutex_lock(&baton);
	while (running_lane != me && !lanes[me].stop)
		pthread_cond_wait(&passed, &baton);
	go = !lanes[me].stop;
	pthread_mutex_unlock(&baton);
	return go;
}

static void pass_turn(unsigned to)
{
	pthread_mutex_lock(&baton);
	running_lane = to;
	pthread_cond_broadcast(&passed);
	pthread_mutex_unlock(&baton);
}

static void *lane_main(void *arg)
{
	unsigned me = (unsigned)((struct lane *)arg - lanes);
	thread_name_set("lane", me);
	while (wait_for_turn(me))
		pass_turn(run_ops(me));
	return NULL;
}

static void lane_start(unsigned lane)
{
	if (lane == 0 || lanes[lane].running)
		return;
	lanes[lane].stop = false;
	lanes[lane].running = true;
	FUZZ_REQUIRE(pthread_create(&lanes[lane].thread, NULL, lane_main, &lanes[lane]) == 0,
		     "a thread cannot be made");
}

/* Not by the lane itself. */
static void lane_end(unsigned lane)
{
	if (!lanes[lane].running)
		return;
	pthread_mutex_lock(&baton);
	lanes[lane].stop = true;
	pthread_cond_broadcast(&passed);
	pthread_mutex_unlock(&baton);
	pthread_join(lanes[lane].thread, NULL);
	lanes[lane].running = false;
}

/* ---- arguments */

struct run {
	unsigned first, count, stride;
};

static struct run take_run(void)
{
	struct run r = { .first = fuzz_byte(&input) };
	uint8_t shape = fuzz_byte(&input);
	r.count = 1 + (shape & 63);
	r.stride = 1 + (shape >> 6);
	return r;
}

static struct shadow_block *slot_of(const struct run *r, unsigned i)
{
	return &slots[(r->first + i * r->stride) % SLOTS];
}

/* Any size, those at the ends of classes, and powers of two with company. */
static size_t take_size(void)
{
	uint8_t kind = fuzz_byte(&input);
	size_t more = kind >> 2, n;
	switch (kind & 3) {
	case 0:
		return fuzz_byte(&input);
	case 1:
		return fuzz_number(&input, 2);
	case 2:
		n = fuzz_number(&input, 2);
		return hak_good_size(n << (more & 3)) + (more >> 2 & 3);
	default:
		n = fuzz_number(&input, 2);
		return n << (more % 8);
	}
}

static size_t bounded(size_t size)
{
	if (live_bytes + size > MAX_LIVE_BYTES || asked_bytes + size > MAX_ASKED_BYTES)
		size %= SMALL_BYTES;
	asked_bytes += size;
	return size;
}

/* ---- blocks */

static bool got_block(const void *p, const char *how, size_t size)
{
	if (p != NULL)
		return true;
	FUZZ_REQUIRE(errno == ENOMEM, "%s of %zu bytes failed with errno %d", how, size, errno);
	FUZZ_REQUIRE(may_fail, "%s of %zu bytes was refused with %zu live", how, size, live_bytes);
	return false;
}

static void born(struct shadow_block *b, void *p, size_t size, size_t align, const char *how)
{
	shadow_born(b, p, size, align, how, op_number, &rng);
	live_bytes += b->usable;
}

static void leave(const struct shadow_block *b, const char *doing)
{
	shadow_leave(b, doing);
	live_bytes -= b->usable;
}

static void free_block(struct shadow_block *b, unsigned how)
{
	struct shadow_block old = *b;
	/* What a refused realloc left larger than asked is no block for a sized free. */
	bool sized = old.align == MIN_ALIGN && !may_fail;
	leave(b, "free");
	*b = (struct shadow_block){ 0 };
	last_freed = old.at;
	errno = EDOM;
	if (how % 4 == 1 && sized)
		hak_free_sized(old.at, old.asked);
	else if (how % 4 == 2 && sized)
		hak_free_sized(old.at, old.usable);
	else if (how % 4 == 3 && old.align == MIN_ALIGN)
		FUZZ_REQUIRE(hak_realloc(old.at, 0) == NULL, "realloc(p, 0) gave a block");
	else
		hak_free(old.at);
	FUZZ_REQUIRE(errno == EDOM, "free changed errno to %d", errno);
}

/* ---- operations */

static void op_malloc(void)
{
	struct run r = take_run();
	size_t size = take_size();
	for (unsigned i = 0; i < r.count; i++) {
		struct shadow_block *b = slot_of(&r, i);
		size_t n = b->at == NULL ? bounded(size) : 0;
		void *p;
		if (b->at != NULL)
			continue;
		errno = 0;
		p = hak_malloc(n);
		if (got_block(p, "malloc", n))
			born(b, p, n, MIN_ALIGN, "malloc");
	}
}

static void op_zalloc(void)
{
	struct run r = take_run();
	size_t size = take_size();
	for (unsigned i = 0; i < r.count; i++) {
		struct shadow_block *b = slot_of(&r, i);
		size_t n;
		void *p;
		if (b->at != NULL)
			continue;
		n = bounded(size);
		errno = 0;
		p = i % 2 == 0 ? hak_zalloc(n) : hak_calloc(n, 1);
		if (!got_block(p, "calloc", n))
			continue;
		shadow_verify_zero(p, n, "calloc", &rng);
		born(b, p, n, MIN_ALIGN, "calloc");
	}
}

static void op_aligned(void)
{
	struct run r = take_run();
	unsigned shift = fuzz_byte(&input) % 23;
	size_t size = take_size(), align = (size_t)1 << shift;
	for (unsigned i = 0; i < r.count; i++) {
		struct shadow_block *b = slot_of(&r, i);
		size_t n;
		void *p;
		if (b->at != NULL)
			continue;
		/* The room that the alignment takes counts as well. */
		bool much = asked_bytes + align > MAX_ASKED_BYTES;
		size_t used_align = much ? MIN_ALIGN : align;
		asked_bytes += used_align;
		n = bounded(size);
		errno = 0;
		p = i % 2 == 0 ? hak_aligned_alloc(used_align, n)
			       : hak_aligned_zalloc(used_align, n);
		if (!got_block(p, "aligned_alloc", n))
			continue;
		if (i % 2 != 0)
			shadow_verify_zero(p, n, "aligned_zalloc", &rng);
		born(b, p, n, used_align, "aligned_alloc");
		/* A block of these is not for a sized free without its alignment. */
		if (used_align <= MIN_ALIGN)
			b->align = 2 * MIN_ALIGN;
	}
}

static void op_free(void)
{
	struct run r = take_run();
	uint8_t how = fuzz_byte(&input);
	for (unsigned i = 0; i < r.count; i++) {
		/* First to last, or last to first. */
		struct shadow_block *b = slot_of(&r, how & 4 ? r.count - 1 - i : i);
		if (b->at != NULL)
			free_block(b, how);
	}
}

static void op_realloc(void)
{
	struct run r = take_run();
	size_t size = take_size();
	for (unsigned i = 0; i < r.count; i++) {
		struct shadow_block *b = slot_of(&r, i), old = *b;
		size_t n;
		void *p;
		if (b->at == NULL)
			continue;
		n = bounded(size);
		n += n == 0; /* not a free */
		leave(b, "realloc (before it)");
		errno = 0;
		p = i % 2 == 0 ? hak_realloc(old.at, n) : hak_reallocarray(old.at, n, 1);
		if (!got_block(p, "realloc", n)) {
			shadow_return(b, "realloc that failed");
			live_bytes += b->usable;
			continue;
		}
		shadow_verify(&old, p, n < old.filled ? n : old.filled, "realloc (after it)");
		born(b, p, n, MIN_ALIGN, "realloc");
	}
}

static void op_verify(void)
{
	struct run r = take_run();
	for (unsigned i = 0; i < r.count; i++) {
		const struct shadow_block *b = slot_of(&r, i);
		if (b->at == NULL)
			continue;
		shadow_verify(b, b->at, b->filled, "check");
		FUZZ_REQUIRE(hak_usable_size(b->at) == b->usable, "usable size of %p changed",
			     (void *)b->at);
	}
}

static void refused(const void *p, const char *how, int error)
{
	FUZZ_REQUIRE(p == NULL, "%s gave a block", how);
	FUZZ_REQUIRE(errno == error, "%s failed with errno %d", how, errno);
}

/* Requests that nothing can fulfil. */
static void op_absurd(void)
{
	struct shadow_block *b = &slots[fuzz_byte(&input)];
	size_t less = fuzz_number(&input, 4);
	errno = 0;
	refused(hak_malloc(SIZE_MAX - less), "malloc of nearly all", ENOMEM);
	errno = 0;
	refused(hak_calloc(SIZE_MAX / 2 - less, 3), "calloc of an overflow", ENOMEM);
	errno = 0;
	refused(hak_aligned_alloc(64, SIZE_MAX - less), "aligned_alloc of nearly all", ENOMEM);
	errno = 0;
	refused(hak_aligned_alloc((less | 1) * 6, 1), "alignment that is no power of two", EINVAL);
	hak_free(NULL);
	FUZZ_REQUIRE(hak_usable_size(NULL) == 0, "NULL has a usable size");
	if (b->at == NULL)
		return;
	errno = 0;
	refused(hak_realloc(b->at, SIZE_MAX - less), "realloc to nearly all", ENOMEM);
	shadow_verify(b, b->at, b->filled, "realloc to nearly all");
}

static void op_knob(void)
{
	unsigned k = fuzz_byte(&input) % (HAK_KNOB_COUNT + 1), cls = fuzz_byte(&input);
	uint8_t which = fuzz_byte(&input);
	const struct hak_knob_info *info = knob_info((enum hak_knob)(k % HAK_KNOB_COUNT));
	/* Sometimes no candidate, no class or no knob: that must change nothing. */
	int32_t value = which < 250 ? info->candidates[which % info->ncandidates] : which * 7919;
	uint32_t epoch = knob_epoch();
	bool good = k < HAK_KNOB_COUNT && which < 250 &&
		    cls <= (info->per_class ? (unsigned)HAK_CLASS_COUNT : 0u);
	int err = knob_set((enum hak_knob)k, cls, value);
	FUZZ_REQUIRE((err == 0) == good, "knob_set(%u, %u, %d) is %d", k, cls, value, err);
	FUZZ_REQUIRE(good || knob_epoch() == epoch, "a refused knob moved the epoch");
	FUZZ_REQUIRE(!good || knob_get((enum hak_knob)k, cls) == value, "knob %u did not move", k);
}

static void op_purge(void)
{
	(void)hak_purge();
}

static void op_stats(void)
{
	union {
		struct hak_stats stats;
		unsigned char room[UINT8_MAX];
	} s = { .stats.struct_bytes = fuzz_byte(&input) };
	char text[UINT8_MAX + 1];
	size_t size = fuzz_byte(&input);
	(void)hak_stats_get(&s.stats);
	FUZZ_REQUIRE(hak_stats_json(text, size) > 0 || size == 0, "no JSON");
	FUZZ_REQUIRE(size == 0 || strlen(text) < size, "JSON of %zu bytes overruns", size);
}

/* The kernel refuses: the nth next call of a kind, and every period-th after it. */
static void op_fault(void)
{
	unsigned call = fuzz_byte(&input) % OS_CALL_COUNT;
	uint8_t nth = fuzz_byte(&input);
	if (call == OS_THREAD)
		return;
	may_fail = true;
	os_fault_arm((enum os_call)call, nth & 31, nth >> 5);
}

static bool is_live(const void *p)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].at != NULL && (uintptr_t)p - (uintptr_t)slots[i].at <
						   (slots[i].usable > 0 ? slots[i].usable : 1))
			return true;
	return false;
}

/* A pointer that is no block: reported, and left alone. */
static void op_misuse(void)
{
	struct shadow_block *b = &slots[fuzz_byte(&input)];
	size_t inside = fuzz_number(&input, 2);
	if (misuses++ >= MAX_MISUSES)
		return;
	if (b->at != NULL && b->usable > 1)
		hak_free(b->at + 1 + inside % (b->usable - 1));
	else if (last_freed != NULL && !is_live(last_freed))
		hak_free(last_freed);
	else
		return;
	reports++;
	FUZZ_REQUIRE(report_count() == reports, "a bad pointer made %llu reports of %llu",
		     (unsigned long long)report_count(), (unsigned long long)reports);
	if (b->at != NULL)
		shadow_verify(b, b->at, b->filled, "free of a pointer into it");
}

static void (*const ops[])(void) = {
	op_malloc, op_free,  op_realloc, op_zalloc, op_aligned, op_verify,
	op_knob,   op_purge, op_absurd,  op_stats,  op_fault,	op_misuse,
};
enum {
	OPS = sizeof(ops) / sizeof(ops[0]),
	OP_LANE = OPS, /* another lane goes on */
	OP_LANE_END,   /* a lane's thread ends; it has a new one when it is asked for again */
	OP_COUNT,
};

/* Until another lane has its turn, which is returned; lane 0 at the end. */
static unsigned run_ops(unsigned me)
{
	while (input.left > 0 && op_number < MAX_OPS) {
		unsigned op = fuzz_byte(&input) % OP_COUNT;
		op_number++;
		if (op < OPS) {
			ops[op]();
			continue;
		}
		unsigned lane = fuzz_byte(&input) % LANES;
		if (op == OP_LANE && lane != me) {
			lane_start(lane);
			return lane;
		}
		if (op == OP_LANE_END && lane != me)
			lane_end(lane);
	}
	return 0;
}

/* ---- one input */

static void begin(const uint8_t *data, size_t size)
{
	input = (struct fuzz_input){ data, size };
	rng.state = size;
	live_bytes = asked_bytes = 0;
	op_number = misuses = 0;
	reports = report_count();
	may_fail = false;
	last_freed = NULL;
}

static void end(void)
{
	for (unsigned call = 0; call < OS_CALL_COUNT; call++)
		os_fault_arm((enum os_call)call, 0, 0);
	for (unsigned lane = 1; lane < LANES; lane++)
		lane_end(lane);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].at != NULL)
			free_block(&slots[i], 0);
	knob_reset_all();
	FUZZ_REQUIRE(report_count() == reports, "a good pointer was reported");
	shadow_check_nothing_live();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Everything happens in one thread at a time, and bad pointers are survived. */
	options.background = 0;
	options.on_error_report = 1;
	begin(data, size);
	while (input.left > 0 && op_number < MAX_OPS) {
		unsigned next = run_ops(0);
		if (next != 0) {
			pass_turn(next);
			wait_for_turn(0);
		}
	}
	end();
	return 0;
}
