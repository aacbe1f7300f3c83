/* ace/ace_controller.c and its parts on simulated programs: what is learnt, what is
 * corrected, what is left alone, and when it stops. */
#include "sim.h"

static struct sim w;

static void run(unsigned steps)
{
	while (steps-- > 0)
		sim_step(&w);
}

static int32_t in_force(enum hak_knob k)
{
	const struct ace_explorer *e = &w.ace.explorer;
	return knob_info(k)->candidates[e->learners[k].arm];
}

static void everything_at_default(const char *when)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		for (unsigned c = 0;
		     c < (knob_info((enum hak_knob)k)->per_class ? ACE_CLASSES : 1u); c++)
			CHECK(w.value[k][c] == sim_default((enum hak_knob)k), "%s: %s[%u] is at %d",
			      when, ace_knob_name(k), c, w.value[k][c]);
}

static void speed(enum hak_knob k, int32_t value, int64_t ppm)
{
	w.speed_ppm[k][ace_candidate_index(k, value)] = ppm;
}

/* What the machine was measured to do: the default is best; the far ends are bad. */
static void measured_world(void)
{
	speed(HAK_KNOB_TCACHE_CAPACITY, 4, 400000);
	speed(HAK_KNOB_TCACHE_CAPACITY, 8, 520000);
	speed(HAK_KNOB_TCACHE_CAPACITY, 16, 650000);
	speed(HAK_KNOB_TCACHE_CAPACITY, 32, 850000);
	speed(HAK_KNOB_BUNDLE_WIDTH, 16, 930000);
	speed(HAK_KNOB_DIET_FACTOR, 90, 970000);
	speed(HAK_KNOB_DIET_FACTOR, 75, 900000);
	speed(HAK_KNOB_HUGE_PAGES, HUGE_PAGES_OFF, 700000);
	speed(HAK_KNOB_HUGE_PAGES, HUGE_PAGES_ALWAYS, 650000);
	speed(HAK_KNOB_PURGE_DELAY_MS, 250, 980000);
	speed(HAK_KNOB_PURGE_DELAY_MS, 10, 800000);
	speed(HAK_KNOB_PURGE_DELAY_MS, 0, 420000);
}

/* ---- learning */

static void default_stays_where_it_is_best(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		int64_t sum = 0;
		const unsigned steps = 2000;
		sim_init(&w, seed, 50000);
		measured_world();
		for (unsigned n = 1; n <= steps; n++) {
			sum += sim_step(&w);
			CHECK(w.value[HAK_KNOB_TCACHE_CAPACITY][1] > 8,
			      "seed %u, step %u: capacity %d", (unsigned)seed, n,
			      w.value[HAK_KNOB_TCACHE_CAPACITY][1]);
			/* Not 2 % below the default, at any time. */
			if (!CHECK(sum >= (int64_t)n * (PPM - PPM / 50),
				   "seed %u, step %u: %lld ppm", (unsigned)seed, n,
				   (long long)(sum / n)))
				return;
		}
	}
}

static void better_setting_is_found(void)
{
	unsigned found = 0;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		sim_init(&w, seed, 50000);
		measured_world();
		speed(HAK_KNOB_HUGE_PAGES, HUGE_PAGES_ALWAYS, 1350000);
		run(600);
		found += in_force(HAK_KNOB_HUGE_PAGES) == HUGE_PAGES_ALWAYS;
	}
	CHECK(found >= 19, "found by %u of 20", found);
}

/* Two steps away, each better than the last. */
static void climbs(void)
{
	sim_init(&w, 1, 20000);
	speed(HAK_KNOB_TCACHE_CAPACITY, 32, 1100000);
	speed(HAK_KNOB_TCACHE_CAPACITY, 16, 1250000);
	speed(HAK_KNOB_TCACHE_CAPACITY, 8, 900000);
	run(2000);
	CHECK_I64(in_force(HAK_KNOB_TCACHE_CAPACITY), 16, "capacity in force");
}

/* Memory counts too: same speed, half the fragmentation. */
static void fragmentation_follows_delay(struct sim *s, const struct ace_decision *d)
{
	if (d->what == HAK_KNOB_PURGE_DELAY_MS)
		s->sample.frag_ppm = d->new_value <= 250 ? 100000 : 400000;
}

static void memory_is_a_reward(void)
{
	sim_init(&w, 1, 20000);
	w.decided = fragmentation_follows_delay;
	w.sample.frag_ppm = 400000;
	run(1500);
	CHECK(in_force(HAK_KNOB_PURGE_DELAY_MS) <= 250, "purge delay %d",
	      in_force(HAK_KNOB_PURGE_DELAY_MS));
}

/* The bound on forgetting: ace_change.h has it at 5 steps for half the rate (7 as the usual
 * rate follows meanwhile), then the trials of the default's neighbourhood begin anew. */
static bool changed;
static void note_change(struct sim *s, const struct ace_decision *d)
{
	(void)s;
	changed |= d->reason == ACE_BECAUSE_CHANGED;
}

static void change_forgets(void)
{
	unsigned steps = 0;
	sim_init(&w, 1, 20000);
	speed(HAK_KNOB_HUGE_PAGES, HUGE_PAGES_ALWAYS, 1350000);
	run(600);
	REQUIRE(in_force(HAK_KNOB_HUGE_PAGES) == HUGE_PAGES_ALWAYS, "not learnt");
	w.sample.ops_per_s /= 3;
	speed(HAK_KNOB_HUGE_PAGES, HUGE_PAGES_ALWAYS, 700000);
	changed = false;
	w.decided = note_change;
	while (!changed && steps++ < 8)
		run(1);
	CHECK(changed, "not noticed");
	everything_at_default("after the change");
	CHECK_I64(in_force(HAK_KNOB_HUGE_PAGES), HUGE_PAGES_FILLING, "in force after the change");
	run(600);
	CHECK_I64(in_force(HAK_KNOB_HUGE_PAGES), HUGE_PAGES_FILLING, "learnt anew");
}

/* Work comes and goes, ten steps each, at very different rates while it is there: no
 * trial is judged by an idle step, and the reward of idle steps is not known. */
static void idle_is_not_judged(void)
{
	sim_init(&w, 1, 20000);
	measured_world();
	for (unsigned n = 0; n < 400; n++) {
		w.sample.ops_per_s = n / 10 % 2 == 0 ? SIM_OPS_PER_S : n % 3 == 0 ? 0 : 5000;
		run(1);
		if (w.sample.ops_per_s < SIM_OPS_PER_S)
			CHECK(w.ace.explorer.reward_ppm == -1 &&
				      w.ace.explorer.trial.phase == ACE_NO_TRIAL,
			      "step %u was judged", n);
	}
	everything_at_default("after bursts");
}

static void never_anything_when_idle(void)
{
	sim_init(&w, 1, 20000);
	w.sample.ops_per_s = 0;
	run(1000);
	CHECK_U64(w.decisions, 0, "decisions about an idle program with nothing to give back");
	w.sample.waste_bytes = 64 << 20;
	run(10);
	CHECK(w.scavenges > 0, "free memory of an idle program is left alone");
	everything_at_default("idle");
}

/* ---- memory */

static int32_t delay(void)
{
	return w.value[HAK_KNOB_PURGE_DELAY_MS][0];
}

static void thrifty(const char *when, int32_t delay_ms)
{
	CHECK_I64(w.value[HAK_KNOB_TCACHE_CAPACITY][1], 8, when);
	CHECK_I64(delay(), delay_ms, when);
}

/* Allocation is a small part of the work: caches shrink, then free memory goes back, for a step. */
static void thrift_follows_the_load(void)
{
	sim_init(&w, 1, 20000);
	w.sample.cpu_ppm = PPM;
	w.sample.ops_per_s = 60000;
	w.sample.cached_bytes = 40 << 20;
	w.sample.waste_bytes = 60 << 20;
	run(1);
	everything_at_default("after one light step");
	run(1);
	thrifty("after two", 500);
	CHECK_I64(w.ace.explorer.reward_ppm, -1, "reward in thrift");
	run(1);
	thrifty("after three", 10);
	run(1);
	thrifty("after four", 500);
	w.sample.ops_per_s = 120000; /* between the marks */
	run(50);
	thrifty("between the marks", 500);
	w.sample.ops_per_s = 140000;
	run(1);
	everything_at_default("at a load");
	w.sample.ops_per_s = 900;
	run(20);
	everything_at_default("idle");
	w.sample.ops_per_s = 140000;
	run(100);
	everything_at_default("as long as it lasts");
}

static void thrift_is_not_for_the_busy(void)
{
	sim_init(&w, 1, 0);
	w.sample.cpu_ppm = PPM;
	w.sample.ops_per_s = 80000;
	w.sample.waste_bytes = w.sample.cached_bytes = 40 << 20;
	run(20);
	CHECK(!w.ace.thrift.on, "80000 operations per second are 1.2 %% of a processor");
	w.sample.ops_per_s = 2000;
	w.sample.waste_bytes = 1 << 20;
	run(20);
	CHECK(!w.ace.thrift.on, "nothing to gain");
}

/* Free memory goes back in one step, and half of it comes again in the next. */
static void light_world(unsigned steps, unsigned *times, int64_t *cpu, int64_t *pages)
{
	for (*times = 0; steps > 0; steps--) {
		const bool goes = delay() == 10, comes = !goes && w.sample.returned_bytes_per_s > 0;
		w.sample.returned_bytes_per_s = goes ? 400 << 20 : 0;
		w.sample.faults_per_s = comes ? 50 << 10 : 0;
		run(1);
		*cpu += (int64_t)w.sample.cpu_ppm;
		*pages += (goes ? 600 * 100 << 10 : comes ? 1600 * 50 << 10 : 0) / 1000;
		*times += goes;
	}
}

/* It is repaid before it happens again: pages cost 1 % of the time that the program uses. */
static void thrift_pays_for_pages(void)
{
	unsigned times;
	int64_t cpu = 0, pages = 0;
	sim_init(&w, 1, 0);
	w.sample.ops_per_s = 30000;
	w.sample.cpu_ppm = 33000;
	w.sample.cached_bytes = 40 << 20;
	w.sample.waste_bytes = 60 << 20;
	light_world(300, &times, &cpu, &pages);
	CHECK_U64(times, 1, "times in the beginning");
	light_world(5000, &times, &cpu, &pages);
	CHECK(times >= 10, "%u times", times);
	CHECK(pages * 100 <= cpu * 11 / 10, "pages took %lld of %lld", (long long)pages,
	      (long long)cpu);
	w.sample.waste_bytes = 43 << 20;
	light_world(5000, &times, &cpu, &pages);
	CHECK(times <= 1, "%u times with nothing to gain", times);
}

/* Nor does another workload bring it about. */
static void thrift_owes_after_a_change(void)
{
	bool seen = false;
	unsigned times;
	int64_t cpu = 0, pages = 0;
	sim_init(&w, 1, 0);
	w.sample.cached_bytes = 40 << 20;
	w.sample.waste_bytes = 60 << 20;
	w.sample.ops_per_s = 30000;
	light_world(6, &times, &cpu, &pages);
	REQUIRE(times == 1, "not begun");
	w.sample.ops_per_s = SIM_OPS_PER_S;
	run(6);
	w.sample.ops_per_s /= 3;
	for (unsigned n = 0; n < 10 && !seen; n++) {
		run(1);
		seen = w.ace.changed;
	}
	CHECK(seen, "the change was not noticed");
	w.sample.ops_per_s = 30000;
	light_world(100, &times, &cpu, &pages);
	CHECK_I64(w.value[HAK_KNOB_TCACHE_CAPACITY][1], 8, "capacity");
	CHECK_U64(times, 0, "times after a change");
	/* A load in the very step, which is too short to judge it. */
	sim_init(&w, 1, 0);
	w.sample.cached_bytes = 40 << 20;
	w.sample.waste_bytes = 60 << 20;
	w.sample.ops_per_s = 30000;
	run(3);
	REQUIRE(delay() == 10, "not begun");
	CHECK_U64(ace_next_ms(&w.ace, 500), 250, "until the next step");
	w.sample.ops_per_s = SIM_OPS_PER_S;
	run(1);
	CHECK_I64(delay(), 500, "delay after the step");
	CHECK(w.ace.thrift.on, "the short step was judged");
	CHECK_U64(ace_next_ms(&w.ace, 500), 500, "until the next step");
	run(1);
	everything_at_default("at a load");
}

/* ---- rests */

static int32_t idle_delay(void)
{
	return w.value[HAK_KNOB_IDLE_DELAY_MS][0];
}

/* Work for so many steps, then none; what is freed goes back late, or early if the knob says so and
 * the rest is not over before. */
static void burst(unsigned busy, unsigned idle)
{
	w.sample.ops_per_s = SIM_OPS_PER_S;
	w.sample.returned_bytes_per_s = w.sample.early_bytes_per_s = 0;
	run(busy - 1);
	if (idle_delay() == 10)
		w.sample.early_bytes_per_s = w.sample.returned_bytes_per_s = 100 << 20;
	run(1);
	w.sample.ops_per_s = 0;
	w.sample.returned_bytes_per_s = idle_delay() == 10 ? 0 : 50 << 20;
	w.sample.early_bytes_per_s = 0;
	run(idle);
}

static void long_rests_give_back_early(void)
{
	sim_init(&w, 1, 0);
	burst(2, 1);
	burst(2, 1);
	CHECK_I64(idle_delay(), 10000, "rests of half a second");
	burst(2, 2);
	CHECK_I64(idle_delay(), 10, "a rest of a second");
	for (unsigned n = 0; n < 200; n++)
		burst(2, 3);
	CHECK_U64(w.moves[HAK_KNOB_IDLE_DELAY_MS], 1, "moves");
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 500,
		  "purge delay: nothing went back in vain");
	w.sample.ops_per_s = 1;
	w.sample.returned_bytes_per_s = 0;
	sim_init(&w, 1, 0);
	w.sample.ops_per_s = 0;
	run(100);
	CHECK_I64(idle_delay(), 10000, "a rest in which nothing goes back");
	/* Few calls, but a processor is busy, and not with giving back. */
	sim_init(&w, 1, 0);
	w.sample.ops_per_s = 10;
	w.sample.cpu_ppm = PPM;
	w.sample.returned_bytes_per_s = 50 << 20;
	w.sample.waste_bytes = 50 << 20;
	run(20);
	CHECK_I64(idle_delay(), 10000, "work with few calls");
	CHECK_U64(w.scavenges, 0, "passes in work with few calls");
	w.sample.cpu_ppm = 55000;
	run(3);
	CHECK_I64(idle_delay(), 10, "a rest in which giving back takes time");
}

/* The program works again too soon: back, and seldom tried again. */
static void short_rests_end_it(void)
{
	sim_init(&w, 1, 0);
	burst(2, 2);
	REQUIRE(idle_delay() == 10, "not begun");
	w.sample.ops_per_s = SIM_OPS_PER_S;
	w.sample.returned_bytes_per_s = w.sample.early_bytes_per_s = 50 << 20;
	run(1);
	CHECK_I64(idle_delay(), 10, "not known yet");
	run(1);
	CHECK_I64(idle_delay(), 10000, "after a short rest");
	for (unsigned n = 0; n < 500; n++) {
		burst(2, 2);
		w.sample.ops_per_s = SIM_OPS_PER_S;
		w.sample.early_bytes_per_s = idle_delay() == 10 ? 50 << 20 : 0;
		run(2);
	}
	CHECK(w.moves[HAK_KNOB_IDLE_DELAY_MS] <= 2 * 8, "%llu moves",
	      (unsigned long long)w.moves[HAK_KNOB_IDLE_DELAY_MS]);
}

/* Memory goes back under the default delay: a short one costs nothing, and is kept. */
static void delay_is_short_where_it_is_in_vain(void)
{
	sim_init(&w, 1, 20000);
	w.sample.returned_bytes_per_s = 50 << 20;
	w.sample.faults_per_s = 12800;
	run(5);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 500, "delay within the first window");
	run(1);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 10, "delay on trial");
	run(6);
	CHECK_I64(w.ace.early.phase, ACE_EARLY_KEPT, "phase");
	w.sample.ops_per_s /= 3; /* another workload */
	run(20);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 10, "delay after a change");
	w.sample.cpu_ppm = 600000;
	run(12);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 500, "delay of a busy program");
	run(1000);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 500, "delay of a busy program, later");
}

/* With the short delay memory comes again that did not before: three times the pages. */
static void delay_stays_where_it_is_of_use(void)
{
	unsigned trials = 0, short_steps = 0;
	sim_init(&w, 1, 0);
	for (unsigned n = 0; n < 1000; n++) {
		int32_t before = w.value[HAK_KNOB_PURGE_DELAY_MS][0];
		w.sample.returned_bytes_per_s = 50 << 20;
		w.sample.faults_per_s = before == 10 ? 38400 : 12800;
		run(1);
		trials += before == 500 && w.value[HAK_KNOB_PURGE_DELAY_MS][0] == 10;
		short_steps += before == 10;
	}
	CHECK(trials >= 1 && trials <= 7, "%u trials", trials);
	CHECK(short_steps <= 7 * 6, "%u steps with a short delay", short_steps);
	sim_init(&w, 1, 0);
	w.sample.returned_bytes_per_s = 1 << 20;
	run(1000);
	CHECK_U64(w.moves[HAK_KNOB_PURGE_DELAY_MS] % 2, 0,
		  "where little goes back there is no trial of it");
	CHECK_I64(w.ace.early.phase, ACE_EARLY_WATCHING, "phase");
}

/* A world in which blocks of so many MiB come and go. */
static void declined(int32_t mib)
{
	bool kept = w.value[HAK_KNOB_HUGE_CACHE_MB][0] >= mib;
	w.sample.declined_bytes_per_s = kept ? 0 : (uint64_t)1 << 30;
	run(1);
}

static void large_blocks_are_kept(void)
{
	sim_init(&w, 1, 20000);
	w.sample.ops_per_s = 20;
	w.sample.waste_bytes = 100 << 20;
	for (unsigned n = 0; n < 100; n++)
		declined(100);
	CHECK_I64(w.value[HAK_KNOB_HUGE_CACHE_MB][0], 128, "kept per block");
	CHECK_U64(w.moves[HAK_KNOB_HUGE_CACHE_MB], 2, "moves");
	CHECK_I64(idle_delay(), 10, "how long they are kept in a rest");
	CHECK(!w.ace.thrift.on, "thrift beside blocks that come and go");
	w.sample.cpu_ppm = 300000;
	w.sample.returned_bytes_per_s = (uint64_t)1 << 30;
	run(20);
	CHECK_U64(w.moves[HAK_KNOB_PURGE_DELAY_MS], 0, "moves of the delay beside such blocks");
	w.sample.cgroup_limit_bytes = 100 << 20;
	run(2);
	CHECK_I64(w.value[HAK_KNOB_HUGE_CACHE_MB][0], 32, "kept under pressure");
}

/* Larger than any candidate: given up, and tried ever more seldom. */
static void too_large_blocks_are_not(void)
{
	sim_init(&w, 1, 20000);
	w.sample.ops_per_s = 20;
	for (unsigned n = 0; n < 3000; n++)
		declined(1000);
	CHECK(w.moves[HAK_KNOB_HUGE_CACHE_MB] <= 6 * 4, "%llu moves",
	      (unsigned long long)w.moves[HAK_KNOB_HUGE_CACHE_MB]);
}

/* ---- corrections */

static void diet_kept_only_if_it_helps(void)
{
	sim_init(&w, 1, 20000);
	w.sample.llc_miss_ppm = 400000;
	speed(HAK_KNOB_DIET_FACTOR, 90, 1150000);
	speed(HAK_KNOB_DIET_FACTOR, 75, 800000);
	run(200);
	CHECK_I64(in_force(HAK_KNOB_DIET_FACTOR), 90, "diet that helps");

	sim_init(&w, 1, 20000);
	measured_world();
	w.sample.llc_miss_ppm = 400000;
	run(3000);
	CHECK_I64(in_force(HAK_KNOB_DIET_FACTOR), 100, "diet that does not help");
	/* The signal stays up all the time; hold-offs of 16, 32 ... 1024 leave at most 8
	 * corrections, of two moves each; the explorer adds its own trials, far apart. */
	CHECK(w.moves[HAK_KNOB_DIET_FACTOR] <= 60, "%llu moves of the diet",
	      (unsigned long long)w.moves[HAK_KNOB_DIET_FACTOR]);
}

static void diet_ends_when_misses_do(void)
{
	sim_init(&w, 1, 10000);
	w.sample.llc_miss_ppm = 400000;
	speed(HAK_KNOB_DIET_FACTOR, 90, 1150000);
	run(200);
	REQUIRE(in_force(HAK_KNOB_DIET_FACTOR) == 90, "no diet to begin with");
	w.sample.llc_miss_ppm = 20000;
	speed(HAK_KNOB_DIET_FACTOR, 90, 1000000);
	run(400);
	CHECK_I64(in_force(HAK_KNOB_DIET_FACTOR), 100, "diet after the misses");
}

static void bundle_grows_on_lock_wait(void)
{
	sim_init(&w, 1, 20000);
	w.sample.lock_wait_ns_per_s = 100000000;
	speed(HAK_KNOB_BUNDLE_WIDTH, 64, 1150000);
	speed(HAK_KNOB_BUNDLE_WIDTH, 128, 900000);
	run(200);
	CHECK_I64(in_force(HAK_KNOB_BUNDLE_WIDTH), 64, "bundle width");
}

static int32_t threshold(unsigned cls)
{
	return w.value[HAK_KNOB_DRAIN_THRESHOLD][cls];
}

static void backlog(unsigned cls, uint32_t blocks)
{
	w.sample.class_backlog[cls] = blocks;
	w.sample.backlog = blocks;
}

static void drain_threshold_falls_and_rises(void)
{
	sim_init(&w, 1, 20000);
	backlog(3, 255);
	run(10);
	CHECK_I64(threshold(3), 64, "below four times the threshold");
	backlog(3, 1000);
	run(1);
	CHECK_I64(threshold(3), 64, "after one step: may be chance");
	run(1);
	CHECK_I64(threshold(3), 32, "after two steps");
	CHECK_I64(threshold(4), 64, "another class");
	backlog(3, 10);
	run(3 * 60);
	CHECK_I64(threshold(3), 64, "restored by the slow loop");
}

/* A backlog that nothing helps: back, and no further moves while it is there. */
static void drain_gives_up(void)
{
	sim_init(&w, 1, 20000);
	backlog(3, 5000);
	run(40);
	CHECK_I64(threshold(3), 64, "threshold");
	CHECK_U64(w.class_moves, 2, "moves");
	run(1000);
	CHECK_U64(w.class_moves, 2, "moves, long after");
}

/* Backlogs that jump around the marks, for an hour of 7200 steps, 120 slow ones: each
 * fall after a rise doubles the calm that the next rise needs (2, 4 ... 64 slow steps),
 * and each time that falling was futile the pause (64, 128 ... steps): at most six and seven
 * times in an hour, with two moves each. */
static void drain_does_not_oscillate(void)
{
	sim_init(&w, 7, 20000);
	for (unsigned n = 0; n < 7200; n++) {
		backlog(3, (uint32_t)(200 + sim_noise(&w, 200)));
		run(1);
	}
	CHECK(w.class_moves <= 26, "%llu moves", (unsigned long long)w.class_moves);
}

/* An hour of heavy noise in every signal and no true difference. The pause between trials
 * doubles with each round of 84 trials that found nothing, so that no more than 400 fit
 * into 7200 steps, with two moves each; of what is chance not much is kept. */
static unsigned kept;
static void count_kept(struct sim *s, const struct ace_decision *d)
{
	(void)s;
	kept += d->reason == ACE_BECAUSE_KEPT;
}

static void noise_moves_little(void)
{
	uint64_t moves = 0;
	kept = 0;
	sim_init(&w, 3, 150000);
	w.decided = count_kept;
	for (unsigned n = 0; n < 7200; n++) {
		w.sample.llc_miss_ppm = (int32_t)(150000 + sim_noise(&w, 150000));
		w.sample.lock_wait_ns_per_s = (uint64_t)(15000000 + sim_noise(&w, 15000000));
		w.sample.frag_ppm = (uint32_t)(250000 + sim_noise(&w, 100000));
		run(1);
	}
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		moves += w.moves[k];
	test_say("%u moves, %u kept", (unsigned)moves, kept);
	CHECK(kept <= 8, "%u settings kept", kept);
	CHECK(moves <= 800, "%llu moves in 7200 steps", (unsigned long long)moves);
}

static void fragmentation_scavenges(void)
{
	sim_init(&w, 1, 20000);
	w.sample.frag_ppm = 500000;
	w.sample.waste_bytes = 100 << 20;
	run(60 + 2);
	CHECK(w.scavenges == 0, "one slow step: may be chance");
	run(60);
	CHECK(w.scavenges >= 1, "fragmentation is left alone");
}

static void rss_growth_scavenges(void)
{
	sim_init(&w, 1, 20000);
	w.sample.waste_bytes = 100 << 20;
	run(62);
	CHECK_U64(w.scavenges, 0, "steady memory");
	w.sample.rss_bytes += 50 << 20;
	run(60);
	CHECK_U64(w.scavenges, 1, "grown memory");
}

static void pressure_shortens_delay(void)
{
	sim_init(&w, 1, 20000);
	w.sample.cgroup_limit_bytes = 1 << 30;
	w.sample.rss_bytes = 800 << 20;
	w.sample.waste_bytes = 100 << 20;
	run(5);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 10, "delay under pressure");
	CHECK_U64(w.scavenges, 5, "a pass each step");
	w.sample.rss_bytes = 700 << 20; /* between the marks */
	run(5);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 10, "delay between the marks");
	w.sample.rss_bytes = 600 << 20;
	run(1);
	CHECK_I64(w.value[HAK_KNOB_PURGE_DELAY_MS][0], 500, "delay afterwards");
}

/* ---- guards */

static void guard_fires(enum ace_guard_verdict verdict, uint64_t figure, uint64_t limit)
{
	uint64_t decisions;
	CHECK_U64(w.ace.stop.verdict, verdict, "guard");
	CHECK_U64(w.ace.stop.figure, figure, "figure");
	CHECK_U64(w.ace.stop.limit, limit, "limit");
	everything_at_default("after a guard");
	decisions = w.decisions;
	backlog(3, 100000);
	run(100);
	CHECK_U64(w.decisions, decisions, "decisions after the stop");
}

/* Something for the guard to put back. */
static void knobs_away_from_default(void)
{
	sim_init(&w, 1, 20000);
	backlog(3, 1000);
	w.sample.cgroup_limit_bytes = (uint64_t)20000 << 20;
	w.sample.rss_bytes = (uint64_t)16000 << 20;
	run(2);
	REQUIRE(threshold(3) == 32 && w.value[HAK_KNOB_PURGE_DELAY_MS][0] == 10, "not away");
}

static void latency_guard(void)
{
	knobs_away_from_default();
	w.sample.p99_ns = 10000001;
	run(1);
	CHECK(!w.ace.stopped, "one slow interval may be chance");
	w.sample.p99_ns = 10000000;
	run(1);
	w.sample.p99_ns = 10000001;
	run(2);
	guard_fires(ACE_GUARD_LATENCY, 10000001, 10000000);
}

static void rss_guard(void)
{
	knobs_away_from_default();
	w.sample.rss_bytes = (uint64_t)16385 << 20;
	run(1);
	guard_fires(ACE_GUARD_RSS, 16385, 16384);
	/* 90 % of the cgroup's limit, if that is less and the user set nothing. */
	sim_init(&w, 1, 20000);
	w.sample.cgroup_limit_bytes = 1000 << 20;
	w.sample.rss_bytes = 900 << 20;
	run(1);
	CHECK(!w.ace.stopped, "at the limit");
	w.sample.rss_bytes = 901 << 20;
	run(1);
	guard_fires(ACE_GUARD_RSS, 901, 900);
}

static void cpu_guard(void)
{
	knobs_away_from_default();
	w.sample.ace_cpu_ppm = 50000;
	run(2);
	CHECK(!w.ace.stopped, "at the limit");
	w.sample.ace_cpu_ppm = 50001;
	run(2);
	guard_fires(ACE_GUARD_CPU, 6, 5); /* percent, rounded up */
}

static void pinned_knobs_stay(void)
{
	struct ace_config config;
	bool pinned[HAK_KNOB_COUNT];
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		pinned[k] = true;
	sim_limits(&config);
	sim_init_with(&w, 1, 20000, &config, pinned);
	w.sample.llc_miss_ppm = 500000;
	w.sample.lock_wait_ns_per_s = 500000000;
	w.sample.frag_ppm = 500000;
	backlog(3, 100000);
	run(500);
	CHECK_U64(w.decisions, 0, "decisions about pinned knobs");
}

static const struct test_case cases[] = {
	{ "default_stays_where_it_is_best", default_stays_where_it_is_best },
	{ "better_setting_is_found", better_setting_is_found },
	{ "climbs", climbs },
	{ "memory_is_a_reward", memory_is_a_reward },
	{ "change_forgets", change_forgets },
	{ "idle_is_not_judged", idle_is_not_judged },
	{ "never_anything_when_idle", never_anything_when_idle },
	{ "thrift_follows_the_load", thrift_follows_the_load },
	{ "thrift_is_not_for_the_busy", thrift_is_not_for_the_busy },
	{ "thrift_pays_for_pages", thrift_pays_for_pages },
	{ "thrift_owes_after_a_change", thrift_owes_after_a_change },
	{ "long_rests_give_back_early", long_rests_give_back_early },
	{ "short_rests_end_it", short_rests_end_it },
	{ "delay_is_short_where_it_is_in_vain", delay_is_short_where_it_is_in_vain },
	{ "delay_stays_where_it_is_of_use", delay_stays_where_it_is_of_use },
	{ "large_blocks_are_kept", large_blocks_are_kept },
	{ "too_large_blocks_are_not", too_large_blocks_are_not },
	{ "diet_kept_only_if_it_helps", diet_kept_only_if_it_helps },
	{ "diet_ends_when_misses_do", diet_ends_when_misses_do },
	{ "bundle_grows_on_lock_wait", bundle_grows_on_lock_wait },
	{ "drain_threshold_falls_and_rises", drain_threshold_falls_and_rises },
	{ "drain_gives_up", drain_gives_up },
	{ "drain_does_not_oscillate", drain_does_not_oscillate },
	{ "noise_moves_little", noise_moves_little },
	{ "fragmentation_scavenges", fragmentation_scavenges },
	{ "rss_growth_scavenges", rss_growth_scavenges },
	{ "pressure_shortens_delay", pressure_shortens_delay },
	{ "latency_guard", latency_guard },
	{ "rss_guard", rss_guard },
	{ "cpu_guard", cpu_guard },
	{ "pinned_knobs_stay", pinned_knobs_stay },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
