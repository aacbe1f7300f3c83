/* Full checking (HAKMEM_CHECK=full): what is known of each block in slabs, and of the
 * large ones that guard.h had no room for. A note per address says who allocated and freed
 * the block; the bytes between the size asked for and the block's end are filled, and
 * looked at when it, or the block behind it, is freed; a freed block is filled, waits in
 * a quarantine, and is looked at when it leaves that and when it is used again. Its
 * size, as the program is told, is the size asked for.
 *
 * Reached by slow paths alone: the thread caches have no capacity then. Thread-safe. */
#ifndef HAK_COMMON_CHECK_H
#define HAK_COMMON_CHECK_H

#include "common/base.h"
#include "common/history.h"

struct lock;

enum {
	CHECK_TAIL_BYTES = 16, /* at least, behind each block */
	CHECK_QUARANTINE_BLOCKS = 8192,
	CHECK_QUARANTINE_BYTES = 64 << 20,
};

/* A block as the layers below know it. */
struct checked_block {
	uintptr_t addr;
	size_t usable_bytes;
	uintptr_t before;  /* the block of the slab in front of it; 0: none */
	uint32_t serial;   /* of its slab; 0: it has none */
};

/* b is going to the program, which asked for `bytes`. */
void check_out(const struct checked_block *b, size_t bytes, enum origin origin);

/* The program frees b. False: something is wrong; it has been reported, and the block is
 * to be left alone. */
bool check_in(const struct checked_block *b, const struct free_call *call);

/* Put a block, checked in, into the quarantine. */
void check_quarantine(uintptr_t addr, size_t bytes);

/* A block that has been there long enough, to be freed now; 0: none. */
uintptr_t check_quarantine_leave(void);

/* Look at every block, freed or live; what is found is reported. For the end of the
 * process. */
void check_everything(void);

/* Bytes asked for when the live block p was allocated; `usable` if that is not known. */
size_t check_bytes(uintptr_t p, size_t usable);

/* What is known of the block that started at addr last; false: nothing, or the lock is
 * taken. For reports. */
bool check_history(uintptr_t addr, struct history *out);

/* visit(h, arg) for each live block that is known, in no order; the lock is held, and *h stays
 * at its place for ever. */
void check_each_live(void (*visit)(const struct history *h, void *arg), void *arg);

struct lock *check_lock(void); /* for fork */

#endif
