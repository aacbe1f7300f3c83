/* A simulated program for the tests of ACE: throughput and memory as a function of
 * the knobs, with noise, in integers. One step of the world is one fast interval.
 */
#ifndef HAKMEM_ACE_SIM_H
#define HAKMEM_ACE_SIM_H

#include "ace/ace_controller.h"
#include "testing.h"

enum { SIM_STEP_NS = 500000000, SIM_OPS_PER_S = 10000000 };

struct sim {
	struct ace_controller ace;
	int32_t value[HAK_KNOB_COUNT][ACE_CLASSES];
	uint64_t rng, now_ns;
	int64_t noise_ppm;      /* throughput varies by up to this much, evenly */
	uint64_t decisions, scavenges;
	uint64_t moves[HAK_KNOB_COUNT], class_moves; /* of all classes at once; of one */
	/* Throughput relative to the default's, by knob and candidate; 0 stands for PPM. */
	int64_t speed_ppm[HAK_KNOB_COUNT][HAK_KNOB_MAX_CANDIDATES];
	struct ace_sample sample; /* what else is seen, constant unless the test changes it */
	void (*decided)(struct sim *w, const struct ace_decision *d); /* may be NULL */
};

static void sim_set(void *context, enum hak_knob k, unsigned cls, int32_t value)
{
	struct sim *w = context;
	for (unsigned c = cls; c <= (cls == 0 ? HAK_CLASS_COUNT : cls); c++)
		w->value[k][c] = value;
	CHECK(cls == 0 || knob_info(k)->per_class, "class %u of %s", cls, knob_info(k)->name);
	CHECK(knob_info(k)->candidates[ace_candidate_index(k, value)] == value,
	      "%d is no candidate of %s", value, knob_info(k)->name);
}

static void sim_scavenge(void *context, uint64_t budget_ns)
{
	struct sim *w = context;
	CHECK(budget_ns <= 5000000, "a scavenge of %llu ns", (unsigned long long)budget_ns);
	w->scavenges++;
}

static void sim_decided(void *context, const struct ace_decision *d)
{
	struct sim *w = context;
	w->decisions++;
	if (d->cls > 0)
		w->class_moves++;
	else if (d->what < HAK_KNOB_COUNT)
		w->moves[d->what]++;
	if (w->decided != NULL)
		w->decided(w, d);
}

static inline int32_t sim_default(enum hak_knob k)
{
	return knob_info(k)->candidates[knob_info(k)->default_index];
}

static inline void sim_limits(struct ace_config *config)
{
	*config = (struct ace_config){
		.slow_interval_ns = 30000000000u,
		.discount_ppm = ACE_DISCOUNT_DEFAULT,
		.limits = { .max_p99_ns = 10000000, .max_rss_mb = 16384, .max_cpu_percent = 5,
			    .rss_is_default = true },
	};
}

static inline void sim_init_with(struct sim *w, uint64_t seed, int64_t noise_ppm,
				 const struct ace_config *config, const bool *pinned)
{
	struct ace_ports ports = { w, sim_set, sim_scavenge, sim_decided };
	int32_t start[HAK_KNOB_COUNT];
	*w = (struct sim){ .rng = seed, .noise_ppm = noise_ppm };
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		start[k] = sim_default((enum hak_knob)k);
		sim_set(w, (enum hak_knob)k, 0, start[k]);
	}
	w->sample = (struct ace_sample){
		.interval_ns = SIM_STEP_NS,
		.ops_per_s = SIM_OPS_PER_S,
		.llc_miss_ppm = 50000,
		.frag_ppm = 100000,
		.rss_bytes = 100 << 20,
		.p99_ns = 2000,
		.ace_cpu_ppm = 100,
		.pressure_ppm = -1,
	};
	ace_controller_init(&w->ace, config, &ports, start, pinned);
}

static inline void sim_init(struct sim *w, uint64_t seed, int64_t noise_ppm)
{
	static const bool pinned[HAK_KNOB_COUNT];
	struct ace_config config;
	sim_limits(&config);
	sim_init_with(w, seed, noise_ppm, &config, pinned);
}

/* A number from the world's generator, even in -bound .. bound. */
static inline int64_t sim_noise(struct sim *w, int64_t bound_ppm)
{
	w->rng = w->rng * 6364136223846793005u + 1442695040888963407u;
	return bound_ppm == 0
		       ? 0
		       : (int64_t)((w->rng >> 33) % (uint64_t)(2 * bound_ppm + 1)) - bound_ppm;
}

static inline int64_t sim_speed(const struct sim *w)
{
	int64_t speed = PPM;
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		uint32_t arm = ace_candidate_index((enum hak_knob)k, w->value[k][0]);
		int64_t factor = w->speed_ppm[k][arm];
		speed = ppm_mul(speed, factor == 0 ? PPM : factor);
	}
	return speed;
}

/* One interval; returns the throughput relative to the default's, without noise. */
static inline int64_t sim_step(struct sim *w)
{
	int64_t speed = sim_speed(w);
	struct ace_sample sample = w->sample;
	if (sample.ops_per_s > 0) {
		sample.ops_per_s =
			(uint64_t)ppm_mul((int64_t)sample.ops_per_s,
					  ppm_mul(speed, PPM + sim_noise(w, w->noise_ppm)));
		sample.ops_per_cpu_s = sample.ops_per_s;
	}
	w->now_ns += SIM_STEP_NS;
	ace_step(&w->ace, w->now_ns, &sample);
	return speed;
}

#endif
