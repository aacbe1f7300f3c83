#include "common/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/detect.h"
#include "common/diag.h"
#include "common/maps.h"

enum {
	KERNEL_SIGSET_BYTES = 8,
	PROBE_BYTES = 4096, /* what one probe tells about: the smallest page */
	MAPS_BYTES = 1024, /* for maps_each(); small, as this may run on a signal handler's stack */
	SKIP_MAX = 8,
};

/* rt_sigaction reads the new action before it finds that there is no signal 0; so
 * it fails with EFAULT where memory cannot be read, and does nothing in any case. A NULL is no
 * action: that it does not read. */
bool stack_is_readable(uintptr_t addr)
{
	int saved = errno;
	bool readable =
		addr != 0 && (syscall(SYS_rt_sigaction, 0, addr, NULL, KERNEL_SIGSET_BYTES) == 0 ||
			      errno != EFAULT);
	errno = saved;
	return readable;
}

/* Frame records may lie where a sanitizer says that nothing of ours is. */
__attribute__((no_sanitize("address", "thread"))) static uintptr_t word_at(uintptr_t addr)
{
	return *(const volatile uintptr_t *)addr;
}

/* A return address without what pointer authentication put into its upper bits. */
static uintptr_t code_address(uintptr_t word)
{
	return word & ((UINT64_C(1) << HAK_ADDRESS_BITS) - 1);
}

static uintptr_t record_of(uintptr_t frame)
{
	return frame + (uintptr_t)HAK_ARCH_FRAME_RECORD;
}

/* May the frame record at `record` be read? *probed is the page that was found readable
 * last. */
static bool record_is_readable(uintptr_t record, uintptr_t *probed)
{
	uintptr_t first = record / PROBE_BYTES, last = (record + sizeof(uintptr_t)) / PROBE_BYTES;
	if (first == *probed && last == *probed)
		return true;
	if (!stack_is_readable(record))
		return false;
	*probed = last;
	return true;
}

unsigned stack_walk(uintptr_t *out, unsigned max, uintptr_t frame, const struct stack_range *skip)
{
	uintptr_t probed = UINTPTR_MAX; /* no page's number */
	unsigned n = 0, skipped = 0;
	while (n < max && frame != 0 && frame % sizeof(uintptr_t) == 0) {
		uintptr_t next, pc, record = record_of(frame);
		if (!record_is_readable(record, &probed))
			break;
		next = word_at(record);
		pc = code_address(word_at(record + sizeof(uintptr_t)));
		if (pc == 0)
			break;
		if (n > 0 || skip == NULL || pc < skip->begin || pc >= skip->end ||
		    ++skipped > SKIP_MAX)
			out[n++] = pc;
		if (next <= frame)
			break;
		frame = next;
	}
	return n;
}

void stack_capture(struct stack *out)
{
	uintptr_t callers_frame = word_at(record_of((uintptr_t)__builtin_frame_address(0)));
	stack_capture_from(out, (uintptr_t)__builtin_return_address(0), callers_frame);
	/* No tail call, which would take this frame's place, and leave it without a record. */
	__asm__ volatile("" ::: "memory");
}

void stack_capture_from(struct stack *out, uintptr_t pc, uintptr_t frame)
{
	unsigned n;
	out->frames[0] = pc;
	n = 1 + stack_walk(out->frames + 1, STACK_FRAMES_MAX - 1, frame, NULL);
	if (n < STACK_FRAMES_MAX)
		out->frames[n] = 0;
}

/* Is this the library itself, and not a program that it is linked into? */
static bool is_the_library(const struct mapping *m)
{
	return m->path != NULL && strstr(m->path, "/libhakmem") != NULL;
}

static void own_library_line(const struct mapping *m, void *arg)
{
	struct stack_range *own = arg;
	const uintptr_t here = (uintptr_t)&stack_walk;
	if (here >= m->begin && here < m->end && is_the_library(m))
		*own = (struct stack_range){ m->begin, m->end };
}

struct stack_range stack_own_library(void)
{
	char buf[MAPS_BYTES];
	struct stack_range own = { 0, 0 };
	maps_each(buf, sizeof(buf), own_library_line, &own);
	return own;
}

/* ---- as text */

/* Where the frames lie that have been found so far. */
struct places {
	const struct stack *stack;
	uintptr_t base[STACK_FRAMES_MAX]; /* of the module; 0: not found */
	char name[STACK_FRAMES_MAX][64];  /* the end of its path */
	uintptr_t module_base;            /* of the file of the lines being read */
	char module[64];
	uintptr_t own_base;               /* of the allocator's code; 0: the program's own */
};

/* The last part of the path, cut on the left if it is long. */
static void copy_name(char out[64], const char *path)
{
	size_t n = strlen(path);
	if (n > 63)
		path += n - 63;
	memcpy(out, path, strlen(path) + 1);
}

static void places_line(const struct mapping *m, void *arg)
{
	struct places *p = arg;
	if (m->path == NULL)
		return;
	if (m->offset == 0) {
		p->module_base = m->begin;
		copy_name(p->module, m->path);
	}
	if ((uintptr_t)&stack_capture >= m->begin && (uintptr_t)&stack_capture < m->end &&
	    is_the_library(m))
		p->own_base = p->module_base;
	for (unsigned i = 0; i < STACK_FRAMES_MAX && p->stack->frames[i] != 0; i++) {
		uintptr_t pc = p->stack->frames[i];
		if (pc >= m->begin && pc < m->end) {
			p->base[i] = p->module_base;
			memcpy(p->name[i], p->module, sizeof(p->module));
		}
	}
}

/* Frames to leave out: the allocator's own, if the program is another module. */
static unsigned own_frames(const struct places *p)
{
	unsigned n = 0;
	while (p->own_base != 0 && n < STACK_FRAMES_MAX && p->stack->frames[n] != 0 &&
	       p->base[n] == p->own_base)
		n++;
	return n < STACK_FRAMES_MAX && p->stack->frames[n] != 0 ? n : 0;
}

static void frames_text(struct text *t, const struct stack *s, unsigned most, const char *before,
			const char *behind)
{
	char buf[MAPS_BYTES];
	struct places p;
	memset(&p, 0, sizeof(p));
	p.stack = s;
	maps_each(buf, sizeof(buf), places_line, &p);
	for (unsigned i = own_frames(&p), n = 0;
	     i < STACK_FRAMES_MAX && s->frames[i] != 0 && n < most; i++, n++) {
		text_printf(t, "%s%p", before, (void *)s->frames[i]);
		if (p.base[i] != 0)
			text_printf(t, " %s+0x%lx", p.name[i],
				    (unsigned long)(s->frames[i] - p.base[i]));
		text_printf(t, "%s", behind);
	}
}

void stack_text(struct text *t, const struct stack *s)
{
	frames_text(t, s, STACK_FRAMES_MAX, "    ", "\n");
}

void stack_text_line(struct text *t, const struct stack *s, unsigned most)
{
	frames_text(t, s, most, " ", "");
}
