#ifndef HAK_ARCH_X86_64_CONTEXT_H
#define HAK_ARCH_X86_64_CONTEXT_H

#include <ucontext.h>

#include "common/base.h"

HAK_INLINE uintptr_t hak_context_pc(const ucontext_t *context)
{
	return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

HAK_INLINE uintptr_t hak_context_frame(const ucontext_t *context)
{
	return (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
}

#endif
