#include "common/depot.h"

#include <string.h>

#include "arch/inline.h"
#include "common/meta.h"

enum {
	DEPOT_BYTES = 64 * 1024, /* of blocks, at most, per class */
	DEPOT_BUNDLES = 1024,
};

static struct meta_pool bundles;

static struct bundle *bundle_alloc(struct depots *d)
{
	struct bundle *b = d->spare;
	if (b == NULL)
		return meta_pool_alloc(&bundles, sizeof(*b));
	d->spare = b->next;
	return b;
}

static bool has_room(const struct depot *d, unsigned cls, unsigned n)
{
	return d->count < d->limit && (d->count + 1) * n * class_bytes(cls) <= DEPOT_BYTES;
}

bool depot_push(struct depots *all, unsigned cls, const struct cached_block *blocks, unsigned n)
{
	struct depot *d = &all->of_class[cls];
	struct bundle *b = has_room(d, cls, n) ? bundle_alloc(all) : NULL;
	HAK_ASSERT(n <= TCACHE_BUNDLE_MAX);
	if (b == NULL) {
		d->refused = true;
		return false;
	}
	memcpy(b->blocks, blocks, n * sizeof(*blocks));
	b->count = n;
	b->next = d->bundles;
	d->bundles = b;
	d->count++;
	d->stale = false;
	return true;
}

unsigned depot_pop(struct depots *all, unsigned cls, struct cached_block *out, unsigned most)
{
	struct depot *d = &all->of_class[cls];
	struct bundle *b = d->bundles;
	if (b == NULL || b->count > most)
		return 0;
	for (unsigned i = 0; i < b->count; i++) {
		out[i] = b->blocks[i];
		/* Both will be written, and others may have them: let the misses of a bundle
		 * overlap. */
		hak_prefetch_write(out[i].state);
		hak_prefetch_write(out[i].block);
	}
	d->bundles = b->next;
	d->count--;
	d->stale = false;
	b->next = all->spare;
	all->spare = b;
	return b->count;
}

void depot_missed(struct depots *all, unsigned cls)
{
	struct depot *d = &all->of_class[cls];
	if (d->refused)
		d->limit = d->limit == 0 ? 1 : (uint16_t)min_size(2 * d->limit, DEPOT_BUNDLES);
	d->refused = false;
}

size_t depot_bytes(const struct depots *all, unsigned cls)
{
	size_t blocks = 0;
	for (const struct bundle *b = all->of_class[cls].bundles; b != NULL; b = b->next)
		blocks += b->count;
	return blocks * class_bytes(cls);
}
