/* Which 16-byte granules of the address space lie in a live block.
 *
 * One bit each, in a two-level table that the kernel backs page by page, so the
 * map is exact for every block of every size and needs nothing of the allocator.
 * A granule claimed twice is two live blocks that overlap. All accesses are
 * relaxed on purpose: whatever orders a free before the next malloc of the same
 * memory must come from the allocator, or a race detector would not see it
 * missing.
 */
#ifndef HAK_TESTS_STRESS_GRANULES_H
#define HAK_TESTS_STRESS_GRANULES_H

#include <stddef.h>
#include <stdint.h>

enum { GRANULE_BYTES = 16 };

/* Claim [p, p + bytes). Returns NULL, or an address in it that a live block holds
 * already; then the program has failed and the map is not to be used again. */
const void *granules_claim(const void *p, size_t bytes);

/* Give [p, p + bytes) up. Returns NULL, or an address that was not claimed. */
const void *granules_release(const void *p, size_t bytes);

#endif
