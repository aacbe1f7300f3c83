#include "arch/arch.h"

#include <errno.h>
#include <string.h>

#include "arch/detect.h"
#include "common/lock.h"

static struct hak_arch table;
static _Atomic bool ready;
static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_ARCH);

struct lock *arch_lock(void)
{
	return &lock;
}

const struct hak_arch *arch_get(void)
{
	if (!atomic_load_acquire(&ready)) {
		int saved = errno;
		lock_acquire(&lock);
		if (!atomic_load_relaxed(&ready)) {
			arch_generic_fill(&table);
			if (HAK_ARCH_X86_64 || HAK_ARCH_AARCH64)
				arch_native_fill(&table);
			atomic_store_release(&ready, true); /* pairs with the acquire above */
		}
		lock_release(&lock);
		errno = saved;
	}
	return &table;
}

void arch_add_feature(struct hak_arch *a, const char *name, bool present)
{
	size_t have = strlen(a->features), more = strlen(name);
	if (!present || have + more + 2 > sizeof(a->features))
		return;
	if (have > 0)
		a->features[have++] = ' ';
	memcpy(a->features + have, name, more + 1);
}
