/* The one place that asks the compiler what it compiles for. */
#ifndef HAK_ARCH_DETECT_H
#define HAK_ARCH_DETECT_H

#if defined(__x86_64__)
#define HAK_ARCH_X86_64 1
#else
#define HAK_ARCH_X86_64 0
#endif

#if defined(__aarch64__)
#define HAK_ARCH_AARCH64 1
#else
#define HAK_ARCH_AARCH64 0
#endif

#endif
