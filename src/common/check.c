#include "common/check.h"

#include <string.h>

#include "common/bits.h"
#include "common/lock.h"
#include "common/meta.h"
#include "common/report.h"

enum {
	TAIL_BYTE = 0xcb,
	FREED_BYTE = 0xdb,
	BUCKET_BITS = 16,
	BEFORE_BYTES = 16, /* of a free block that are looked at for the one behind it */
};

struct note {
	struct note *next; /* in its bucket */
	uintptr_t addr;
	size_t usable_bytes;
	uint32_t serial;
	bool filled;       /* free, with FREED_BYTE all over */
	bool waiting;      /* in quarantine */
	struct history history;
};

struct waiting {
	uintptr_t addr;
	size_t bytes;
};

/* All under the lock. Notes are never given back: their number is that of the addresses
 * at which a block ever started. */
static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_CHECK);
static struct meta_pool notes;
static struct note *buckets[1 << BUCKET_BITS];
/* A ring; half of it is for threads between their check_quarantine() and _leave(). */
static struct waiting quarantine[2 * CHECK_QUARANTINE_BLOCKS];
static size_t quarantine_first, quarantine_count, quarantine_bytes;

struct lock *check_lock(void)
{
	return &lock;
}

/* ---- notes; the lock is held */

static struct note **bucket_of(uintptr_t addr)
{
	/* Fibonacci hashing: Knuth, volume 3, 6.4. */
	return &buckets[(addr / HAK_MIN_ALIGN * UINT64_C(0x9e3779b97f4a7c15)) >>
			(64 - BUCKET_BITS)];
}

static struct note *note_find_locked(uintptr_t addr)
{
	struct note *n = *bucket_of(addr);
	while (n != NULL && n->addr != addr)
		n = n->next;
	return n;
}

static struct note *note_make_locked(uintptr_t addr)
{
	struct note **bucket = bucket_of(addr);
	struct note *n = meta_pool_alloc(&notes, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->addr = addr;
	n->filled = n->waiting = false;
	n->next = *bucket;
	*bucket = n;
	return n;
}

bool check_history(uintptr_t addr, struct history *out)
{
	const struct note *n;
	bool found;
	/* The report may come from under the lock, or from a handler that interrupted it. */
	if (lock_is_mine(&lock) || !lock_try(&lock))
		return false;
	n = note_find_locked(addr);
	found = n != NULL;
	if (found)
		*out = n->history;
	lock_release(&lock);
	return found;
}

size_t check_bytes(uintptr_t p, size_t usable)
{
	const struct note *n;
	lock_acquire(&lock);
	n = note_find_locked(p);
	if (n != NULL && !n->history.freed)
		usable = n->history.bytes;
	lock_release(&lock);
	return usable;
}

/* ---- fillings */

/* The first of n bytes that is not `byte`; 0: none. */
static uintptr_t first_other(uintptr_t addr, size_t n, unsigned char byte)
{
	const unsigned char *p = (const unsigned char *)addr;
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return addr + i;
	return 0;
}

static void fill_tail(const struct note *n)
{
	memset((void *)(n->addr + n->history.bytes), TAIL_BYTE, n->usable_bytes - n->history.bytes);
}

static uintptr_t damage_of_tail(const struct note *n)
{
	return first_other(n->addr + n->history.bytes, n->usable_bytes - n->history.bytes,
			   TAIL_BYTE);
}

static uintptr_t damage_of_freed(const struct note *n)
{
	return n->filled ? first_other(n->addr, n->usable_bytes, FREED_BYTE) : 0;
}

/* What is found under the lock and told without it. */
struct finding {
	uintptr_t at; /* the first bad byte; 0: none */
	uintptr_t block;
	struct history history;
};

static void note_finding(struct finding *f, const struct note *n, uintptr_t at)
{
	f->at = at;
	if (at != 0) {
		f->block = n->addr;
		f->history = n->history;
	}
}

/* ---- out */

void check_out(const struct checked_block *b, size_t bytes, enum origin origin)
{
	struct finding damage = { .at = 0 };
	struct note *n;
	lock_acquire(&lock);
	n = note_find_locked(b->addr);
	if (n != NULL && n->serial == b->serial)
		note_finding(&damage, n, damage_of_freed(n));
	if (n == NULL)
		n = note_make_locked(b->addr);
	if (n != NULL) {
		n->usable_bytes = b->usable_bytes;
		n->serial = b->serial;
		n->filled = false;
		history_begin(&n->history, max_size(bytes, 1), origin);
		fill_tail(n);
	}
	lock_release(&lock);
	if (damage.at != 0)
		report_use_after_free(damage.block, &damage.history, damage.at,
				      "found when the block was to be used again");
}

/* ---- in */

/* Was the block in front written past its end, or this one before its start? */
static void look_before_locked(const struct checked_block *b, struct finding *f)
{
	const struct note *n = b->before != 0 ? note_find_locked(b->before) : NULL;
	f->at = 0;
	if (n == NULL || n->serial != b->serial)
		return;
	if (!n->history.freed)
		note_finding(f, n, damage_of_tail(n));
	else if (n->filled)
		note_finding(f, n, first_other(b->addr - BEFORE_BYTES, BEFORE_BYTES, FREED_BYTE));
}

bool check_in(const struct checked_block *b, const struct free_call *call)
{
	struct finding before, damage = { .at = 0 };
	struct history history;
	struct note *n;
	bool twice = false, known;

	lock_acquire(&lock);
	look_before_locked(b, &before);
	n = note_find_locked(b->addr);
	known = n != NULL;
	if (known) {
		history = n->history;
		twice = history.freed;
		if (!twice) {
			note_finding(&damage, n, damage_of_tail(n));
			history_end(&n->history); /* from now on a second free is seen */
		}
	}
	lock_release(&lock);

	if (before.at != 0)
		report_overrun(before.block, &before.history, before.at,
			       "found when the block behind it was freed: that one may have been "
			       "written before its start");
	if (!known) /* from before checking began, or there was no memory for a note */
		return true;
	if (twice) {
		report_double_free((const void *)b->addr, call->name, "it is in quarantine");
		return false;
	}
	if (!history_allows(&history, b->addr, call))
		return false;
	if (damage.at != 0) {
		report_overrun(damage.block, &damage.history, damage.at, "found when it was freed");
		return false;
	}
	return true;
}

/* ---- quarantine */

void check_quarantine(uintptr_t addr, size_t bytes)
{
	struct note *n;
	lock_acquire(&lock);
	n = note_find_locked(addr);
	if (n != NULL) {
		memset((void *)addr, FREED_BYTE, n->usable_bytes);
		n->filled = n->waiting = true;
	}
	quarantine[(quarantine_first + quarantine_count) % HAK_ARRAY_LEN(quarantine)] =
		(struct waiting){ addr, bytes };
	quarantine_count++;
	quarantine_bytes += bytes;
	lock_release(&lock);
}

static bool is_full_locked(void)
{
	return quarantine_count > CHECK_QUARANTINE_BLOCKS ||
	       quarantine_bytes > CHECK_QUARANTINE_BYTES;
}

static uintptr_t leave_locked(struct finding *damage)
{
	struct waiting w = quarantine[quarantine_first];
	struct note *n = note_find_locked(w.addr);
	quarantine_first = (quarantine_first + 1) % HAK_ARRAY_LEN(quarantine);
	quarantine_count--;
	quarantine_bytes -= w.bytes;
	if (n != NULL) {
		note_finding(damage, n, damage_of_freed(n));
		n->waiting = false;
		n->filled = n->serial != 0; /* only a slab keeps a free block's bytes */
	}
	return w.addr;
}

uintptr_t check_quarantine_leave(void)
{
	struct finding damage = { .at = 0 };
	uintptr_t addr = 0;
	lock_acquire(&lock);
	if (is_full_locked())
		addr = leave_locked(&damage);
	lock_release(&lock);
	if (damage.at == 0)
		return addr;
	report_use_after_free(damage.block, &damage.history, damage.at,
			      "found when the block left the quarantine");
	return check_quarantine_leave(); /* that one stays as it is; the next */
}

/* ---- at the end */

static uintptr_t damage_of(const struct note *n)
{
	if (!n->history.freed)
		return damage_of_tail(n);
	return n->waiting ? damage_of_freed(n) : 0;
}

/* The first damaged block of a bucket; what was found is marked as if it were none. */
static bool look_through(struct note *n, struct finding *damage)
{
	lock_acquire(&lock);
	for (damage->at = 0; n != NULL && damage->at == 0; n = n->next) {
		note_finding(damage, n, damage_of(n));
		if (damage->at != 0 && n->history.freed)
			memset((void *)n->addr, FREED_BYTE, n->usable_bytes);
		else if (damage->at != 0)
			fill_tail(n);
	}
	lock_release(&lock);
	return damage->at != 0;
}

void check_everything(void)
{
	struct finding damage;
	for (size_t i = 0; i < HAK_ARRAY_LEN(buckets); i++) {
		while (look_through(buckets[i], &damage)) {
			if (damage.history.freed)
				report_use_after_free(damage.block, &damage.history, damage.at,
						      "found at the end of the process");
			else
				report_overrun(damage.block, &damage.history, damage.at,
					       "found at the end of the process");
		}
	}
}

void check_each_live(void (*visit)(const struct history *h, void *arg), void *arg)
{
	lock_acquire(&lock);
	for (size_t i = 0; i < HAK_ARRAY_LEN(buckets); i++)
		for (const struct note *n = buckets[i]; n != NULL; n = n->next)
			if (!n->history.freed)
				visit(&n->history, arg);
	lock_release(&lock);
}
