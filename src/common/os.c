#include "common/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "common/atomics.h"
#include "common/scan.h"

static size_t page_bytes = 4096;
static int blocks_prot = PROT_READ | PROT_WRITE; /* constant once there are blocks */

/* Statistics only, hence relaxed. */
static _Atomic size_t mapped_bytes;
static _Atomic uint64_t purged_bytes, purge_failures, map_failures;

#if HAKMEM_TESTING
static struct {
	_Atomic uint64_t countdown; /* 0: disarmed; 1: the next call fails */
	_Atomic uint64_t period;
	_Atomic uint64_t hits;
} faults[OS_CALL_COUNT];

void os_fault_arm(enum os_call call, uint64_t nth, uint64_t period)
{
	atomic_store_relaxed(&faults[call].period, period);
	atomic_store_relaxed(&faults[call].countdown, nth);
}

uint64_t os_fault_hits(enum os_call call)
{
	return atomic_load_relaxed(&faults[call].hits);
}

bool os_fault_due(enum os_call call)
{
	uint64_t left = atomic_load_relaxed(&faults[call].countdown);
	uint64_t next;
	do {
		if (left == 0)
			return false;
		next = left == 1 ? atomic_load_relaxed(&faults[call].period) : left - 1;
	} while (!atomic_cas_weak_release(&faults[call].countdown, &left, next));
	if (left != 1)
		return false;
	atomic_add_relaxed(&faults[call].hits, 1);
	return true;
}
#endif

size_t os_page_bytes(void)
{
	return page_bytes;
}

void os_init(void)
{
	unsigned long n = getauxval(AT_PAGESZ);
	if (is_pow2(n) && n >= 4096 && n <= HAK_UNIT_BYTES)
		page_bytes = n;
}

static void *map_pages(size_t bytes, int prot)
{
	void *p = os_fault_due(OS_MMAP) ? MAP_FAILED
					: mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					       0);
	if (p == MAP_FAILED)
		return NULL;
	atomic_add_relaxed(&mapped_bytes, bytes);
	return p;
}

bool os_unmap(void *p, size_t bytes)
{
	HAK_ASSERT((uintptr_t)p % page_bytes == 0 && bytes % page_bytes == 0);
	if (os_fault_due(OS_MUNMAP) || munmap(p, bytes) != 0)
		return false;
	atomic_sub_relaxed(&mapped_bytes, bytes);
	return true;
}

/* Keep [keep, keep + bytes) of the mapping [p, p + have). What the kernel
 * refuses to unmap stays as untouched address space. */
static void trim_mapping(char *p, size_t have, char *keep, size_t bytes)
{
	if (keep > p)
		os_unmap(p, (size_t)(keep - p));
	if (p + have > keep + bytes)
		os_unmap(keep + bytes, (size_t)(p + have - (keep + bytes)));
}

static void *map_aligned(size_t bytes, size_t align, int prot)
{
	size_t padded;
	char *p, *aligned;

	/* The kernel lays mappings side by side, so that one of a multiple of
	 * `align` bytes often is aligned by itself. */
	p = map_pages(bytes, prot);
	if (p == NULL || ((uintptr_t)p & (align - 1)) == 0)
		return p;
	os_unmap(p, bytes);

	if (__builtin_add_overflow(bytes, align - page_bytes, &padded))
		return NULL;
	p = map_pages(padded, prot);
	if (p == NULL)
		return NULL;
	aligned = p + (align_up((uintptr_t)p, align) - (uintptr_t)p);
	trim_mapping(p, padded, aligned, bytes);
	return aligned;
}

static void *map_or_count(size_t bytes, size_t align, int prot)
{
	void *p;
	HAK_ASSERT(bytes > 0 && bytes % page_bytes == 0 && is_pow2(align));
	p = map_aligned(bytes, max_size(align, page_bytes), prot);
	if (p == NULL)
		atomic_add_relaxed(&map_failures, 1);
	return p;
}

void *os_map(size_t bytes, size_t align)
{
	return map_or_count(bytes, align, PROT_READ | PROT_WRITE);
}

void *os_map_blocks(size_t bytes, size_t align)
{
	return map_or_count(bytes, align, blocks_prot);
}

void os_tag_blocks(int prot)
{
	blocks_prot |= prot;
}

void *os_reserve(size_t bytes, size_t align)
{
	return map_or_count(bytes, align, PROT_NONE);
}

bool os_protect(void *p, size_t bytes, enum os_access access)
{
	static const int prot[] = {
		[OS_NO_ACCESS] = PROT_NONE,
		[OS_READ_ONLY] = PROT_READ,
		[OS_READ_WRITE] = PROT_READ | PROT_WRITE,
	};
	HAK_ASSERT((uintptr_t)p % page_bytes == 0 && bytes % page_bytes == 0);
	return mprotect(p, bytes, prot[access]) == 0;
}

void *os_map_guarded(size_t bytes)
{
	char *p = os_map(bytes + 2 * page_bytes, page_bytes);
	if (p == NULL)
		return NULL;
	/* Refused, for want of mappings: then without. */
	(void)os_protect(p, page_bytes, OS_NO_ACCESS);
	(void)os_protect(p + page_bytes + bytes, page_bytes, OS_NO_ACCESS);
	return p + page_bytes;
}

bool os_unmap_guarded(void *p, size_t bytes)
{
	return os_unmap((char *)p - page_bytes, bytes + 2 * page_bytes);
}

bool os_purge(void *p, size_t bytes)
{
	HAK_ASSERT((uintptr_t)p % page_bytes == 0 && bytes % page_bytes == 0);
	if (os_fault_due(OS_MADVISE) || madvise(p, bytes, MADV_DONTNEED) != 0) {
		atomic_add_relaxed(&purge_failures, 1);
		return false;
	}
	atomic_add_relaxed(&purged_bytes, bytes);
	return true;
}

void os_prefer_huge_pages(void *p, size_t bytes, bool prefer)
{
	if (!os_fault_due(OS_MADVISE))
		(void)madvise(p, bytes, prefer ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void os_seal(void *p, size_t bytes)
{
	if (((uintptr_t)p | bytes) % page_bytes == 0)
		(void)mprotect(p, bytes, PROT_READ);
}

bool os_resize_in_place(void *p, size_t old_bytes, size_t new_bytes, bool *movable)
{
	*movable = true;
	if (os_fault_due(OS_MREMAP))
		return false;
	if (mremap(p, old_bytes, new_bytes, 0) == MAP_FAILED) {
		*movable = errno != EFAULT;
		return false;
	}
	atomic_add_relaxed(&mapped_bytes, new_bytes - old_bytes); /* wraps when shrinking */
	return true;
}

/* After mremap failed: give up the target. The kernel may have unmapped it before
 * it failed, and another thread may have mapped something there since. */
static void abandon_target(void *target, size_t bytes, bool may_be_unmapped)
{
	if (may_be_unmapped) {
		void *p = mmap(target, bytes, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p != target) { /* busy, by whom is not known: it stays */
			if (p != MAP_FAILED)
				munmap(p, bytes);
			return;
		}
	}
	os_unmap(target, bytes);
}

bool os_move(void *p, size_t old_bytes, void *target, size_t new_bytes)
{
	errno = EPERM;
	if (os_fault_due(OS_MREMAP) ||
	    mremap(p, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
		atomic_add_relaxed(&map_failures, 1);
		abandon_target(target, new_bytes,
			       errno == ENOMEM || errno == EAGAIN || errno == EFAULT);
		return false;
	}
	atomic_sub_relaxed(&mapped_bytes, old_bytes);
	return true;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#if HAKMEM_TESTING
static _Atomic uint32_t ahead_ms;

void os_clock_advance_ms(uint32_t ms)
{
	atomic_add_relaxed(&ahead_ms, ms);
}

static uint32_t clock_ahead_ms(void)
{
	return atomic_load_relaxed(&ahead_ms);
}
#else
static uint32_t clock_ahead_ms(void)
{
	return 0;
}
#endif

uint32_t os_now_ms(void)
{
	return (uint32_t)(clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000u) + clock_ahead_ms();
}

uint64_t os_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* ---- what the kernel knows */

size_t os_read_file(const char *path, char *buf, size_t bytes)
{
	int saved = errno;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	while (fd >= 0 && n < bytes) {
		long got = syscall(SYS_read, fd, buf + n, bytes - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = saved;
	return n;
}

uint64_t os_machine_bytes(void)
{
	struct sysinfo info;
	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

uint64_t os_resident_bytes(void)
{
	char buf[128];
	uint64_t total, resident;
	size_t n = os_read_file("/proc/self/statm", buf, sizeof(buf) - 1);
	const char *s;
	buf[n] = '\0';
	s = scan_u64(buf, &total);
	if (s == NULL || *s != ' ' || scan_u64(s + 1, &resident) == NULL)
		return 0;
	return resident * page_bytes;
}

struct os_faults os_faults(void)
{
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return (struct os_faults){ 0, 0 };
	return (struct os_faults){ (uint64_t)usage.ru_minflt, (uint64_t)usage.ru_majflt };
}

uint64_t os_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t os_process_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

struct os_counters os_counters(void)
{
	return (struct os_counters){
		.mapped_bytes = atomic_load_relaxed(&mapped_bytes),
		.purged_bytes = atomic_load_relaxed(&purged_bytes),
		.purge_failures = atomic_load_relaxed(&purge_failures),
		.map_failures = atomic_load_relaxed(&map_failures),
	};
}
