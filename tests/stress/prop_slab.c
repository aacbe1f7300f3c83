/* Property test: a slab against a model, for every size class.
 *
 * The model is one bool per block, free or not. Random takes, puts, double puts
 * and page releases act on both, and after each step the slab must agree: which
 * blocks came out (the lowest free ones, lowest on top), counts, states, bitmap,
 * and that no page given back holds a live block, whose content must stay.
 */
#include "support.h"

#include "common/os.h"
#include "common/slab.h"
#include "common/superslab.h"
#include "common/thread.h"

#include <string.h>

enum {
	MAX_BLOCKS = HAK_SLAB_MAX_UNITS * HAK_UNIT_BYTES / HAK_MIN_ALIGN,
	TAKE_MAX = 254,
	STEPS = 4000,
};

struct model {
	struct slab *slab;
	unsigned cls, capacity, nfree, ever_out;
	bool is_free[MAX_BLOCKS];
	uint64_t tag[MAX_BLOCKS]; /* content of the first and the last word of a live block */
};

static struct model m;

static unsigned char *block_at(unsigned i)
{
	return (unsigned char *)(m.slab->base + (uintptr_t)i * class_bytes(m.cls));
}

static void tag_write(unsigned i, uint64_t tag)
{
	m.tag[i] = tag;
	memcpy(block_at(i), &tag, sizeof(tag));
	memcpy(block_at(i) + class_bytes(m.cls) - sizeof(tag), &tag, sizeof(tag));
}

static void tag_check(unsigned i, const char *when)
{
	uint64_t head, tail;

	memcpy(&head, block_at(i), sizeof(head));
	memcpy(&tail, block_at(i) + class_bytes(m.cls) - sizeof(tail), sizeof(tail));
	if (head != m.tag[i] || tail != m.tag[i])
		fail("class %u, live block %u, %s: content %#llx ... %#llx, expected %#llx", m.cls,
		     i, when, (unsigned long long)head, (unsigned long long)tail,
		     (unsigned long long)m.tag[i]);
}

static void compare(const char *after)
{
	if (m.slab->free_count != m.nfree)
		fail("class %u after %s: free_count %u, model %u", m.cls, after,
		     m.slab->free_count, m.nfree);
	if (m.slab->carved < m.ever_out)
		fail("class %u after %s: carved %u, but block %u has been out", m.cls, after,
		     m.slab->carved, m.ever_out - 1);
	for (unsigned i = 0; i < m.capacity; i++)
		if (slab_block_is_free(m.slab, i) != m.is_free[i])
			fail("class %u after %s: block %u of %u is %s, model says %s", m.cls, after,
			     i, m.capacity, m.is_free[i] ? "in use" : "free",
			     m.is_free[i] ? "free" : "in use");
	slab_check(m.slab);
}

/* The model's lowest free block at or above `from`. */
static unsigned lowest_free(unsigned from)
{
	while (from < m.capacity && !m.is_free[from])
		from++;
	return from;
}

static void step_take(struct rng *rng)
{
	struct cached_block out[TAKE_MAX + 1] = { { 0 } };
	unsigned want = 1 + (unsigned)rng_below(rng, TAKE_MAX);
	unsigned expect = want < m.nfree ? want : m.nfree;
	unsigned n = slab_take(m.slab, out, want), i = 0;

	if (n != expect)
		fail("class %u: take of %u from %u free blocks gave %u", m.cls, want, m.nfree, n);
	for (unsigned at = n; at-- > 0; i++) {
		i = lowest_free(i);
		if (out[at].block != block_at(i) || out[at].state != &m.slab->states[i])
			fail("class %u: entry %u of %u is %p, the lowest free block is %u at %p",
			     m.cls, at, n, out[at].block, i, (void *)block_at(i));
		if (atomic_load_relaxed(out[at].state) != BLOCK_CACHED)
			fail("class %u: block %u is taken and its state is %u", m.cls, i,
			     atomic_load_relaxed(out[at].state));
		m.is_free[i] = false;
		tag_write(i, rng_next(rng));
		if (i >= m.ever_out)
			m.ever_out = i + 1;
	}
	m.nfree -= n;
	for (unsigned at = n; at <= TAKE_MAX; at++)
		if (out[at].block)
			fail("class %u: a take of %u wrote entry %u", m.cls, n, at);
}

/* How many of n blocks a put takes, up to the first that is free; the model takes them. */
static unsigned model_put(const unsigned *indices, unsigned n)
{
	unsigned i = 0;

	for (; i < n && !m.is_free[indices[i]]; i++) {
		m.is_free[indices[i]] = true;
		m.nfree++;
	}
	return i;
}

/* Blocks of the slab, some free already, some perhaps twice. */
static void put_all(const unsigned *indices, unsigned n)
{
	struct cached_block blocks[TAKE_MAX] = { { 0 } };
	struct slab *slabs[TAKE_MAX];

	for (unsigned i = 0; i < n; i++) {
		blocks[i] = slab_locate(m.cls, block_at(indices[i]));
		if (blocks[i].state != &m.slab->states[indices[i]])
			fail("class %u: the state of block %u is not found", m.cls, indices[i]);
		if (!m.is_free[indices[i]])
			tag_check(indices[i], "before it is put back");
	}
	slab_find(m.cls, blocks, n, slabs);
	for (unsigned i = 0; i < n; i++)
		if (slabs[i] != m.slab)
			fail("class %u: the slab of block %u is not found", m.cls, indices[i]);
	for (unsigned done = 0; done < n;) {
		unsigned put = slab_put(m.slab, blocks + done, n - done);
		unsigned expected = model_put(indices + done, n - done);

		if (put != expected)
			fail("class %u: a put took %u blocks, the first that is free is number %u",
			     m.cls, put, expected);
		done += put + 1;
	}
}

static void step_put(struct rng *rng)
{
	unsigned run = 1 + (unsigned)rng_below(rng, rng_one_in(rng, 8) ? TAKE_MAX : 8);
	unsigned from = (unsigned)rng_below(rng, m.capacity);
	unsigned indices[TAKE_MAX], n = 0;
	bool shuffled = rng_one_in(rng, 2);

	for (unsigned k = 0; k < run; k++) {
		unsigned i = shuffled ? (unsigned)rng_below(rng, m.capacity) : from + k;
		if (i < m.capacity && (!m.is_free[i] || rng_one_in(rng, 16)))
			indices[n++] = i;
	}
	put_all(indices, n);
}

static bool page_is_wholly_free(size_t page)
{
	uintptr_t units = m.slab->base / HAK_UNIT_BYTES * HAK_UNIT_BYTES;
	uintptr_t begin = units + page * os_page_bytes(), end = begin + os_page_bytes();

	for (unsigned i = 0; i < m.capacity; i++) {
		uintptr_t block = (uintptr_t)block_at(i);
		if (block < end && block + class_bytes(m.cls) > begin && !m.is_free[i])
			return false;
	}
	return true;
}

static void step_release(struct rng *rng)
{
	size_t pages = (size_t)m.slab->units * HAK_UNIT_BYTES / os_page_bytes();
	unsigned min_pages = 1 + (unsigned)rng_below(rng, 4);
	size_t bytes = slab_release_pages(m.slab, min_pages);
	/* Pages that lie above may never have been touched. */
	size_t touched = m.slab->base % HAK_UNIT_BYTES + m.slab->carved * class_bytes(m.cls);

	if (bytes % os_page_bytes() || bytes > pages * os_page_bytes())
		fail("class %u: %zu bytes given back of %zu pages", m.cls, bytes, pages);
	for (size_t p = 0; p < pages; p++) {
		bool purged = m.slab->purged_pages[p / 64] >> (p % 64) & 1;
		bool is_free = page_is_wholly_free(p);

		if (purged && !is_free)
			fail("class %u: page %zu counts as given back and holds a live block",
			     m.cls, p);
		if (!purged && is_free && min_pages == 1 && (p + 1) * os_page_bytes() <= touched)
			fail("class %u: page %zu is free and was not given back", m.cls, p);
	}
	for (unsigned i = 0; i < m.capacity; i++)
		if (!m.is_free[i])
			tag_check(i, "after a page release");
}

static void run_class(unsigned cls, struct rng *rng, unsigned steps)
{
	m = (struct model){ .cls = cls, .slab = slab_create(cls, NULL) };
	if (!m.slab)
		fail("no memory for a slab of class %u", cls);
	m.capacity = m.nfree = m.slab->capacity;
	for (unsigned i = 0; i < m.capacity; i++)
		m.is_free[i] = true;
	compare("creation");
	if (m.slab->base % HAK_UNIT_BYTES + m.capacity * class_bytes(cls) >
	    m.slab->units * HAK_UNIT_BYTES)
		fail("class %u: its blocks from %#lx on are more than %u units", cls,
		     (unsigned long)m.slab->base, m.slab->units);
	for (unsigned n = 0; n < steps; n++) {
		/* Waves: mostly fill, then mostly empty. */
		unsigned take = n / 256 % 2 ? 3 : 7;
		unsigned kind = (unsigned)rng_below(rng, 11);
		if (kind == 10)
			step_release(rng);
		else if (kind < take)
			step_take(rng);
		else
			step_put(rng);
		compare(kind == 10 ? "release" : kind < take ? "take" : "put");
	}
	for (unsigned i = 0; i < m.capacity; i++)
		if (!m.is_free[i])
			put_all(&i, 1);
	compare("the last put");
	slab_destroy(m.slab);
	superslab_check();
}

/* Multiplication must give what division gives, for each byte of the slab. */
static void check_block_index(unsigned cls, unsigned stride)
{
	uint32_t bytes = (uint32_t)class_bytes(cls);
	uint32_t span = (uint32_t)class_layout[cls].units * HAK_UNIT_BYTES;

	for (uint32_t o = 0; o < span; o += stride)
		if (class_block_index(cls, o) != o / bytes)
			fail("class %u of %u bytes: offset %u is in block %u, not %u", cls, bytes,
			     o, o / bytes, class_block_index(cls, o));
}

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "prop_slab", .threads = 1 };

	args_parse(&args, argc, argv);
	hak_init_once();
	struct rng rng = { args.seed };
	/* Big slabs take longer to compare, and there are many classes. */
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned steps =
			STEPS / (class_layout[cls].capacity / 256 + 1) * args.percent / 100;
		check_block_index(cls, args.percent < 100 ? 7 : 1);
		for (unsigned c = 0; c < class_layout[cls].colours; c++)
			run_class(cls, &rng, steps / class_layout[cls].colours + 50);
	}
	say("prop_slab: %d classes, nothing found", HAK_CLASS_COUNT);
	return 0;
}
