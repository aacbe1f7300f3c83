#include "page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

enum {
	READ_TRIES = 200, /* a writer is at work for some microseconds, twice a second */
	READ_PAUSE_NS = 500000,
	START_TICKS_FIELD = 22,
	PERMILLE = 1000,
	MILLION = 1000000,
};

/* ---- finding */

uint64_t process_start_ticks(pid_t pid)
{
	char path[64], line[1024];
	unsigned long long ticks = 0;
	const char *s;
	FILE *f;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	s = fgets(line, sizeof(line), f);
	fclose(f);
	s = s == NULL ? NULL : strrchr(line, ')');
	for (int field = 2; s != NULL && field < START_TICKS_FIELD; field++) {
		s = strchr(s, ' ');
		s = s == NULL ? NULL : s + 1;
	}
	return s != NULL && sscanf(s, "%llu", &ticks) == 1 ? ticks : 0;
}

/* Is this the path of a page? It may end in " (deleted)". */
static bool is_page_path(const char *path)
{
	const char *name = strrchr(path, '/');
	size_t prefix = strlen(STATPAGE_FILE_PREFIX);
	if (path[0] != '/' || strncmp(name + 1, STATPAGE_FILE_PREFIX, prefix) != 0)
		return false;
	name += 1 + prefix;
	return *name != '\0' && name[strspn(name, "0123456789")] == '\0';
}

enum page_error page_find(pid_t pid, char path[PAGE_PATH_BYTES])
{
	char maps[64], line[1024];
	enum page_error result = PAGE_NONE;
	FILE *f;
	snprintf(maps, sizeof(maps), "/proc/%d/maps", (int)pid);
	f = fopen(maps, "re");
	if (f == NULL)
		return errno == ENOENT || errno == ESRCH ? PAGE_NO_PROCESS : PAGE_DENIED;
	while (result == PAGE_NONE && fgets(line, sizeof(line), f) != NULL) {
		char *name = strchr(line, '/');
		if (name == NULL)
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (is_page_path(name) && strlen(name) < PAGE_PATH_BYTES) {
			strcpy(path, name);
			result = PAGE_OK;
		}
	}
	/* An empty list can be read of a kernel thread, and of what may not be looked at. */
	if (result == PAGE_NONE && ferror(f))
		result = PAGE_DENIED;
	fclose(f);
	return result;
}

static enum page_error open_checked(struct page_file *f, uid_t uid, bool writable)
{
	struct stat st;
	f->fd = open(f->path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
				      O_NOCTTY);
	if (f->fd < 0)
		return errno == EACCES || errno == EPERM ? PAGE_DENIED : PAGE_NONE;
	if (fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_uid == uid || st.st_uid == geteuid()))
		return PAGE_OK;
	close(f->fd);
	f->fd = -1;
	return PAGE_FOREIGN;
}

/* The process may live in a container, with another root. */
static void path_through_root(struct page_file *f)
{
	char inside[PAGE_PATH_BYTES];
	strcpy(inside, f->path);
	if (snprintf(f->path, sizeof(f->path), "/proc/%d/root%s", (int)f->pid, inside) >=
	    (int)sizeof(f->path))
		strcpy(f->path, inside);
}

enum page_error page_open(struct page_file *f, pid_t pid, bool writable)
{
	char proc[64];
	struct stat st;
	enum page_error e;
	*f = (struct page_file){ .fd = -1, .pid = pid };
	snprintf(proc, sizeof(proc), "/proc/%d", (int)pid);
	if (stat(proc, &st) != 0)
		return PAGE_NO_PROCESS;
	e = page_find(pid, f->path);
	if (e != PAGE_OK)
		return e;
	e = open_checked(f, st.st_uid, writable);
	if (e == PAGE_NONE) {
		path_through_root(f);
		e = open_checked(f, st.st_uid, writable);
	}
	return e;
}

static enum page_error open_left_in(struct page_file *f, const char *dir, uid_t uid)
{
	if (snprintf(f->path, sizeof(f->path), "%s/" STATPAGE_FILE_PREFIX "%d", dir, (int)f->pid) >=
	    (int)sizeof(f->path))
		return PAGE_NONE;
	return open_checked(f, uid, false);
}

enum page_error page_open_left(struct page_file *f, pid_t pid, uid_t uid)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	enum page_error e = PAGE_NONE;
	*f = (struct page_file){ .fd = -1, .pid = pid };
	if (runtime != NULL && runtime[0] == '/')
		e = open_left_in(f, runtime, uid);
	return e == PAGE_OK ? e : open_left_in(f, STATPAGE_SHARED_DIR, uid);
}

enum page_error page_open_file(struct page_file *f, const char *path)
{
	struct stat st;
	*f = (struct page_file){ .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) };
	if (f->fd < 0)
		return errno == EACCES || errno == EPERM ? PAGE_DENIED : PAGE_NONE;
	if (fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode))
		return PAGE_OK;
	page_close(f);
	return PAGE_FOREIGN;
}

void page_close(struct page_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* ---- checking */

#define CLEAN_TEXT(array) clean_text((array), sizeof(array))

static int64_t clamped(int64_t n, int64_t min, int64_t max)
{
	return n < min ? min : n > max ? max : n;
}

/* Far above every true figure, and far below what overflows when such are added. */
static const int64_t figure_max = INT64_C(1) << 56;

static bool check_knobs(struct statpage *p)
{
	if (p->nknobs > STATPAGE_KNOBS)
		return false;
	for (unsigned k = 0; k < p->nknobs; k++) {
		struct statpage_knob *knob = &p->knobs[k];
		CLEAN_TEXT(knob->name);
		CLEAN_TEXT(knob->unit);
		if (knob->ncandidates > STATPAGE_CANDIDATES || knob->name[0] == '\0')
			return false;
	}
	return true;
}

static void clean_now(struct statpage *p)
{
	struct statpage_now *now = &p->now;
	CLEAN_TEXT(now->counter_source);
	CLEAN_TEXT(now->counter_reason);
	now->time_ms = clamped(now->time_ms, 0, figure_max);
	now->profile_rate = clamped(now->profile_rate, 0, figure_max);
	now->profile_samples = clamped(now->profile_samples, 0, figure_max);
#define CLAMP(field, words)                                                                        \
	if (now->stats.field > (uint64_t)figure_max)                                               \
		now->stats.field = (uint64_t)figure_max;
	STATS_FIELDS(CLAMP)
#undef CLAMP
#define CLAMP(field, words) now->metrics.field = clamped(now->metrics.field, -1, figure_max);
	STATPAGE_METRICS(CLAMP)
#undef CLAMP
	now->metrics.fragmentation_permille =
		clamped(now->metrics.fragmentation_permille, -1, PERMILLE);
	now->metrics.cache_miss_ppm = clamped(now->metrics.cache_miss_ppm, -1, MILLION);
	for (unsigned cls = 0; cls < STATPAGE_CLASSES; cls++) {
		struct statpage_class *c = &now->classes[cls];
		if (cls > p->nclasses)
			*c = (struct statpage_class){ 0 };
		/* Counts of blocks: times their size, they still are figures. */
		c->block_bytes = (uint32_t)clamped(c->block_bytes, 0, 1 << 20);
		c->live = (uint64_t)clamped((int64_t)(c->live >> 1), 0, figure_max >> 21) << 1 |
			  (c->live & 1);
		c->cached = (uint64_t)clamped((int64_t)(c->cached >> 1), 0, figure_max >> 21) << 1 |
			    (c->cached & 1);
		c->free = (uint64_t)clamped((int64_t)(c->free >> 1), 0, figure_max >> 21) << 1 |
			  (c->free & 1);
	}
}

static bool check_decisions(struct statpage *p)
{
	uint64_t n = p->ndecisions < STATPAGE_DECISIONS ? p->ndecisions : STATPAGE_DECISIONS;
	for (unsigned i = 0; i < n; i++) {
		struct statpage_decision *d = &p->decisions[i];
		CLEAN_TEXT(d->reason);
		if (d->knob < 0 || (uint32_t)d->knob >= p->nknobs || d->cls < 0 ||
		    (uint32_t)d->cls > p->nclasses)
			return false;
		d->time_ms = clamped(d->time_ms, 0, figure_max);
	}
	return true;
}

static bool check_samples(struct statpage *p)
{
	int64_t last_ms = 0;
	if (p->nsamples > STATPAGE_SAMPLES)
		return false;
	for (unsigned i = 0; i < p->nsamples; i++) {
		struct statpage_sample *s = &p->samples[i];
		if (s->time_ms < last_ms || s->time_ms > figure_max)
			return false;
		last_ms = s->time_ms;
		s->rss_bytes = clamped(s->rss_bytes, -1, figure_max);
		s->live_bytes = clamped(s->live_bytes, -1, figure_max);
		s->held_bytes = clamped(s->held_bytes, -1, figure_max);
		s->mallocs = clamped(s->mallocs, -1, figure_max);
		s->purged_bytes = clamped(s->purged_bytes, -1, figure_max);
		s->fragmentation_permille =
			(int32_t)clamped(s->fragmentation_permille, -1, PERMILLE);
		s->cache_miss_ppm = (int32_t)clamped(s->cache_miss_ppm, -1, MILLION);
	}
	return true;
}

enum page_error page_check(struct statpage *p)
{
	if (p->magic != STATPAGE_MAGIC)
		return PAGE_BROKEN;
	CLEAN_TEXT(p->build);
	if (p->version != STATPAGE_VERSION || p->struct_bytes != sizeof(*p) ||
	    strcmp(p->build, HAKMEM_BUILD_ID) != 0)
		return PAGE_OTHER_BUILD;
	CLEAN_TEXT(p->exe);
	CLEAN_TEXT(p->backend);
	if (p->nclasses == 0 || p->nclasses >= STATPAGE_CLASSES)
		return PAGE_BROKEN;
	if (!check_knobs(p) || !check_decisions(p) || !check_samples(p))
		return PAGE_BROKEN;
	clean_now(p);
	return PAGE_OK;
}

/* ---- reading */

/* Returns how many bytes there were; the rest are zeros. */
static size_t read_all(int fd, struct statpage *out)
{
	size_t done = 0;
	while (done < sizeof(*out)) {
		ssize_t n = pread(fd, (char *)out + done, sizeof(*out) - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	memset((char *)out + done, 0, sizeof(*out) - done);
	return done;
}

static bool sequence_is(int fd, uint32_t expected)
{
	uint32_t found;
	return pread(fd, &found, sizeof(found), offsetof(struct statpage, sequence)) ==
		       sizeof(found) &&
	       found == expected;
}

enum page_error page_read(const struct page_file *f, struct statpage *out)
{
	const struct timespec pause = { 0, READ_PAUSE_NS };
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before;
		size_t bytes;
		if (pread(f->fd, &before, sizeof(before), offsetof(struct statpage, sequence)) !=
		    sizeof(before))
			before = 0;
		/* What is copied is read after the first number and before the second. */
		atomic_thread_fence(memory_order_acquire);
		bytes = read_all(f->fd, out);
		atomic_thread_fence(memory_order_acquire);
		/* Another build's may be shorter, and its sequence lie anywhere. */
		if (out->magic != STATPAGE_MAGIC || out->version != STATPAGE_VERSION)
			return page_check(out);
		if (bytes < sizeof(*out))
			return PAGE_BROKEN;
		if (before % 2 == 0 && sequence_is(f->fd, before))
			return page_check(out);
		nanosleep(&pause, NULL);
	}
	return PAGE_BUSY;
}

enum page_error page_copy(pid_t pid, struct statpage *out)
{
	struct page_file f;
	enum page_error e = page_open(&f, pid, false);
	if (e == PAGE_OK) {
		e = page_read(&f, out);
		page_close(&f);
	}
	return e;
}

int page_explain(enum page_error e, pid_t pid)
{
	switch (e) {
	case PAGE_OK:
		return EXIT_OK;
	case PAGE_NO_PROCESS:
		complain("there is no process %d", (int)pid);
		return EXIT_NO_PAGE;
	case PAGE_DENIED:
		complain("process %d belongs to another user: run this as that user or as root",
			 (int)pid);
		return EXIT_NO_PAGE;
	case PAGE_NONE:
		complain("process %d shows no statistics page: start it with "
			 "`hakmem run -- PROGRAM`, or with HAKMEM_STATS_PAGE=1 "
			 "(`hakmem doctor %d` tells what it runs on)",
			 (int)pid, (int)pid);
		return EXIT_NO_PAGE;
	case PAGE_FOREIGN:
		complain("the statistics page of process %d is not a file of its user: not read",
			 (int)pid);
		return EXIT_FAILED;
	case PAGE_OTHER_BUILD:
		complain("process %d runs another build of hakmem than this command (%s): use the "
			 "`hakmem` command of that build",
			 (int)pid, HAKMEM_BUILD_ID);
		return EXIT_OTHER_BUILD;
	case PAGE_BROKEN:
		complain("the statistics page of process %d is damaged", (int)pid);
		return EXIT_FAILED;
	case PAGE_BUSY:
		complain("the statistics page of process %d is in the middle of an update that "
			 "does not end: is the process stopped?",
			 (int)pid);
		return EXIT_FAILED;
	}
	return EXIT_FAILED;
}

int page_explain_file(enum page_error e, const char *path)
{
	switch (e) {
	case PAGE_OK:
		return EXIT_OK;
	case PAGE_NO_PROCESS:
	case PAGE_NONE:
		complain("%s: there is no such file, nor is it the number of a process", path);
		return EXIT_NO_PAGE;
	case PAGE_DENIED:
		complain("%s: it may not be read", path);
		return EXIT_NO_PAGE;
	case PAGE_FOREIGN:
		complain("%s: it is no plain file", path);
		return EXIT_FAILED;
	case PAGE_OTHER_BUILD:
		complain("%s is the page of another build of hakmem than this command (%s): use "
			 "the `hakmem` command of that build",
			 path, HAKMEM_BUILD_ID);
		return EXIT_OTHER_BUILD;
	case PAGE_BROKEN:
		complain("%s is no statistics page, or a damaged one", path);
		return EXIT_FAILED;
	case PAGE_BUSY:
		complain("%s was copied in the middle of an update", path);
		return EXIT_FAILED;
	}
	return EXIT_FAILED;
}

/* ---- all of them */

/* A page whose process is gone is garbage. One that another process of the same pid
 * has written, or that lies there for another reason, stays. */
static void remove_if_stale(const char *path, pid_t pid)
{
	struct statpage head;
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool ours;
	ssize_t n;
	if (fd < 0)
		return;
	ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
	n = pread(fd, &head, offsetof(struct statpage, start_realtime_ns), 0);
	close(fd);
	if (!ours || n != offsetof(struct statpage, start_realtime_ns) ||
	    head.magic != STATPAGE_MAGIC)
		return;
	/* In another container's numbers that may be a live process: those have other
	 * start times, and their pages are not in our directories as a rule. */
	if ((kill(pid, 0) != 0 && errno == ESRCH) || process_start_ticks(pid) != head.start_ticks)
		unlink(path);
}

static bool visit_dir(const char *dir, bool (*visit)(pid_t pid, void *arg), void *arg)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	bool more = true;
	if (d == NULL)
		return true;
	while (more && (entry = readdir(d)) != NULL) {
		char path[PAGE_PATH_BYTES], mapped[PAGE_PATH_BYTES];
		long long pid;
		size_t prefix = strlen(STATPAGE_FILE_PREFIX);
		if (strncmp(entry->d_name, STATPAGE_FILE_PREFIX, prefix) != 0 ||
		    !parse_number(entry->d_name + prefix, INT32_MAX, &pid) || pid == 0 ||
		    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path))
			continue;
		if (page_find((pid_t)pid, mapped) == PAGE_OK && strcmp(mapped, path) == 0)
			more = visit((pid_t)pid, arg);
		else
			remove_if_stale(path, (pid_t)pid);
	}
	closedir(d);
	return more;
}

void page_for_each(bool (*visit)(pid_t pid, void *arg), void *arg)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	bool more = true;
	if (runtime != NULL && runtime[0] == '/')
		more = visit_dir(runtime, visit, arg);
	if (more && (runtime == NULL || strcmp(runtime, STATPAGE_SHARED_DIR) != 0))
		visit_dir(STATPAGE_SHARED_DIR, visit, arg);
}

struct choice {
	pid_t pid;
	unsigned count;
};

static bool count_choice(pid_t pid, void *arg)
{
	struct choice *c = arg;
	c->pid = pid;
	c->count++;
	return true;
}

static bool print_choice(pid_t pid, void *arg)
{
	char link[64], exe[256];
	ssize_t n;
	(void)arg;
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	clean_text(exe, sizeof(exe));
	fprintf(stderr, "  %7d %s\n", (int)pid, exe);
	return true;
}

pid_t page_choose(const char *s, const char *command, int *code)
{
	struct choice c = { 0 };
	long long pid;
	*code = EXIT_NO_PAGE;
	if (s != NULL) {
		if (parse_number(s, INT32_MAX, &pid) && pid > 0)
			return (pid_t)pid;
		*code = usage_error(command, "'%s' is no process number", s);
		return 0;
	}
	page_for_each(count_choice, &c);
	if (c.count == 1)
		return c.pid;
	if (c.count == 0) {
		complain("no process of yours shows a statistics page: start one with "
			 "`hakmem run -- PROGRAM`");
		return 0;
	}
	complain("which one? Say `hakmem %s PID`:", command);
	page_for_each(print_choice, NULL);
	*code = EXIT_USAGE;
	return 0;
}

int page_copy_chosen(const char *s, const char *command, struct statpage *out)
{
	int code;
	pid_t pid = page_choose(s, command, &code);
	return pid == 0 ? code : page_explain(page_copy(pid, out), pid);
}
