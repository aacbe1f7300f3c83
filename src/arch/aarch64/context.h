#ifndef HAK_ARCH_AARCH64_CONTEXT_H
#define HAK_ARCH_AARCH64_CONTEXT_H

#include <ucontext.h>

#include "common/base.h"

HAK_INLINE uintptr_t hak_context_pc(const ucontext_t *context)
{
	return context->uc_mcontext.pc;
}

HAK_INLINE uintptr_t hak_context_frame(const ucontext_t *context)
{
	return context->uc_mcontext.regs[29];
}

#endif
