/* Fork storm: threads fork in the midst of the stress.
 *
 * Each child finds the blocks of the thread that forked intact, frees and
 * allocates among them, starts and joins a thread (unless --child-alone), and exits.
 * A child that does not end in time (a lock that nobody holds any more) is the
 * failure looked for.
 */
#include "engine.h"
#include "names.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_LIMIT_S = 20, CHILD_BLOCKS = 300 };

static _Atomic unsigned forks;
static bool child_alone;

static void churn(struct rng *rng)
{
	static struct shadow_block blocks[CHILD_BLOCKS];
	size_t n = 0;

	for (int i = 0; i < CHILD_BLOCKS; i++) {
		size_t size = engine_draw_size(rng, false) % 100000;
		void *p = st_malloc(size);
		if (!p)
			fail("child: malloc of %zu bytes returned NULL", size);
		shadow_born(&blocks[n++], p, size, 16, "malloc in a child", (uint64_t)i, rng);
	}
	while (n) {
		shadow_leave(&blocks[--n], "free in a child");
		st_free(blocks[n].at);
	}
}

static void *child_thread(void *rng)
{
	thread_name_set("child's thread", 0);
	churn(rng);
	return NULL;
}

static _Noreturn void child(const struct engine_lane_view *view)
{
	struct rng rng = { rng_next(view->rng) };
	pthread_t thread;

	alarm(CHILD_LIMIT_S);
	for (size_t i = 0; i < view->count; i++) {
		const struct shadow_block *b = &view->blocks[i];
		if (i % 2) {
			shadow_verify(b, b->at, b->filled, "look in a child");
			continue;
		}
		shadow_leave(b, "free in a child");
		st_free(b->at);
	}
	churn(&rng);
	st_purge();
	if (!child_alone) {
		int err = pthread_create(&thread, NULL, child_thread, &rng);
		if (err)
			fail("child: cannot create a thread: %s", strerror(err));
		pthread_join(thread, NULL);
	}
	_exit(0);
}

static void fork_once(const struct engine_lane_view *view)
{
	int status;
	pid_t pid = fork();

	if (pid < 0 && errno == EAGAIN)
		return;
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid == 0)
		child(view);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		fail("fork %u: the child hung for %d s", forks, CHILD_LIMIT_S);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail("fork %u: the child ended with wait status %#x", forks, (unsigned)status);
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "storm_fork", .seconds = 3, .threads = 4,
				    .max_bytes = (size_t)64 << 20 };

	args_parse(&args, argc, argv);
	child_alone = args.child_alone;
	watchdog_start(engine_describe);
	struct engine_totals t = engine_run(&(struct engine_config){
		.threads = args.threads,
		.seconds = args.seconds,
		.seed = args.seed,
		.max_bytes = args.max_bytes,
		.lane_blocks = 1000,
		.chaos = true,
		.progress = args.progress,
		.turnover_ops = 20000,
		.stop_every_ms = 400,
		.phase_ms = 130,
		.hook_every = 997,
		.hook = fork_once,
	});
	if (!forks)
		fail("no thread ever forked");
	say("storm_fork: %llu operations, %u forks, nothing found", (unsigned long long)t.ops,
	    forks);
	return 0;
}
