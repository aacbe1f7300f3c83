#include "common/limit.h"

#include "common/knobs.h"
#include "common/os.h"

enum {
	LOOK_AGAIN_PART = 32, /* of the soft limit */
	LOOK_AGAIN_MIN = 1 << 20,
	RELIEF_PART = 8, /* pressure ends when so much of the limit is free */
};

_Atomic uint64_t limit_held, limit_look_at = UINT64_MAX;
_Atomic bool limit_is_pressed;

static _Atomic uint64_t soft, hard = UINT64_MAX; /* soft 0: none */

void limit_set(uint64_t soft_bytes, uint64_t hard_bytes)
{
	atomic_store_relaxed(&soft, soft_bytes);
	atomic_store_relaxed(&hard, hard_bytes != 0 ? hard_bytes : UINT64_MAX);
	atomic_store_relaxed(&limit_look_at, soft_bytes != 0 ? soft_bytes : UINT64_MAX);
}

bool limit_charge(size_t bytes)
{
	if (HAK_LIKELY(atomic_add_relaxed(&limit_held, bytes) + bytes <=
		       atomic_load_relaxed(&hard)))
		return true;
	limit_uncharge(bytes);
	return false;
}

void limit_charge_records(size_t bytes)
{
	atomic_add_relaxed(&limit_held, bytes);
}

void limit_uncharge(size_t bytes)
{
	atomic_sub_relaxed(&limit_held, bytes);
}

uint64_t limit_held_bytes(void)
{
	return atomic_load_relaxed(&limit_held);
}

bool limit_is_hard(void)
{
	return atomic_load_relaxed(&hard) != UINT64_MAX;
}

void limit_looked(void)
{
	uint64_t limit = atomic_load_relaxed(&soft), held = limit_held_bytes();
	if (limit == 0)
		return;
	if (held > limit)
		limit = held + max_size(limit / LOOK_AGAIN_PART, LOOK_AGAIN_MIN);
	atomic_store_relaxed(&limit_look_at, limit);
}

bool limit_update_pressure(void)
{
	uint64_t limit = atomic_load_relaxed(&soft), resident;
	bool before = limit_pressure(), now;
	if (limit == 0)
		return false;
	resident = os_resident_bytes();
	now = resident > (before ? limit - limit / RELIEF_PART : limit);
	if (now != before) {
		atomic_store_relaxed(&limit_is_pressed, now);
		knob_touch();
	}
	return now;
}
