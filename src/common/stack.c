#include "common/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/detect.h"
#include "common/diag.h"

enum {
	KERNEL_SIGSET_BYTES = 8,
	PROBE_BYTES = 4096, /* what one probe tells about: the smallest page */
	MAPS_BYTES = 1024,  /* read at once of /proc/self/maps; a longer line is cut */
};

/* rt_sigaction reads the new action before it finds that there is no signal 0; so
 * it fails with EFAULT where memory cannot be read, and does nothing in any case. */
bool stack_is_readable(uintptr_t addr)
{
	int saved = errno;
	bool readable = syscall(SYS_rt_sigaction, 0, addr, NULL, KERNEL_SIGSET_BYTES) == 0 ||
			errno != EFAULT;
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

static void walk(struct stack *out, unsigned n, uintptr_t frame)
{
	uintptr_t probed = 0;
	while (n < STACK_FRAMES_MAX && frame != 0 && frame % sizeof(uintptr_t) == 0) {
		uintptr_t next, pc, record = record_of(frame);
		uintptr_t last = (record + sizeof(uintptr_t)) / PROBE_BYTES;
		if (record / PROBE_BYTES != probed || last != probed) {
			if (!stack_is_readable(record))
				break;
			probed = last;
		}
		next = word_at(record);
		pc = code_address(word_at(record + sizeof(uintptr_t)));
		if (pc == 0)
			break;
		out->frames[n++] = pc;
		if (next <= frame)
			break;
		frame = next;
	}
	if (n < STACK_FRAMES_MAX)
		out->frames[n] = 0;
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
	out->frames[0] = pc;
	walk(out, 1, frame);
}

/* ---- modules, from /proc/self/maps */

/* Where the frames lie that have been found so far. */
struct places {
	const struct stack *stack;
	uintptr_t base[STACK_FRAMES_MAX]; /* of the module; 0: not found */
	char name[STACK_FRAMES_MAX][64];  /* the end of its path */
	uintptr_t module_base;            /* of the file of the lines being read */
	char module[64];
	uintptr_t own_base;               /* of the allocator's code */
};

static const char *parse_hex(const char *s, uintptr_t *out)
{
	*out = 0;
	for (;; s++) {
		unsigned digit = *s >= '0' && *s <= '9'	  ? (unsigned)(*s - '0')
				 : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a') + 10
							  : 16;
		if (digit == 16)
			return s;
		*out = *out << 4 | digit;
	}
}

/* The last part of the path, cut on the left if it is long. */
static void copy_name(char out[64], const char *path)
{
	size_t n = strlen(path);
	if (n > 63)
		path += n - 63;
	memcpy(out, path, strlen(path) + 1);
}

/* "begin-end perms offset dev inode path" */
static void places_line(struct places *p, const char *line)
{
	uintptr_t begin, end, offset;
	const char *s = parse_hex(line, &begin);
	const char *path;
	if (*s != '-')
		return;
	s = parse_hex(s + 1, &end);
	s = strchr(s + (*s == ' '), ' '); /* behind the permissions */
	if (s == NULL)
		return;
	parse_hex(s + 1, &offset);
	path = strchr(s, '/');
	if (path == NULL)
		return;
	if (offset == 0) {
		p->module_base = begin;
		copy_name(p->module, path);
	}
	if ((uintptr_t)&stack_capture >= begin && (uintptr_t)&stack_capture < end)
		p->own_base = p->module_base;
	for (unsigned i = 0; i < STACK_FRAMES_MAX && p->stack->frames[i] != 0; i++) {
		uintptr_t pc = p->stack->frames[i];
		if (pc >= begin && pc < end) {
			p->base[i] = p->module_base;
			memcpy(p->name[i], p->module, sizeof(p->module));
		}
	}
}

static void places_read(struct places *p)
{
	char buf[MAPS_BYTES];
	size_t have = 0;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (;;) {
		ssize_t n = syscall(SYS_read, fd, buf + have, sizeof(buf) - 1 - have);
		char *line = buf, *end;
		if (n <= 0)
			break;
		have += (size_t)n;
		buf[have] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			*end = '\0';
			places_line(p, line);
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == sizeof(buf) - 1)
			have = 0;
	}
	syscall(SYS_close, fd);
}

/* Frames to leave out: the allocator's own, if the program is another module. */
static unsigned own_frames(const struct places *p)
{
	unsigned n = 0;
	while (n < STACK_FRAMES_MAX && p->stack->frames[n] != 0 && p->base[n] == p->own_base)
		n++;
	return n < STACK_FRAMES_MAX && p->stack->frames[n] != 0 ? n : 0;
}

void stack_text(struct text *t, const struct stack *s)
{
	struct places p;
	int saved = errno;
	memset(&p, 0, sizeof(p));
	p.stack = s;
	places_read(&p);
	for (unsigned i = own_frames(&p); i < STACK_FRAMES_MAX && s->frames[i] != 0; i++) {
		text_printf(t, "    %p", (void *)s->frames[i]);
		if (p.base[i] != 0)
			text_printf(t, " %s+0x%lx", p.name[i],
				    (unsigned long)(s->frames[i] - p.base[i]));
		text_printf(t, "\n");
	}
	errno = saved;
}
