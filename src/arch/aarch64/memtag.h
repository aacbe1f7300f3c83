/* The memory tagging extension (MTE) of Arm v8.5. */
#ifndef HAK_ARCH_AARCH64_MEMTAG_H
#define HAK_ARCH_AARCH64_MEMTAG_H

#include "arch/memtag.h"

extern const struct hak_memtag memtag_mte;

#endif
