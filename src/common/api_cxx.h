/* The two halves of the C++ operators: the basic forms, and those that the standard
 * defines by them. Names are mangled by the Itanium C++ ABI, 5.1.4.3; size_t is `m`
 * on every 64-bit target. */
#ifndef HAK_COMMON_API_CXX_H
#define HAK_COMMON_API_CXX_H

#include "common/api.h"

/* Weak, so that a program linked with libhakmem.a may define its own. */
#define CXX_EXPORT __attribute__((visibility("default"), used, weak))

/* The basic forms as the program sees them: ours, unless it has replaced them. */
CXX_EXPORT void *_Znwm(size_t size);                                    /* new(size_t) */
CXX_EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t align);       /* with align_val_t */
CXX_EXPORT void _ZdlPv(void *p);                                        /* delete(void *) */
CXX_EXPORT void _ZdlPvSt11align_val_t(void *p, size_t align);
CXX_EXPORT void *_Znam(size_t size);                                    /* new[](size_t) */
CXX_EXPORT void _ZdaPv(void *p);                                        /* delete[](void *) */
CXX_EXPORT void *_ZnamSt11align_val_t(size_t size, size_t align);
CXX_EXPORT void _ZdaPvSt11align_val_t(void *p, size_t align);

/* The same functions under names of our own. */
void *cxx_new(size_t size);
void *cxx_new_aligned(size_t size, size_t align);
void cxx_delete(void *p);
void cxx_delete_aligned(void *p, size_t align);
void *cxx_new_array(size_t size);
void cxx_delete_array(void *p);
void *cxx_new_array_aligned(size_t size, size_t align);
void cxx_delete_array_aligned(void *p, size_t align);

/* What is to be known of blocks of this family of operators: that, or ORIGIN_ANY. */
HAK_COLD enum origin cxx_origin(enum origin family);

/* What they do where the thread cache does not help. `origin` says which of the two families
 * of operators is meant. cxx_new_slow() calls the new-handler, and throws. */
HAK_COLD void *cxx_new_slow(size_t size, size_t align, enum origin origin);
HAK_COLD void cxx_delete_slow(void *p, enum origin origin);
HAK_COLD void cxx_delete_sized_slow(void *p, size_t size, size_t align, enum origin origin);

#endif
