/* The one place that asks the compiler what it compiles for. */
#ifndef HAK_ARCH_DETECT_H
#define HAK_ARCH_DETECT_H

#if defined(__x86_64__)
#define HAK_ARCH_X86_64 1
#define HAK_ARCH_NAME "x86_64"
#else
#define HAK_ARCH_X86_64 0
#endif

#if defined(__aarch64__)
#define HAK_ARCH_AARCH64 1
#define HAK_ARCH_NAME "aarch64"
#else
#define HAK_ARCH_AARCH64 0
#endif

#define HAK_ARCH_HAS_NATIVE (HAK_ARCH_X86_64 || HAK_ARCH_AARCH64)
#if !HAK_ARCH_HAS_NATIVE
#define HAK_ARCH_NAME "generic"
#endif

/* The largest page of the target's kernels that its linkers lay segments out for. A
 * larger alignment of a variable would not be kept by every loader. */
#if HAK_ARCH_X86_64
#define HAK_ARCH_MAX_PAGE_BYTES 4096
#elif HAK_ARCH_AARCH64
#define HAK_ARCH_MAX_PAGE_BYTES 65536
#else
#define HAK_ARCH_MAX_PAGE_BYTES 4096
#endif

/* From a frame pointer to its record, which holds the caller's frame pointer and the return
 * address. On RISC-V the pointer is the end of the frame (RISC-V ELF psABI, frame pointer
 * convention). */
#if defined(__riscv)
#define HAK_ARCH_FRAME_RECORD (-2 * (int)sizeof(void *))
#else
#define HAK_ARCH_FRAME_RECORD 0
#endif

#endif
