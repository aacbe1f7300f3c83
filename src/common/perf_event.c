#include "common/perf_event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/pmu.h"
#include "common/atomics.h"
#include "common/os.h"

enum {
	/* Out of the way of programs that expect low numbers, or use select(). */
	FD_MIN = 256,
};

#if HAKMEM_TESTING
static _Atomic int fault;

void perf_fault_arm(int err)
{
	atomic_store_relaxed(&fault, err);
}

int perf_fault(void)
{
	return atomic_load_relaxed(&fault);
}
#endif

/* The wrappers of close and read are cancellation points. */
static void close_fd(int fd)
{
	syscall(SYS_close, fd);
}

static int open_fd(const struct perf_spec *spec, uint64_t config1, int group_fd)
{
	struct perf_event_attr attr = {
		.type = spec->type,
		.size = sizeof(attr),
		.config = spec->config,
		.config1 = config1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		/* More is not asked for: perf_event_paranoid = 2 allows just that. */
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	long fd;
	if (perf_fault() != 0)
		return -perf_fault();
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, group_fd, PERF_FLAG_FD_CLOEXEC);
	return fd >= 0 ? (int)fd : -errno;
}

static int move_up(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);
	if (high < 0) /* a limit below FD_MIN */
		return fd;
	close_fd(fd);
	return high;
}

int perf_event_open(struct perf_event *e, const struct perf_spec *spec,
		    const struct perf_event *group)
{
	int group_fd = group != NULL ? group->fd : -1;
	int fd = open_fd(spec, spec->user_config1, group_fd);
	*e = (struct perf_event)PERF_EVENT_CLOSED;
	/* Kernels and counters that know no user access say one of these. */
	if (spec->user_config1 != 0 && (fd == -EINVAL || fd == -EOPNOTSUPP || fd == -ENOENT))
		fd = open_fd(spec, 0, group_fd);
	if (fd < 0)
		return fd;
	e->fd = move_up(fd);
	if (ioctl(e->fd, PERF_EVENT_IOC_ID, &e->id) != 0) {
		int err = errno;
		perf_event_close(e);
		return -err;
	}
	return 0;
}

int perf_event_use_page(struct perf_event *e)
{
	const struct hak_pmu *pmu = pmu_get();
	struct perf_reading reading;
	void *page;
	if (pmu->read_counter == NULL)
		return -ENOTSUP;
	page = mmap(NULL, os_page_bytes(), PROT_READ, MAP_SHARED, e->fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	if (!perf_page_read(page, pmu->read_counter, &reading)) {
		munmap(page, os_page_bytes());
		return -ENOTSUP;
	}
	e->page = page;
	close_fd(e->fd);
	e->fd = -1;
	return 0;
}

static bool is_ours(const struct perf_event *e)
{
	uint64_t id;
	return e->fd >= 0 && ioctl(e->fd, PERF_EVENT_IOC_ID, &id) == 0 && id == e->id;
}

bool perf_event_read(const struct perf_event *e, struct perf_reading *out)
{
	if (e->page != NULL)
		return perf_page_read(e->page, pmu_get()->read_counter, out);
	return is_ours(e) && syscall(SYS_read, e->fd, out, sizeof(*out)) == sizeof(*out);
}

void perf_event_close(struct perf_event *e)
{
	if (e->page != NULL)
		munmap((void *)(uintptr_t)e->page, os_page_bytes());
	perf_event_forget(e);
}

void perf_event_forget(struct perf_event *e)
{
	if (is_ours(e))
		close_fd(e->fd);
	*e = (struct perf_event)PERF_EVENT_CLOSED;
}
