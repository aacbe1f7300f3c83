/* Memory from and to the kernel: one function per system call, one policy for
 * errors. A refusal is counted and returned, never fatal: the program may live
 * under any limit. Sizes and addresses are multiples of os_page_bytes().
 * Thread-safe. errno may change.
 */
#ifndef HAK_COMMON_OS_H
#define HAK_COMMON_OS_H

#include "common/base.h"

/* The page size of the running kernel: 4, 16 or 64 KiB. */
size_t os_page_bytes(void);

/* Read the page size and so on. Called once, first of all. */
void os_init(void);

/* Zeroed, readable and writable memory aligned to `align` (a power of two); not
 * backed by pages until touched. NULL: refused. */
void *os_map(size_t bytes, size_t align);

/* As os_map(), for blocks. */
void *os_map_blocks(size_t bytes, size_t align);

/* From now on what is mapped for blocks can have tags: mapped with `prot` too. */
void os_tag_blocks(int prot);

/* Give back address space. False: refused, it is still mapped. */
bool os_unmap(void *p, size_t bytes);

/* Give back the pages; the range stays mapped and reads as zero afterwards.
 * False: refused, content kept. */
bool os_purge(void *p, size_t bytes);

/* Set what may be done with pages. False: refused, unchanged. */
enum os_access { OS_NO_ACCESS, OS_READ_ONLY, OS_READ_WRITE };
bool os_protect(void *p, size_t bytes, enum os_access access);

/* As os_map() for whole pages, between two pages that cannot be touched. */
void *os_map_guarded(size_t bytes);
bool os_unmap_guarded(void *p, size_t bytes);

/* Ask for huge pages, or for small ones only, in a range. Best effort. */
void os_prefer_huge_pages(void *p, size_t bytes, bool prefer);

/* Resize a mapping where it is. False: refused, unchanged; *movable: os_move() may
 * do better. It does not where the range lies in several mappings of the kernel. */
bool os_resize_in_place(void *p, size_t old_bytes, size_t new_bytes, bool *movable);

/* As os_map, but address space only, to be the target of os_move(). */
void *os_reserve(size_t bytes, size_t align);

/* Move a mapping's pages to `target`, reserved with new_bytes > old_bytes; the
 * rest is zeroed. False: refused, p is unchanged and target given up. */
bool os_move(void *p, size_t old_bytes, void *target, size_t new_bytes);

/* Make pages read-only for good. Best effort: nothing where the range is no whole
 * pages, or the kernel refuses. */
void os_seal(void *p, size_t bytes);

/* A monotonic clock of some milliseconds' resolution: a few ns to read. It is
 * only ever compared with its own earlier readings, by difference. */
uint32_t os_now_ms(void);

/* A monotonic clock in nanoseconds, for time budgets. */
uint64_t os_now_ns(void);

/* Read the start of a file: at most `bytes`. Returns how many; 0: it can't be read. errno is
 * kept. No cancellation point. */
size_t os_read_file(const char *path, char *buf, size_t bytes);

/* Memory that the machine has. */
uint64_t os_machine_bytes(void);

/* Resident bytes of the process; 0: unknown. */
uint64_t os_resident_bytes(void);

struct os_faults {
	uint64_t minor, major;
};
struct os_faults os_faults(void); /* of the process so far */

/* Processor time of the calling thread, and of all threads together. */
uint64_t os_thread_cpu_ns(void);
uint64_t os_process_cpu_ns(void);

struct os_counters {
	size_t mapped_bytes;
	uint64_t purged_bytes;
	uint64_t purge_failures;
	uint64_t map_failures;
};
struct os_counters os_counters(void);

enum os_call { OS_MMAP, OS_MUNMAP, OS_MADVISE, OS_MREMAP, OS_THREAD, OS_CALL_COUNT };

#if HAKMEM_TESTING
/* Fault injection: the nth next call of this kind fails, and if period > 0
 * every period-th after it. nth 0 disarms. */
void os_fault_arm(enum os_call call, uint64_t nth, uint64_t period);
/* Calls failed so far. */
uint64_t os_fault_hits(enum os_call call);
bool os_fault_due(enum os_call call);
/* From now on os_now_ms() is so much later. */
void os_clock_advance_ms(uint32_t ms);
#else
HAK_INLINE bool os_fault_due(enum os_call call)
{
	(void)call;
	return false;
}
#endif

#endif
