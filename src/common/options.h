/* Settings from the environment, read once before the first heap exists or, if
 * the C library was not ready then, by the library's constructor. A program
 * that runs with raised privileges (setuid) gets the defaults. A bad value gets
 * one line on standard error and the default. */
#ifndef HAK_COMMON_OPTIONS_H
#define HAK_COMMON_OPTIONS_H

#include "arch/detect.h"
#include "common/base.h"

enum { OPTIONS_PATH_BYTES = 1024 };

enum { ACE_LEARNER_DISCOUNTED, ACE_LEARNER_UCB1 };

/* Fills whole pages, alone in them, so that they can be made read-only. */
struct options {
	alignas(HAK_ARCH_MAX_PAGE_BYTES)
	int32_t on_error_report; /* 1: report a bad pointer and go on; 0: abort */
	int32_t stats_at_exit;
	int32_t verbose;
	int32_t check_full;      /* see check.h; thread caches have no capacity */
	int32_t warn_mismatch;   /* say that a block of new is freed by free, and the like */
	int32_t mte;             /* enum memtag_mode; thread caches have no capacity */
	int32_t sample_guard;    /* one allocation in so many is guarded; 0: none. See guard.h */
	int32_t debug_trace;     /* see debug_trace.h; thread caches have no capacity */
	int32_t rare_paths;      /* refill at every malloc, flush at every free, all frees remote */
	int32_t stats_page;      /* show figures to other processes: statpage.h */
	int32_t stats_page_keep; /* the process of this pid leaves its page behind at its exit */
	int32_t profile_rate;    /* bytes between samples of the heap profile; 0: none */
	int32_t background;      /* the maintenance thread may be started */
	uint64_t limit_bytes;      /* 0: none */
	uint64_t hard_limit_bytes;
	int32_t counter_threads; /* that may have perf events open */
	int32_t ace_enabled;
	int32_t ace_fast_interval_ms;
	int32_t ace_slow_interval_s;
	int32_t ace_log_level;
	int32_t ace_max_p99_lat_ns;
	int32_t ace_max_rss_mb;
	int32_t ace_max_cpu_percent;
	int32_t ace_thread;          /* 1: the maintenance thread runs it; 0: slow paths */
	int32_t ace_learner;         /* ACE_LEARNER_... */
	bool ace_max_rss_given;      /* not the default */
	uint32_t given_knobs;        /* bit k: the user has set knob k */
	char leaks[OPTIONS_PATH_BYTES];     /* see leaks.h; empty: none */
	char ace_trace[OPTIONS_PATH_BYTES]; /* so too */
	char ace_playbook[OPTIONS_PATH_BYTES];
};

/* Read-only from options_load() on, but in builds for tests. */
extern struct options options;

/* An option is a number in a range, or one of some words, which then stand for
 * 0, 1, 2, ..., or a path. It lands in an int, in a knob where `knob` is given, or in
 * `path`. Or it is an amount of memory, which lands in *bytes. */
struct options_entry {
	const char *name;
	int32_t *value;
	uint64_t *bytes;
	int32_t min, max;
	const char *words[4];
	int knob; /* 1 + enum hak_knob; 0: none */
	char *path; /* OPTIONS_PATH_BYTES */
	bool *given; /* may be NULL: set if the value was taken */
};

/* A variable's value, or NULL. */
const char *options_variable(const char *name);

/* Is HAKMEM_LEAKS on? */
bool options_want_leaks(void);

/* Read the environment if it is there and has not been read yet. */
void options_load(void);

#if HAKMEM_TESTING
/* All options, in the order in which they are read. */
const struct options_entry *options_table(unsigned *count);

/* Read it anew; what it does not set stays. */
void options_reload(void);
#endif

#endif
