#include "common/report.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/atomics.h"
#include "common/diag.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/large.h"
#include "common/options.h"
#include "common/registry.h"
#include "common/slab.h"

enum {
	REPORTS_MAX = 16, /* with HAKMEM_ON_ERROR=report; later ones are only counted */
	STACK_FRAMES_MAX = 24,
};

static _Atomic uint64_t count;

uint64_t report_count(void)
{
	return atomic_load_relaxed(&count);
}

/* Read two words that may not be readable: the kernel says so instead of us
 * crashing in the middle of a report. */
static bool read_frame(uintptr_t fp, uintptr_t frame[2])
{
	struct iovec local = { .iov_base = frame, .iov_len = 2 * sizeof(*frame) };
	struct iovec remote = { .iov_base = (void *)fp, .iov_len = 2 * sizeof(*frame) };
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)local.iov_len;
}

/* Walk frame pointers: complete as far as the code keeps them. */
static void text_stack(struct text *t)
{
	uintptr_t fp = (uintptr_t)__builtin_frame_address(0);
	uintptr_t frame[2];
	text_printf(t, "  call stack (addresses, for addr2line):");
	for (int i = 0; i < STACK_FRAMES_MAX && read_frame(fp, frame) && frame[1] != 0; i++) {
		text_printf(t, " %p", (void *)frame[1]);
		if (frame[0] <= fp)
			break;
		fp = frame[0];
	}
	text_printf(t, "\n");
}

/* Where p lies, against the block it should have been. */
static void text_block(struct text *t, uintptr_t addr, const struct slab *s)
{
	uint32_t offset = (uint32_t)(addr - s->base);
	uint32_t index = class_block_index(s->cls, offset);
	size_t bytes = class_bytes(s->cls);
	text_printf(t,
		    "  address %p = slab %p + %u: block %u of %u, %zu bytes each (class %u), "
		    "%zu bytes into it\n  slab owned by heap %p, %u blocks free\n",
		    (void *)addr, (void *)s->base, offset, index, s->capacity, bytes, s->cls,
		    offset - index * bytes, (void *)atomic_load_relaxed(&s->owner), s->free_count);
}

static void report_end(struct text *t)
{
	text_stack(t);
	text_printf(t, "  what to do: run the program under HAKMEM_ON_ERROR=report to see whether "
		       "there are more; the code that freed or kept this pointer is at fault\n");
	if (atomic_load_relaxed(&count) <= REPORTS_MAX)
		diag_write(t);
	if (!options.on_error_report)
		abort();
}

static void report_begin(struct text *t, char *buf, size_t size, const char *prefix)
{
	atomic_add_relaxed(&count, 1);
	text_init(t, buf, size);
	text_printf(t, "[%s] hakmem: ", prefix);
}

static void report_in_slab(struct text *t, char *buf, size_t size, uintptr_t addr,
			   const struct slab *s, const char *doing)
{
	uint32_t index = class_block_index(s->cls, (uint32_t)(addr - s->base));
	size_t bytes = class_bytes(s->cls);
	size_t into = addr - s->base - index * bytes;
	if (index >= s->capacity) {
		report_begin(t, buf, size, "TLS_SLL_PUSH_MISALIGNED");
		text_printf(t, "%s(%p): points behind the last block of a slab of class %u\n", doing,
			    (void *)addr, s->cls);
	} else if (into != 0) {
		report_begin(t, buf, size, "TLS_SLL_PUSH_MISALIGNED");
		text_printf(t, "%s(%p): points %zu bytes into a %s %zu-byte block that starts at %p\n",
			    doing, (void *)addr, into,
			    slab_block_is_free(s, index) ? "free" : "live", bytes, (void *)(addr - into));
	} else {
		report_begin(t, buf, size, "TLS_SLL_DOUBLE_FREE");
		text_printf(t, "%s(%p): already free\n", doing, (void *)addr);
	}
	text_block(t, addr, s);
}

static void report_interior(struct text *t, char *buf, size_t size, uintptr_t addr, uintptr_t base,
			    size_t bytes, const char *doing)
{
	report_begin(t, buf, size, "TLS_SLL_PUSH_MISALIGNED");
	text_printf(t, "%s(%p): points %zu bytes into a live %zu-byte block that starts at %p\n", doing,
		    (void *)addr, addr - base, bytes, (void *)base);
}

/* Freed huge blocks that lie side by side are one: where each began is not known,
 * but that it was at a unit. */
static void report_in_freed(struct text *t, char *buf, size_t size, uintptr_t addr,
			    const struct huge_place *place, const char *doing)
{
	if (addr % HAK_UNIT_BYTES == 0) {
		report_begin(t, buf, size, "TLS_SLL_DOUBLE_FREE");
		text_printf(t, "%s(%p): already free: ", doing, (void *)addr);
	} else {
		report_begin(t, buf, size, "TLS_SLL_PUSH_MISALIGNED");
		text_printf(t, "%s(%p): no start of a block: ", doing, (void *)addr);
	}
	text_printf(t, "it lies in %zu bytes of freed huge blocks that start at %p\n", place->bytes,
		    (void *)place->base);
}

void report_bad_pointer(const void *p, const char *doing)
{
	char buf[2048];
	struct text t;
	uintptr_t addr = (uintptr_t)p;
	struct huge_place huge;
	void *record;
	unsigned kind = registry_lookup(addr, &record);

	if (kind >= 1 && kind <= HAK_CLASS_COUNT) {
		report_in_slab(&t, buf, sizeof(buf), addr, slab_of_block(p), doing);
	} else if (kind == UNIT_LARGE) {
		const struct large_span *l = record;
		report_interior(&t, buf, sizeof(buf), addr, l->base, l->usable_bytes, doing);
	} else if (huge_find(addr, &huge)) {
		if (huge.live)
			report_interior(&t, buf, sizeof(buf), addr, huge.base, huge.bytes, doing);
		else
			report_in_freed(&t, buf, sizeof(buf), addr, &huge, doing);
	} else {
		report_begin(&t, buf, sizeof(buf), "TLS_SLL_PUSH_NO_SS");
		text_printf(&t,
			    "%s(%p): not ours: no slab, span or mapping of this allocator holds this "
			    "address now\n  it is a stack, global or foreign address, was computed "
			    "wrongly, or was a block whose memory has gone back\n",
			    doing, p);
	}
	report_end(&t);
}

void report_double_free(const void *block, const char *how)
{
	char buf[2048];
	struct text t;
	void *record;
	unsigned kind = registry_lookup((uintptr_t)block, &record);
	report_begin(&t, buf, sizeof(buf), "TLS_SLL_DOUBLE_FREE");
	text_printf(&t, "free(%p): already free: %s\n", block, how);
	if (kind >= 1 && kind <= HAK_CLASS_COUNT)
		text_block(&t, (uintptr_t)block, slab_of_block(block));
	report_end(&t);
}
