/* Random operations by many threads against the shadow model.
 *
 * Each lane is a table of live blocks worked on by one thread at a time; threads
 * end and are replaced, and the lane's blocks pass to the successor. Blocks also
 * pass between lanes through shared slots, so many frees are remote. Time runs in
 * phases (grow, churn, shrink to a tenth, idle). At world stops every thread parks
 * and the allocator's structures are walked. A further thread moves the knobs.
 * The first thing that is wrong ends the process with a report.
 */
#ifndef HAK_TESTS_STRESS_ENGINE_H
#define HAK_TESTS_STRESS_ENGINE_H

#include "shadow.h"
#include "support.h"

/* What a hook sees: the blocks of the calling thread. */
struct engine_lane_view {
	const struct shadow_block *blocks;
	size_t count;
	struct rng *rng;
};

struct engine_config {
	unsigned threads;
	double seconds;
	uint64_t ops;                 /* 0: no limit; total of all threads */
	uint64_t seed;
	size_t max_bytes;             /* live at once, usable sizes */
	unsigned lane_blocks;         /* most live blocks of a lane */
	bool may_fail;                /* allocation may return NULL with ENOMEM */
	bool chaos;                   /* move knobs, purge, read statistics */
	bool big;                     /* more large and huge blocks, more purges */
	bool progress;
	unsigned turnover_ops;        /* mean length of a thread's life; 0: no turnover */
	unsigned stop_every_ms;       /* world stops */
	unsigned phase_ms;            /* length of a phase */
	unsigned hook_every;          /* operations between calls of `hook` */
	void (*hook)(const struct engine_lane_view *view);
	void (*thread_start)(void);   /* in each worker; may be NULL */
	bool (*enough)(void);         /* asked every few ms; true ends the run early */
};

struct engine_totals {
	uint64_t ops;
	uint64_t refused;             /* allocations that returned NULL */
	uint64_t handed_over;
	uint64_t threads;
	uint64_t world_stops;
	uint64_t knob_moves;
};

/* Run, then verify and free every block, purge and walk the structures. */
struct engine_totals engine_run(const struct engine_config *config);

/* A size as the stress draws it: mostly small, log-uniform up to 64 MiB. */
size_t engine_draw_size(struct rng *rng, bool big);

/* For the watchdog: what each thread is at. */
void engine_describe(char *buf, size_t size);

/* Fail unless a block of many sizes can be had, used and freed. */
void engine_probe(struct rng *rng);

#endif
