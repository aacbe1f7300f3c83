/* What a signal handler needs of the interrupted code: where it was, and its frame
 * pointer; 0 where that is not known. */
#ifndef HAK_ARCH_CONTEXT_H
#define HAK_ARCH_CONTEXT_H

#include <ucontext.h>

#include "arch/detect.h"
#include "common/base.h"

#if HAK_ARCH_X86_64
#include "arch/x86_64/context.h"
#elif HAK_ARCH_AARCH64
#include "arch/aarch64/context.h"
#else
HAK_INLINE uintptr_t hak_context_pc(const ucontext_t *context)
{
	(void)context;
	return 0;
}

HAK_INLINE uintptr_t hak_context_frame(const ucontext_t *context)
{
	(void)context;
	return 0;
}
#endif

#endif
