#include "common/large.h"

#include "common/atomics.h"
#include "common/meta.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/superslab.h"

static struct meta_pool records;
static _Atomic size_t live_bytes;

size_t large_bytes(void)
{
	return atomic_load_relaxed(&live_bytes);
}

/* A block of at least this many bytes may begin in the middle of a page, and touch one more. */
enum { PAGE_IS_LITTLE = 256 * 1024 };

static _Atomic uint32_t created; /* so far: the next colour */

static unsigned units_for(size_t bytes)
{
	return (unsigned)((bytes + HAK_UNIT_BYTES - 1) / HAK_UNIT_BYTES);
}

/* Where a block begins, that the first lines of large blocks do not all fall on one cache set:
 * another colour each time, as far as the span has room and no page more is touched. */
static size_t next_colour(size_t bytes)
{
	size_t usable = align_up(bytes, os_page_bytes());
	size_t room = units_for(usable) * HAK_UNIT_BYTES - usable;
	size_t colours;
	if (bytes < PAGE_IS_LITTLE)
		room = min_size(room, usable - bytes);
	colours = min_size(room, HAK_COLOUR_END - HAK_COLOUR_BYTES) / HAK_COLOUR_BYTES + 1;
	return atomic_add_relaxed(&created, 1) % colours * HAK_COLOUR_BYTES;
}

static size_t colour_of(const struct large_span *l)
{
	return l->base % HAK_UNIT_BYTES;
}

void *large_alloc(size_t bytes, size_t align, bool *zeroed)
{
	unsigned align_units = (unsigned)max_size(align / HAK_UNIT_BYTES, 1);
	struct large_span *l = meta_pool_alloc(&records, sizeof(*l));
	struct span span;
	if (l == NULL)
		return NULL;
	if (!span_alloc(&span, units_for(bytes), align_units)) {
		meta_pool_free(&records, l);
		return NULL;
	}
	l->superslab = span.superslab;
	l->base = span.base + (align <= HAK_COLOUR_BYTES ? next_colour(bytes) : 0);
	l->usable_bytes = align_up(bytes, os_page_bytes());
	l->first_unit = (uint8_t)span.first;
	l->units = (uint8_t)span.units;
	l->former_colour = registry_former_colour(span.base);
	l->origin = ORIGIN_MALLOC;
	registry_set(l->base, l->units, UNIT_LARGE, l);
	atomic_add_relaxed(&live_bytes, (size_t)l->units * HAK_UNIT_BYTES);
	*zeroed = span.zeroed;
	return (void *)l->base;
}

void large_free(struct large_span *l)
{
	registry_clear(l->base, l->units);
	span_free(l->superslab, l->first_unit, l->units);
	atomic_sub_relaxed(&live_bytes, (size_t)l->units * HAK_UNIT_BYTES);
	meta_pool_free(&records, l);
}

static void give_up_units(struct large_span *l, unsigned units)
{
	unsigned less = l->units - units;
	registry_clear(l->base + (uintptr_t)units * HAK_UNIT_BYTES, less);
	span_free(l->superslab, l->first_unit + units, less);
	atomic_sub_relaxed(&live_bytes, (size_t)less * HAK_UNIT_BYTES);
	l->units = (uint8_t)units;
}

static bool take_units(struct large_span *l, unsigned units)
{
	unsigned more = units - l->units;
	if (!span_extend(l->superslab, l->first_unit, l->units, more))
		return false;
	l->units = (uint8_t)units;
	registry_set(l->base, units, UNIT_LARGE, l);
	atomic_add_relaxed(&live_bytes, (size_t)more * HAK_UNIT_BYTES);
	return true;
}

bool large_resize(struct large_span *l, size_t bytes)
{
	size_t usable = align_up(bytes, os_page_bytes());
	unsigned units = units_for(colour_of(l) + usable);
	if (units > l->units && !take_units(l, units))
		return false;
	if (units < l->units)
		give_up_units(l, units);
	l->usable_bytes = usable;
	return true;
}
