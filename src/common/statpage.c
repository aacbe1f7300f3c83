#include "common/statpage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/diag.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/profile.h"
#include "common/purge.h"
#include "common/statpage_fill.h"
#include "common/thread.h"

enum {
	/* After a walk of the heaps that took n ms, the next one waits 100 n ms. */
	WALK_SHARE = 100,
	PATH_BYTES = 256,
	START_TICKS_FIELD = 22, /* of /proc/self/stat */
};

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_STATPAGE);
static struct statpage *page;   /* under the lock; NULL: never had one */
static char path[PATH_BYTES];   /* of its file */
static pid_t owner;             /* the process whose page it is; 0: none, it has to be made */
static struct statpage_now now; /* being gathered; under the lock */
static uint32_t walked_ms, walk_pause_ms; /* since when, and how long, there is none */
static uint32_t sampled_ms;
static _Atomic uint32_t ticked_ms;
static struct timespec started; /* CLOCK_MONOTONIC, of the page's time 0 */

_Atomic bool statpage_enabled;

struct lock *statpage_lock(void)
{
	return &lock;
}

/* Not whether a time has come: a process may look for the first time after weeks, and the clock
 * goes round in seven. */
static bool has_passed(uint32_t since_ms, uint32_t wait_ms)
{
	return os_now_ms() - since_ms >= wait_ms;
}

bool statpage_is_due_slow(void)
{
	return has_passed(atomic_load_relaxed(&ticked_ms), STATPAGE_PERIOD_MS);
}

uint32_t statpage_period_ms(void)
{
	return atomic_load_relaxed(&statpage_enabled) ? STATPAGE_PERIOD_MS : 0;
}

static int64_t ns_of(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

static int64_t time_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ns_of(&ts) - ns_of(&started)) / 1000000;
}

/* ---- the file; calls without the wrappers that are cancellation points */

static int open_raw(int dir, const char *name, int flags, mode_t mode)
{
	int fd = (int)syscall(SYS_openat, dir, name, flags | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

static void close_raw(int fd)
{
	syscall(SYS_close, fd);
}

/* May files of ours lie there? It must be of the user alone, or sticky, so that nobody
 * else can take them away. */
static bool dir_is_safe(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return false;
	return (st.st_mode & S_ISVTX) != 0 ||
	       (st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0);
}

static int open_dir(const char *name)
{
	int fd = open_raw(AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0 && !dir_is_safe(fd)) {
		close_raw(fd);
		return -EPERM;
	}
	return fd;
}

/* The file must be new. One of our name and pid is left from before an exec, or from a
 * process that is gone. */
static int create_file(int dir, const char *name)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
	int fd = open_raw(dir, name, flags, S_IRUSR | S_IWUSR);
	if (fd != -EEXIST)
		return fd;
	if (unlinkat(dir, name, 0) != 0)
		return -errno;
	return open_raw(dir, name, flags, S_IRUSR | S_IWUSR);
}

/* All of its memory now: a file system that is full later would kill the program. */
static void *map_file(int fd)
{
	void *p;
	if (syscall(SYS_fallocate, fd, 0, (off_t)0, (off_t)sizeof(struct statpage)) != 0)
		return NULL;
	p = mmap(NULL, sizeof(struct statpage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static struct statpage *create_in(const char *dir_name)
{
	char name[32];
	struct text t;
	struct statpage *p = NULL;
	int fd, dir = open_dir(dir_name);
	if (dir < 0)
		return NULL;
	text_init(&t, name, sizeof(name));
	text_printf(&t, STATPAGE_FILE_PREFIX "%d", (int)owner);
	text_init(&t, path, sizeof(path));
	text_printf(&t, "%s/%s", dir_name, name);
	fd = t.length < sizeof(path) ? create_file(dir, name) : -ENAMETOOLONG;
	if (fd >= 0) {
		p = map_file(fd);
		if (p == NULL)
			unlinkat(dir, name, 0);
		close_raw(fd);
	}
	close_raw(dir);
	return p;
}

/* ---- who this is */

/* When the process began, in clock ticks since boot; 0 if that cannot be read. */
static uint64_t start_ticks(void)
{
	char buf[1024];
	const char *s;
	uint64_t ticks = 0;
	int fd = open_raw(AT_FDCWD, "/proc/self/stat", O_RDONLY, 0);
	ssize_t n;
	if (fd < 0)
		return 0;
	n = syscall(SYS_read, fd, buf, sizeof(buf) - 1);
	close_raw(fd);
	buf[n > 0 ? n : 0] = '\0';
	s = strrchr(buf, ')'); /* field 2, the name, may hold anything */
	for (int field = 2; s != NULL && field < START_TICKS_FIELD; field++) {
		s = strchr(s, ' ');
		s = s == NULL ? NULL : s + 1;
	}
	for (; s != NULL && *s >= '0' && *s <= '9'; s++)
		ticks = ticks * 10 + (uint64_t)(*s - '0');
	return ticks;
}

/* What was executed, by the name that a user knows: a link to it is not resolved, and a script is
 * not its interpreter. */
static void describe_program(struct statpage *p)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	if (name != NULL && name[0] == '/')
		strncpy(p->exe, name, sizeof(p->exe) - 1);
	else
		(void)readlink("/proc/self/exe", p->exe, sizeof(p->exe) - 1);
}

static void identify(struct statpage *p)
{
	struct timespec realtime;
	clock_gettime(CLOCK_REALTIME, &realtime);
	p->version = STATPAGE_VERSION;
	p->struct_bytes = sizeof(*p);
	strncpy(p->build, HAKMEM_BUILD_ID, sizeof(p->build) - 1);
	p->pid = owner;
	p->uid = geteuid();
	p->start_ticks = start_ticks();
	p->start_realtime_ns = ns_of(&realtime);
	p->sample_period_ms = STATPAGE_PERIOD_MS;
	describe_program(p);
	statpage_describe(p);
	/* Now it is whole. */
	atomic_thread_fence(memory_order_release);
	p->magic = STATPAGE_MAGIC;
}

static void create_page_locked(void)
{
	const char *dir = options_variable("XDG_RUNTIME_DIR");
	struct statpage *before = page, *p = NULL;
	owner = getpid();
	if (dir != NULL && dir[0] == '/')
		p = create_in(dir);
	if (p == NULL)
		p = create_in(STATPAGE_SHARED_DIR);
	page = p;
	if (before != NULL) /* not earlier: a fork's child may map something of its own there */
		munmap(before, sizeof(*before));
	if (p == NULL) {
		diag_line("HAKMEM_STATS_PAGE=1: no page can be made in $XDG_RUNTIME_DIR or "
			  STATPAGE_SHARED_DIR "; there is none for this process");
		atomic_store_relaxed(&statpage_enabled, false);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &started);
	identify(p);
	walk_pause_ms = 0;
	sampled_ms = os_now_ms() - p->sample_period_ms;
}

/* ---- writing; the lock is held and there is a page */

static void write_begin_locked(void)
{
	atomic_store_relaxed(&page->sequence, atomic_load_relaxed(&page->sequence) + 1);
	/* Whoever sees a part of what follows sees the odd number. */
	atomic_thread_fence(memory_order_release);
}

static void write_end_locked(void)
{
	atomic_store_release(&page->sequence, atomic_load_relaxed(&page->sequence) + 1);
}

/* Half of the history goes, the other half gets twice as far apart. */
static void thin_samples_locked(void)
{
	for (unsigned i = 0; i < STATPAGE_SAMPLES / 2; i++)
		page->samples[i] = page->samples[2 * i];
	page->nsamples = STATPAGE_SAMPLES / 2;
	page->sample_period_ms *= 2;
}

static void add_sample_locked(void)
{
	struct statpage_sample *s;
	if (page->nsamples >= STATPAGE_SAMPLES)
		thin_samples_locked();
	s = &page->samples[page->nsamples++];
	*s = (struct statpage_sample){
		.time_ms = now.time_ms,
		.rss_bytes = now.metrics.rss_bytes,
		.live_bytes = now.metrics.live_bytes,
		.held_bytes = now.metrics.occupied_bytes,
		.mallocs = now.metrics.mallocs,
		.purged_bytes = (int64_t)now.stats.purged_bytes_total,
		.fragmentation_permille = (int32_t)now.metrics.fragmentation_permille,
		.cache_miss_ppm = (int32_t)now.metrics.cache_miss_ppm,
	};
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		s->knobs[k] = now.knobs[k][0];
}

static void update_locked(uint32_t more_flags)
{
	uint32_t begin_ms = os_now_ms();
	statpage_fill(&now);
	now.time_ms = time_ms();
	now.flags |= more_flags;
	walked_ms = begin_ms;
	walk_pause_ms = (os_now_ms() - begin_ms) * WALK_SHARE;
	write_begin_locked();
	page->now = now;
	if (has_passed(sampled_ms, page->sample_period_ms) || more_flags != 0) {
		add_sample_locked();
		sampled_ms = begin_ms;
	}
	write_end_locked();
}

void statpage_decision(enum hak_knob k, unsigned cls, int32_t old_value, int32_t new_value,
		       const char *reason)
{
	struct slow_scope scope;
	if (!atomic_load_relaxed(&statpage_enabled))
		return;
	/* A signal handler that allocates does not come here again. */
	(void)slow_enter(&scope);
	lock_acquire(&lock);
	if (page != NULL && owner == getpid()) {
		struct statpage_decision d = { .time_ms = time_ms(),
					       .knob = (int32_t)k,
					       .cls = (int32_t)cls,
					       .old_value = old_value,
					       .new_value = new_value };
		strncpy(d.reason, reason, sizeof(d.reason) - 1);
		write_begin_locked();
		page->decisions[page->ndecisions % STATPAGE_DECISIONS] = d;
		page->ndecisions++;
		write_end_locked();
	}
	lock_release(&lock);
	slow_leave(&scope);
}

/* ---- commands */

static int set_knob(const struct statpage_mailbox *m)
{
	int32_t old;
	int err;
	if (m->knob < 0 || m->knob >= HAK_KNOB_COUNT || m->cls > HAK_CLASS_COUNT)
		return -EINVAL;
	old = knob_get((enum hak_knob)m->knob, m->cls);
	err = knob_set((enum hak_knob)m->knob, m->cls, m->value);
	if (err == 0)
		statpage_decision((enum hak_knob)m->knob, m->cls, old, m->value, "hakmem ctl");
	return err;
}

/* Whatever the mailbox holds, anyone who may write to the page may have put there. */
static int obey(const struct statpage_mailbox *m, int64_t *bytes)
{
	switch (m->command) {
	case STATPAGE_PURGE:
		*bytes = (int64_t)purge_everything();
		return 0;
	case STATPAGE_SET_KNOB:
		return set_knob(m);
	case STATPAGE_RESET_KNOBS:
		knob_reset_all();
		return 0;
	case STATPAGE_FREEZE:
		knobs_freeze(m->value != 0);
		return 0;
	case STATPAGE_PROFILE:
		return m->value < 0 ? -EINVAL : profile_set_rate((uint32_t)m->value);
	case STATPAGE_PROFILE_DUMP:
		return profile_dump(m->path, bytes);
	default:
		return -ENOSYS;
	}
}

/* Returns whether there was a command. No lock is held. */
static bool serve_mailbox(void)
{
	struct statpage_mailbox m;
	int64_t bytes = 0;
	uint32_t request;
	int result;

	lock_acquire(&lock);
	if (owner == 0 || page == NULL) {
		lock_release(&lock);
		return false;
	}
	/* Acquire: the command was written before the number was raised. */
	request = atomic_load_acquire(&page->mailbox.request);
	if (request == atomic_load_relaxed(&page->mailbox.answer)) {
		lock_release(&lock);
		return false;
	}
	m = page->mailbox;
	m.path[sizeof(m.path) - 1] = '\0';
	lock_release(&lock);

	result = obey(&m, &bytes);

	lock_acquire(&lock);
	page->mailbox.result = result;
	page->mailbox.bytes = bytes;
	atomic_store_release(&page->mailbox.answer, request);
	lock_release(&lock);
	return true;
}

/* ---- life */

void statpage_start(void)
{
	if (!options.stats_page)
		return;
	lock_acquire(&lock);
	atomic_store_relaxed(&ticked_ms, os_now_ms() - STATPAGE_PERIOD_MS);
	atomic_store_relaxed(&statpage_enabled, true);
	create_page_locked();
	if (page != NULL)
		update_locked(0);
	lock_release(&lock);
	purge_kick();
}

/* One thread alone passes, and only in the process whose page it is: the child of
 * vfork runs on its parent's memory. */
static bool take_turn(void)
{
	uint32_t last = atomic_load_relaxed(&ticked_ms);
	return has_passed(last, STATPAGE_PERIOD_MS) && (owner == 0 || owner == getpid()) &&
	       atomic_cas_acquire(&ticked_ms, &last, os_now_ms());
}

static void tick(bool walk)
{
	walk |= serve_mailbox();
	lock_acquire(&lock);
	if (owner == 0)
		create_page_locked();
	/* Not after statpage_stop(), for which this may have waited. */
	if (atomic_load_relaxed(&statpage_enabled) && page != NULL &&
	    (walk || has_passed(walked_ms, walk_pause_ms)))
		update_locked(0);
	lock_release(&lock);
}

void statpage_tick(void)
{
	if (atomic_load_relaxed(&statpage_enabled) && take_turn())
		tick(false);
}

#if HAKMEM_TESTING
void statpage_tick_now(void)
{
	sampled_ms = os_now_ms() - UINT32_MAX / 2; /* long ago */
	tick(true);
}
#endif

void statpage_stop(void)
{
	struct slow_scope scope;
	if (!atomic_load_relaxed(&statpage_enabled))
		return;
	if (slow_enter(&scope)) {
		lock_acquire(&lock);
		if (page != NULL && owner == getpid()) {
			update_locked(STATPAGE_ENDED);
			if (options.stats_page_keep != owner)
				unlink(path);
		}
		atomic_store_relaxed(&statpage_enabled, false);
		lock_release(&lock);
	}
	slow_leave(&scope);
}

void statpage_after_fork(void)
{
	/* The forking thread may have been interrupted in the middle of an update, which
	 * goes on in the child as well: let it write to memory of its own. */
	if (page != NULL)
		(void)mmap(page, sizeof(*page), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	owner = 0;
	/* A child that soon ends, or runs another program, needs none. */
	atomic_store_relaxed(&ticked_ms, os_now_ms());
}
