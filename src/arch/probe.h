/* Static tracepoints (USDT): places where a tracer may stop the program and read arguments.
 * Each is one NOP and a note in the file that says where it is and where its arguments lie, in
 * the form that SystemTap has defined and perf, bpftrace, bcc and gdb read (section
 * .note.stapsdt, type 3). So no tracer, no cost but the NOP.
 *
 * A probe has a semaphore, a counter that a tracer raises while it listens: arguments that cost
 * something are computed only if HAK_PROBE_IS_ON() says so.
 *
 * One NOP is written the same on all machines, and so are the notes. */
#ifndef HAK_ARCH_PROBE_H
#define HAK_ARCH_PROBE_H

#include "common/base.h"

#define HAK_PROBE_SEMAPHORE(provider, name) provider##_##name##_semaphore

/* Before its uses; and once with a definition, in one source. The tracer writes it from
 * outside. */
#define HAK_PROBE_DECLARE(provider, name)                                                          \
	extern volatile unsigned short HAK_PROBE_SEMAPHORE(provider, name)                         \
		__attribute__((visibility("hidden")))
#define HAK_PROBE_DEFINE(provider, name)                                                           \
	volatile unsigned short HAK_PROBE_SEMAPHORE(provider, name)                                \
		__attribute__((section(".probes"), used))

#define HAK_PROBE_IS_ON(provider, name) HAK_UNLIKELY(HAK_PROBE_SEMAPHORE(provider, name) != 0)

/* The note's header: length of its name, of what follows, its type; its name; then addresses of
 * the NOP, of the section that tells how the file was moved since, and of the semaphore; then
 * three strings. */
#define HAK_PROBE_NOTE(provider, name, arguments)                                                  \
	"990:	nop\n"                                                                             \
	"	.pushsection .note.stapsdt,\"\",\"note\"\n"                                        \
	"	.balign 4\n"                                                                       \
	"	.4byte 992f-991f, 994f-993f, 3\n"                                                  \
	"991:	.asciz \"stapsdt\"\n"                                                              \
	"992:	.balign 4\n"                                                                       \
	"993:	.8byte 990b\n"                                                                     \
	"	.8byte _.stapsdt.base\n"                                                           \
	"	.8byte " #provider "_" #name "_semaphore\n"                                        \
	"	.asciz \"" #provider "\"\n"                                                        \
	"	.asciz \"" #name "\"\n"                                                            \
	"	.asciz \"" arguments "\"\n"                                                        \
	"994:	.balign 4\n"                                                                       \
	"	.popsection\n"                                                                     \
	"	.ifndef _.stapsdt.base\n"                                                          \
	"	.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"             \
	"	.weak _.stapsdt.base\n"                                                            \
	"	.hidden _.stapsdt.base\n"                                                          \
	"_.stapsdt.base: .space 1\n"                                                               \
	"	.size _.stapsdt.base, 1\n"                                                         \
	"	.popsection\n"                                                                     \
	"	.endif\n"

/* Arguments are unsigned words. */
#define HAK_PROBE1(provider, name, a)                                                              \
	__asm__ volatile(HAK_PROBE_NOTE(provider, name, "8@%0") : : "r"((uint64_t)(a)))
#define HAK_PROBE3(provider, name, a, b, c)                                                        \
	__asm__ volatile(HAK_PROBE_NOTE(provider, name, "8@%0 8@%1 8@%2")                          \
			 : : "r"((uint64_t)(a)), "r"((uint64_t)(b)), "r"((uint64_t)(c)))

#endif
