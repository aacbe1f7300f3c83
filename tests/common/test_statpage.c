/* The statistics page as the allocator writes it: the file, figures against a known
 * heap, the history, the mailbox, forks. The file is read as another process would. */
#include "common/statpage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/entry.h"
#include "common/os.h"
#include "common/statpage_layout.h"
#include "unit.h"

enum { BLOCKS = 3000, BLOCK_BYTES = 96 };

static struct statpage copy;

static void page_path(char *path, size_t size, pid_t pid)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	snprintf(path, size, "%s/" STATPAGE_FILE_PREFIX "%d",
		 dir != NULL && access(dir, W_OK) == 0 ? dir : STATPAGE_SHARED_DIR, (int)pid);
}

static int open_page(int flags)
{
	char path[256];
	int fd;
	page_path(path, sizeof(path), getpid());
	fd = open(path, flags);
	if (fd < 0)
		test_skip("%s: %s (no shared memory here?)", path, strerror(errno));
	return fd;
}

static void read_page(void)
{
	int fd = open_page(O_RDONLY);
	REQUIRE(read(fd, &copy, sizeof(copy)) == (ssize_t)sizeof(copy), "the page is short");
	close(fd);
}

static void file_is_private(void)
{
	struct stat st;
	int fd = open_page(O_RDONLY);
	REQUIRE(fstat(fd, &st) == 0, "fstat");
	close(fd);
	CHECK((st.st_mode & 07777) == 0600, "mode %o", (unsigned)st.st_mode & 07777);
	CHECK_U64(st.st_uid, geteuid(), "owner");
	CHECK_U64(st.st_size, sizeof(struct statpage), "size");
	read_page();
	CHECK(copy.magic == STATPAGE_MAGIC, "magic %#llx", (unsigned long long)copy.magic);
	CHECK_I64(copy.version, STATPAGE_VERSION, "version");
	CHECK_U64(copy.struct_bytes, sizeof(copy), "struct_bytes");
	CHECK_I64(copy.pid, getpid(), "pid");
	CHECK(copy.start_ticks > 0, "no start time");
	CHECK(strstr(copy.exe, "test_statpage") != NULL || test_under_qemu(), "exe is %s",
	      copy.exe);
}

static void figures_are_those_of_the_heap(void)
{
	static void *blocks[BLOCKS];
	unsigned cls = size_class(BLOCK_BYTES);
	uint64_t before, cached;
	statpage_tick_now();
	read_page();
	before = copy.now.classes[cls].live;
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i] = entry_malloc(BLOCK_BYTES);
	statpage_tick_now();
	read_page();
	CHECK(copy.sequence % 2 == 0, "sequence %u at rest", copy.sequence);
	CHECK_U64(copy.now.classes[cls].live, before + BLOCKS, "live blocks");
	CHECK_U64(copy.now.classes[cls].block_bytes, BLOCK_BYTES, "their size");
	cached = copy.now.classes[cls].cached;
	CHECK(copy.now.metrics.live_bytes >= BLOCKS * BLOCK_BYTES, "live bytes %lld",
	      (long long)copy.now.metrics.live_bytes);
	CHECK_U64(copy.now.classes[cls].live + cached + copy.now.classes[cls].free,
		  (uint64_t)copy.now.classes[cls].slabs * class_layout[cls].capacity,
		  "blocks of the slabs");
	for (unsigned i = 0; i < BLOCKS; i++)
		entry_free(blocks[i]);
	statpage_tick_now();
	read_page();
	CHECK_U64(copy.now.classes[cls].live, before, "live blocks after they were freed");
}

static void superslabs_are_drawn(void)
{
	void *p = entry_malloc(BLOCK_BYTES);
	uintptr_t base = (uintptr_t)p & ~(uintptr_t)(HAK_SUPERSLAB_BYTES - 1);
	unsigned unit = (unsigned)(((uintptr_t)p - base) / HAK_UNIT_BYTES), i;
	statpage_tick_now();
	read_page();
	for (i = 0; i < copy.now.nsuperslabs && i < STATPAGE_SUPERSLABS; i++)
		if (copy.now.superslabs[i].base == base)
			break;
	if (CHECK(i < copy.now.nsuperslabs, "the superslab of a block is not on the page"))
		CHECK((copy.now.superslabs[i].fill[unit / 2] >> unit % 2 * 4 & 15) > 0,
		      "the unit of a live block is shown as free");
	entry_free(p);
}

static void decisions_wrap(void)
{
	char reason[256];
	uint64_t first;
	read_page();
	first = copy.ndecisions;
	memset(reason, 'x', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	for (int i = 0; i < STATPAGE_DECISIONS + 5; i++)
		statpage_decision(HAK_KNOB_BUNDLE_WIDTH, 0, i, i + 1, reason);
	read_page();
	CHECK_U64(copy.ndecisions, first + STATPAGE_DECISIONS + 5, "decisions");
	for (uint64_t n = copy.ndecisions - STATPAGE_DECISIONS; n < copy.ndecisions; n++) {
		const struct statpage_decision *d = &copy.decisions[n % STATPAGE_DECISIONS];
		CHECK_I64(d->old_value, (int64_t)(n - first), "old value");
		CHECK(d->reason[sizeof(d->reason) - 1] == '\0', "a reason does not end");
	}
}

/* A history that is full is thinned: it always begins at the start, in order. */
static void history_is_thinned(void)
{
	for (int i = 0; i < STATPAGE_SAMPLES + 10; i++)
		statpage_tick_now();
	read_page();
	CHECK(copy.nsamples > STATPAGE_SAMPLES / 2 && copy.nsamples <= STATPAGE_SAMPLES,
	      "%u samples", copy.nsamples);
	CHECK(copy.sample_period_ms >= 2 * STATPAGE_PERIOD_MS, "period %u ms",
	      copy.sample_period_ms);
	for (unsigned i = 1; i < copy.nsamples; i++)
		CHECK(copy.samples[i].time_ms >= copy.samples[i - 1].time_ms, "sample %u is older",
		      i);
	CHECK(copy.samples[0].time_ms < 1000, "the first sample is of %lld ms",
	      (long long)copy.samples[0].time_ms);
}

/* Send a command and let the process look. */
static int32_t send_command(struct statpage_mailbox m)
{
	int fd = open_page(O_RDWR);
	REQUIRE(pread(fd, &copy, sizeof(copy), 0) == (ssize_t)sizeof(copy), "the page is short");
	m.request = copy.mailbox.request + 1;
	m.answer = copy.mailbox.answer;
	REQUIRE(pwrite(fd, &m, sizeof(m), offsetof(struct statpage, mailbox)) == (ssize_t)sizeof(m),
		"the mailbox cannot be written");
	close(fd);
	statpage_tick_now();
	read_page();
	CHECK_U64(copy.mailbox.answer, m.request, "answer");
	return copy.mailbox.result;
}

static void commands_are_obeyed(void)
{
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_SET_KNOB,
							  .knob = HAK_KNOB_BUNDLE_WIDTH,
							  .value = 64 }),
		  0, "set");
	CHECK_I64(knob_get(HAK_KNOB_BUNDLE_WIDTH, 0), 64, "knob");
	CHECK_I64(copy.now.knobs[HAK_KNOB_BUNDLE_WIDTH][0], 64, "knob on the page");
	CHECK(strcmp(copy.decisions[(copy.ndecisions - 1) % STATPAGE_DECISIONS].reason,
		     "hakmem ctl") == 0,
	      "no record of the change");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_FREEZE, .value = 1 }),
		  0, "freeze");
	CHECK(knobs_are_frozen() && (copy.now.flags & STATPAGE_FROZEN), "not frozen");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_FREEZE }), 0,
		  "unfreeze");
	CHECK(!knobs_are_frozen(), "still frozen");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_RESET_KNOBS }), 0,
		  "reset");
	CHECK_I64(knob_get(HAK_KNOB_BUNDLE_WIDTH, 0), 32, "knob after reset");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_PURGE }), 0, "purge");
}

static void nonsense_is_refused(void)
{
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_SET_KNOB,
							  .knob = -1 }),
		  -EINVAL, "knob -1");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_SET_KNOB,
							  .knob = HAK_KNOB_COUNT }),
		  -EINVAL, "knob past the last");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_SET_KNOB,
							  .cls = HAK_CLASS_COUNT + 1,
							  .value = 64 }),
		  -EINVAL, "class past the last");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = STATPAGE_SET_KNOB,
							  .value = 17 }),
		  -EINVAL, "no candidate");
	CHECK_I64(send_command((struct statpage_mailbox){ .command = 12345 }), -ENOSYS,
		  "no command");
}

/* Whatever lies in the mailbox, the process lives. */
static void garbage_in_the_mailbox(void)
{
	uint64_t rng = unit_seed();
	for (unsigned i = 0; i < test_scaled(500, 50); i++) {
		struct statpage_mailbox m;
		for (size_t b = 0; b < sizeof(m); b++)
			((unsigned char *)&m)[b] = (unsigned char)test_random(&rng);
		/* Not the one that writes files. */
		if (m.command == STATPAGE_PROFILE_DUMP || i % 2 == 0)
			m.command = (uint32_t)(1 + test_random(&rng) % STATPAGE_PROFILE);
		send_command(m);
	}
	send_command((struct statpage_mailbox){ .command = STATPAGE_FREEZE });
	send_command((struct statpage_mailbox){ .command = STATPAGE_PROFILE });
	send_command((struct statpage_mailbox){ .command = STATPAGE_RESET_KNOBS });
}

static void read_parents_page(void)
{
	char path[256];
	int fd;
	page_path(path, sizeof(path), getppid());
	fd = open(path, O_RDONLY);
	REQUIRE(fd >= 0 && read(fd, &copy, sizeof(copy)) == (ssize_t)sizeof(copy), "parent's page");
	close(fd);
}

static void in_child(void *arg)
{
	char path[256];
	uint32_t parents_sequence;
	(void)arg;
	read_parents_page();
	parents_sequence = copy.sequence;
	statpage_decision(HAK_KNOB_BUNDLE_WIDTH, 0, 1, 2, "in the child");
	statpage_tick_now();
	read_page();
	CHECK_I64(copy.pid, getpid(), "pid on the child's page");
	CHECK_U64(copy.ndecisions, 0, "decisions on the child's page");
	read_parents_page();
	CHECK_U64(copy.sequence, parents_sequence, "sequence of the parent's page");
	statpage_stop();
	page_path(path, sizeof(path), getpid());
	CHECK(access(path, F_OK) != 0, "%s is left behind", path);
}

static void child_has_its_own(void)
{
	static struct unit_child c;
	unit_child_passes(&c, in_child, NULL);
	read_page();
	CHECK_I64(copy.pid, getpid(), "the parent's page after the child's end");
}

/* It had nothing to do for so long that the clock of milliseconds has passed the half of its
 * range. */
static void after_a_month(void *arg)
{
	uint32_t sequence, samples;
	(void)arg;
	statpage_tick_now();
	read_page();
	sequence = copy.sequence;
	samples = copy.nsamples;
	os_clock_advance_ms(30u * 24 * 3600 * 1000);
	CHECK(statpage_is_due(), "nothing is due after a month");
	statpage_tick();
	read_page();
	CHECK_U64(copy.sequence, sequence + 2, "sequence");
	CHECK_U64(copy.nsamples, samples + 1, "samples");
	CHECK(!statpage_is_due(), "due again at once");
	statpage_stop();
}

static void page_after_a_month(void)
{
	static struct unit_child c;
	unit_child_passes(&c, after_a_month, NULL);
}

/* No file can be made; another thread may be on its way to the page already. */
static void page_is_refused(void *arg)
{
	const struct rlimit nothing = { 0, 0 };
	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &nothing) == 0, "setrlimit");
	statpage_tick_now();
	CHECK(!atomic_load_relaxed(&statpage_enabled), "there is a page, of no bytes");
	statpage_tick_now();
}

static void child_without_page(void)
{
	static struct unit_child c;
	unit_child_passes(&c, page_is_refused, NULL);
}

static const struct test_case cases[] = {
	{ "file_is_private", file_is_private },
	{ "figures_are_those_of_the_heap", figures_are_those_of_the_heap },
	{ "superslabs_are_drawn", superslabs_are_drawn },
	{ "decisions_wrap", decisions_wrap },
	{ "commands_are_obeyed", commands_are_obeyed },
	{ "nonsense_is_refused", nonsense_is_refused },
	{ "garbage_in_the_mailbox", garbage_in_the_mailbox },
	{ "child_has_its_own", child_has_its_own },
	{ "page_after_a_month", page_after_a_month },
	{ "child_without_page", child_without_page },
	{ "history_is_thinned", history_is_thinned },
};
UNIT_MAIN(cases)
