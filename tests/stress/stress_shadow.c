/* Random operations against a shadow model that knows each block's bytes.
 *
 * The general stress: see engine.h for what it does and support.c for the
 * arguments. With --fault one kind of system call is made to fail now and then
 * and allocations may be refused; stress_faults does that in order. In the
 * environment HAKMEM_RARE_PATHS=1 makes the allocator's rare paths frequent.
 */
#include "engine.h"
#include "names.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#ifndef STRESS_LIBC
static void arm(const char *spec)
{
	static const char *const names[OS_CALL_COUNT] = {
		[OS_MMAP] = "mmap", [OS_MUNMAP] = "munmap", [OS_MADVISE] = "madvise",
		[OS_MREMAP] = "mremap", [OS_THREAD] = "thread",
	};
	char *at = strchr(spec, ':');

	for (int call = 0; at && call < OS_CALL_COUNT; call++) {
		if (strncmp(spec, names[call], (size_t)(at - spec)) != 0)
			continue;
		uint64_t nth = strtoull(at + 1, &at, 0);
		os_fault_arm((enum os_call)call, nth, *at ? strtoull(at + 1, NULL, 0) : 0);
		return;
	}
	fail("--fault wants CALL:NTH:PERIOD, not '%s'", spec);
}
#else
static void arm(const char *spec)
{
	fail("this build has no fault injection: --fault %s", spec);
}
#endif

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "stress_shadow", .seconds = 3, .threads = 4,
				    .max_bytes = (size_t)1 << 30 };

	args_parse(&args, argc, argv);
	if (args.fault)
		arm(args.fault);
	watchdog_start(engine_describe);
	struct engine_totals t = engine_run(&(struct engine_config){
		.threads = args.threads,
		.seconds = args.seconds,
		.ops = args.ops,
		.seed = args.seed,
		.max_bytes = args.max_bytes,
		.lane_blocks = 20000,
		.may_fail = args.fault != NULL,
		.chaos = true,
		.progress = args.progress,
		.turnover_ops = 50000,
		.stop_every_ms = 250,
		.phase_ms = 270,
	});
	if (!t.ops || !t.handed_over || (HAS_INTERNALS && !t.knob_moves))
		fail("the stress did not run: %llu operations, %llu hand-overs, %llu knob moves",
		     (unsigned long long)t.ops, (unsigned long long)t.handed_over,
		     (unsigned long long)t.knob_moves);
	say("stress_shadow: %llu operations, nothing found", (unsigned long long)t.ops);
	return 0;
}
