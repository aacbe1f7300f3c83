/* The statistics page: what a process that runs with HAKMEM_STATS_PAGE=1 shows to
 * others, as a file in shared memory. The allocator writes it (statpage.c), the
 * command `hakmem` reads it; they share this header and nothing else.
 *
 * The file belongs to the process's user alone. A reader copies it with pread(), so
 * that a file cut short is a short read, and believes none of it before it has been
 * checked: whoever may write to the file may have written anything.
 *
 * What changes lies behind `sequence`, which is odd while the writer is at work; a
 * copy is whole if it began and ended with the same even number. The mailbox alone is
 * written by the reader: it fills in a command, then raises `request`; the process
 * answers within a period and then makes `answer` equal to it.
 *
 * Fields have fixed widths and natural alignment. A change of the layout raises
 * STATPAGE_VERSION; the build's id, which has a hash of this file in it, tells where
 * that was forgotten.
 */
#ifndef HAK_COMMON_STATPAGE_LAYOUT_H
#define HAK_COMMON_STATPAGE_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/stats_fields.h"

/* "hakpage1", little endian. */
#define STATPAGE_MAGIC UINT64_C(0x31656761706b6168)
/* The file is $XDG_RUNTIME_DIR/hakmem.PID, or /dev/shm/hakmem.PID. */
#define STATPAGE_FILE_PREFIX "hakmem."
#define STATPAGE_SHARED_DIR "/dev/shm"

enum {
	STATPAGE_VERSION = 1,
	STATPAGE_PERIOD_MS = 500,
	STATPAGE_CLASSES = 97, /* room for; class 0 is no class */
	STATPAGE_KNOBS = 16,
	STATPAGE_CANDIDATES = 8,
	STATPAGE_DECISIONS = 128,
	STATPAGE_SAMPLES = 600,
	STATPAGE_SUPERSLABS = 1024,
	STATPAGE_UNITS = 32, /* of a superslab */
	STATPAGE_UNIT_BYTES = 65536,
};

/* Figures beyond those of struct hak_stats, signed: -1 is "not known". */
#define STATPAGE_METRICS(F)                                                                        \
	F(rss_bytes, "resident memory of the process")                                             \
	F(live_bytes, "in the program's hands")                                                    \
	F(occupied_bytes, "slabs, large and huge blocks")                                          \
	F(fragmentation_permille, "part of what is kept in memory that is not live")    \
	F(mallocs, "allocations so far")                                                           \
	F(slow_mallocs, "  of these, not from a thread cache")                                     \
	F(lock_wait_ns, "time that threads waited for locks")                                      \
	F(slow_path_p99_ns, "99 in 100 slow paths of the last period took less")                   \
	F(remote_backlog, "blocks freed by other threads, not taken in yet")                       \
	F(page_faults, "page faults of the process")                                               \
	F(cache_miss_ppm, "last-level cache misses, parts per million")                            \
	F(counter_confidence, "how far that is to be believed, percent")                           \
	F(memory_limit_bytes, "memory limit of the control group")                                 \
	F(memory_pressure_ppm, "time in which some process of it waited for memory")               \
	F(cpu_limit_percent, "CPU limit of the control group, of one CPU")

enum statpage_flag {
	STATPAGE_ENDED = 1,     /* written at the process's exit */
	STATPAGE_ACE = 2,       /* ACE is on */
	STATPAGE_FROZEN = 4,    /* ACE may not move knobs */
	STATPAGE_PROFILING = 8, /* allocations are sampled */
};

struct statpage_knob {
	char name[32];
	char unit[16];
	int32_t default_value;
	uint8_t per_class;
	uint8_t ncandidates;
	uint16_t padding;
	int32_t candidates[STATPAGE_CANDIDATES];
};

/* A class of blocks. live + cached + free = slabs * blocks per slab. */
struct statpage_class {
	uint32_t block_bytes;
	uint32_t slabs;
	uint64_t live;
	uint64_t cached;
	uint64_t free;
};

/* A change of a knob. cls 0: of all classes. */
struct statpage_decision {
	int64_t time_ms; /* since the process's start */
	int32_t knob;
	int32_t cls;
	int32_t old_value, new_value;
	char reason[104];
};

/* A moment of the process's history. */
struct statpage_sample {
	int64_t time_ms;
	int64_t rss_bytes, live_bytes, held_bytes, mallocs, purged_bytes;
	int32_t fragmentation_permille, cache_miss_ppm;
	int32_t knobs[STATPAGE_KNOBS]; /* what was last set for all classes */
};

/* A superslab: how full each of its units is, in sixteenths rounded up, two units to a
 * byte; 0 is a free one. */
struct statpage_superslab {
	uint64_t base;
	uint32_t present_mask;
	uint32_t dirty_mask; /* free units whose pages are in memory */
	uint8_t fill[STATPAGE_UNITS / 2];
};

enum statpage_command {
	STATPAGE_PURGE = 1,
	STATPAGE_SET_KNOB,   /* knob, cls, value */
	STATPAGE_RESET_KNOBS,
	STATPAGE_FREEZE,     /* value 1 or 0 */
	STATPAGE_PROFILE,    /* value: bytes between samples; 0: off */
	STATPAGE_PROFILE_DUMP, /* to the file path, which must not exist */
};

struct statpage_mailbox {
	_Atomic uint32_t request;
	_Atomic uint32_t answer;
	uint32_t command;
	int32_t knob;
	uint32_t cls;
	int32_t value;
	int32_t result; /* 0, or -errno */
	int32_t padding;
	int64_t bytes; /* given back by a purge, written by a dump */
	char path[256];
};

/* What is written anew in each period. */
struct statpage_now {
	int64_t time_ms; /* since the process's start */
	uint32_t flags;
	uint32_t nsuperslabs; /* all of them: the page has the first STATPAGE_SUPERSLABS */
	int64_t profile_rate; /* bytes between samples */
	int64_t profile_samples;
	char counter_source[32];
	char counter_reason[128];
#define STATPAGE_FIELD(name, words) uint64_t name;
	struct {
		STATS_FIELDS(STATPAGE_FIELD)
	} stats;
#undef STATPAGE_FIELD
#define STATPAGE_FIELD(name, words) int64_t name;
	struct {
		STATPAGE_METRICS(STATPAGE_FIELD)
	} metrics;
#undef STATPAGE_FIELD
	int32_t knobs[STATPAGE_KNOBS][STATPAGE_CLASSES]; /* [0]: last set for all classes */
	struct statpage_class classes[STATPAGE_CLASSES];
	struct statpage_superslab superslabs[STATPAGE_SUPERSLABS];
};

struct statpage {
	/* These never change. */
	uint64_t magic;
	uint32_t version;
	uint32_t struct_bytes;
	char build[40];
	int32_t pid; /* as the process itself sees it */
	uint32_t uid;
	uint64_t start_ticks;   /* of /proc/PID/stat: tells a later process of the same pid */
	int64_t start_realtime_ns;
	uint32_t nclasses; /* classes are 1 .. nclasses */
	uint32_t nknobs;
	uint32_t page_bytes;
	uint32_t padding;
	char exe[256];
	char backend[16];
	struct statpage_knob knobs[STATPAGE_KNOBS];

	struct statpage_mailbox mailbox;

	_Atomic uint32_t sequence;
	uint32_t sample_period_ms; /* doubles when the samples are full, and every other one goes */
	uint32_t nsamples;
	uint32_t padding2;
	uint64_t ndecisions; /* so far; decision n lies at n % STATPAGE_DECISIONS */
	struct statpage_now now;
	struct statpage_decision decisions[STATPAGE_DECISIONS];
	struct statpage_sample samples[STATPAGE_SAMPLES]; /* in order of time */
};

#endif
