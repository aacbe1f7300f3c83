/* Call stacks by frame pointers, taken and printed without malloc, locks or unwinder:
 * complete as far as the code keeps frame pointers; the first frame of the program is
 * right in any case, as the allocator keeps its own. */
#ifndef HAK_COMMON_STACK_H
#define HAK_COMMON_STACK_H

#include "common/base.h"

enum { STACK_FRAMES_MAX = 16 };

/* Return addresses, innermost first; 0 behind the last. */
struct stack {
	uintptr_t frames[STACK_FRAMES_MAX];
};

struct text;

/* The stack of the caller. Async-signal-safe. */
void stack_capture(struct stack *out);

/* A range of code; empty: begin == end. */
struct stack_range {
	uintptr_t begin, end;
};

/* Return addresses from the frame record of `frame` on, innermost first: at most `max`, and not
 * the first ones (SKIP_MAX at most) that lie in *skip, which may be NULL. Returns how many.
 * A frame pointer that leads to no readable memory, or not outwards, ends the walk.
 * Async-signal-safe. */
unsigned stack_walk(uintptr_t *out, unsigned max, uintptr_t frame, const struct stack_range *skip);

/* The code of libhakmem.so; empty where the allocator is linked statically. */
struct stack_range stack_own_library(void);

/* A stack that was interrupted at `pc` with this frame pointer. */
void stack_capture_from(struct stack *out, uintptr_t pc, uintptr_t frame);

/* A line per frame: address, module and offset in it, for addr2line. Frames of the
 * allocator itself, where it is a library of its own, are left out. */
void stack_text(struct text *t, const struct stack *s);

/* The first `most` of these frames on the line that t ends with. */
void stack_text_line(struct text *t, const struct stack *s, unsigned most);

/* Can the 32 bytes at addr be read? (24 on some machines: what the kernel takes in for the
 * system call that is asked.) */
bool stack_is_readable(uintptr_t addr);

#endif
