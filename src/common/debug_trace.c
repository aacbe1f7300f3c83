#include "common/debug_trace.h"

#include "common/atomics.h"
#include "common/diag.h"
#include "common/options.h"
#include "common/registry.h"
#include "common/slab.h"
#include "common/thread.h"

static _Atomic uint32_t operations, mismatches;

static void operation(const char *what, unsigned cls, const void *block)
{
	const struct slab *s;
	uint32_t n;
	if (atomic_load_relaxed(&operations) >= TRACE_OPERATIONS_MAX)
		return;
	n = atomic_add_relaxed(&operations, 1) + 1;
	if (n > TRACE_OPERATIONS_MAX)
		return;
	if (!registry_covers((uintptr_t)block) ||
	    tag_kind(unit_tag(registry_unit_of((uintptr_t)block))) != cls) {
		diag_line("[TLS_SLL_TRACE] %u: thread %u %s %p, class %u: no slab of this class", n,
			  thread_os_id(), what, block, cls);
		return;
	}
	s = slab_of_block(block);
	diag_line("[TLS_SLL_TRACE] %u: thread %u %s %p, class %u: block %u of slab %p", n,
		  thread_os_id(), what, block, cls, slab_block_index(s, block), (void *)s->base);
}

void trace_push(unsigned cls, const void *block)
{
	if (HAK_UNLIKELY(options.debug_trace))
		operation("pushes", cls, block);
}

void trace_pop(unsigned cls, const void *block)
{
	if (HAK_UNLIKELY(options.debug_trace))
		operation("pops", cls, block);
}

static void text_unit(struct text *t, uintptr_t addr)
{
	const struct registry_unit *unit;
	uintptr_t tag;
	if (!registry_covers(addr)) {
		text_printf(t, "    %p: beyond the page map\n", (void *)addr);
		return;
	}
	unit = registry_unit_of(addr);
	tag = unit_tag(unit);
	text_printf(t, "    unit %p: kind %u, base %p, record %p, was of kind %u before; leaf %s\n",
		    (void *)align_down(addr, HAK_UNIT_BYTES), tag_kind(tag), (void *)tag_base(tag),
		    unit_record(unit), tag_last_kind(tag),
		    atomic_load_relaxed(&registry_root[addr >> REGISTRY_LEAF_SHIFT]) != 0
			    ? "present"
			    : "absent");
}

void trace_mismatch(struct text *t, uintptr_t addr)
{
	if (HAK_LIKELY(!options.debug_trace) ||
	    atomic_add_relaxed(&mismatches, 1) >= TRACE_MISMATCHES_MAX)
		return;
	text_printf(t, "  slab registration around %p:\n", (void *)addr);
	text_unit(t, addr - HAK_UNIT_BYTES);
	text_unit(t, addr);
	text_unit(t, addr + HAK_UNIT_BYTES);
}
