#include "arch/arch.h"

void arch_generic_fill(struct hak_arch *a)
{
	*a = (struct hak_arch){
		.name = "generic",
		.detected_by = "nothing",
		.cacheline_bytes = 64,
	};
}
