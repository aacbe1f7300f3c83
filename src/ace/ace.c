#include "ace/ace.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ace/ace_controller.h"
#include "ace/ace_file.h"
#include "ace/ace_playbook.h"
#include "ace/ace_trace.h"
#include "common/lock.h"
#include "common/metrics.h"
#include "common/missrate.h"
#include "common/options.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/statpage.h"
#include "common/ticker.h"

enum {
	STOPPED_TICK_MS = 3600 * 1000,
	/* Judged steps after which the work shows what it is. */
	KEY_STEPS = 4,
	PROGRAM_BYTES = 256,
};
#define NS_PER_S ((uint64_t)1000000000)

static struct ace_controller controller;
static struct ace_meter meter;
static struct ace_sink trace = { .fd = -1 };
static struct ace_playbook playbook;
static char program[PROGRAM_BYTES];
static char key[ACE_KEY_BYTES]; /* empty: not known yet */
static uint32_t key_steps;      /* judged ones since the work was last another */
static uint64_t cpu_ns;         /* of ACE since the last sample */

/* ---- out */

static void say(int32_t level, const struct text *t)
{
	if (options.ace_log_level >= level)
		diag_write(t);
}

static void port_set(void *context, enum hak_knob k, unsigned cls, int32_t value)
{
	(void)context;
	knob_set(k, cls, value);
}

/* Runs of any length, unless the user has said which are too short. */
static void port_scavenge(void *context, uint64_t budget_ns)
{
	const enum hak_knob k = HAK_KNOB_PARTIAL_RELEASE_PAGES;
	const bool given = (options.given_knobs >> k & 1) != 0;
	bool more;
	(void)context;
	purge_scavenge(budget_ns, given ? (unsigned)knob_get(k, 0) : 1, &more);
}

/* Moves back and forth of trials are for who debugs; what stays is news. */
static int32_t level_of(enum ace_reason reason)
{
	return reason == ACE_BECAUSE_KEPT || reason == ACE_BECAUSE_CHANGED ||
			       reason == ACE_BECAUSE_GUARD || reason == ACE_BECAUSE_PLAYBOOK ||
			       reason == ACE_BECAUSE_PRESSURE || reason == ACE_BECAUSE_PRESSURE_GONE
		       ? ACE_LOG_INFO
		       : ACE_LOG_DEBUG;
}

/* The diet works on the capacity of each class; one line if they are all alike. */
static void say_diet(const struct ace_decision *d)
{
	const struct ace_settings *s = &controller.settings;
	const bool alike = ace_settings_uniform(s, HAK_KNOB_TCACHE_CAPACITY);
	char buf[ACE_LINE_BYTES];
	struct text t;
	for (unsigned c = alike ? 0 : 1; c < (alike ? 1 : ACE_CLASSES); c++) {
		text_init(&t, buf, sizeof(buf));
		ace_log_diet_line(&t, d, c, s->value[HAK_KNOB_TCACHE_CAPACITY][c]);
		say(level_of(d->reason), &t);
	}
}

static void port_decided(void *context, const struct ace_decision *d)
{
	char buf[ACE_LINE_BYTES];
	struct text t;
	(void)context;
	text_init(&t, buf, sizeof(buf));
	ace_log_record(&t, d);
	ace_sink_add(&trace, &t);
	if (d->what < HAK_KNOB_COUNT)
		statpage_decision((enum hak_knob)d->what, d->cls, d->old_value, d->new_value,
				  ace_reason_text(d->reason));
	if (d->what == HAK_KNOB_DIET_FACTOR) {
		say_diet(d);
		return;
	}
	text_init(&t, buf, sizeof(buf));
	ace_log_line(&t, d);
	say(level_of(d->reason), &t);
}

static void say_stopped(const struct ace_guard_report *r)
{
	char buf[ACE_LINE_BYTES];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	text_printf(&t,
		    "[ACE] Stopped: %s %lu %s is above the limit of %lu (%s); every knob is back "
		    "at its default\n",
		    r->what, (unsigned long)r->figure, r->unit, (unsigned long)r->limit,
		    r->variable);
	diag_write(&t); /* at any level */
}

static void say_loops(const struct ace_sample *sample)
{
	char buf[ACE_LINE_BYTES];
	struct text t;
	if (options.ace_log_level < ACE_LOG_DEBUG)
		return;
	text_init(&t, buf, sizeof(buf));
	ace_log_fast_line(&t, sample, controller.explorer.reward_ppm);
	diag_write(&t);
	if (!controller.slow_step)
		return;
	text_init(&t, buf, sizeof(buf));
	ace_log_slow_line(&t, sample);
	diag_write(&t);
}

/* ---- the playbook */

static void trace_line(const struct text *line)
{
	ace_sink_add(&trace, line);
}

/* Once the work shows what it is, take what is known of it. */
static void recognise(const struct ace_sample *sample)
{
	if (controller.changed) {
		key[0] = '\0';
		key_steps = 0;
	}
	if (options.ace_playbook[0] == '\0' || key[0] != '\0' || controller.explorer.reward_ppm < 0)
		return;
	if (++key_steps < KEY_STEPS)
		return;
	ace_playbook_key(key, program, sample);
	ace_playbook_recall(&playbook, key, &controller, trace_line);
}

/* ---- a tick */

/* At level 1, once there is a sample: where the figures come from. */
static void say_started(const char *llc_source)
{
	static bool said;
	char buf[ACE_LINE_BYTES];
	struct text t;
	if (said)
		return;
	said = true;
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "[ACE] Started: a step every %d ms, LLC misses from: %s\n",
		    options.ace_fast_interval_ms, llc_source);
	say(ACE_LOG_INFO, &t);
}

static void step(uint64_t now_ns, const struct ace_sample *sample)
{
	char buf[ACE_TRACE_LINE_BYTES];
	struct text t;
	bool running;
	text_init(&t, buf, sizeof(buf));
	ace_trace_sample(&t, now_ns, sample);
	ace_sink_add(&trace, &t);
	running = ace_step(&controller, now_ns, sample);
	if (!running)
		say_stopped(&controller.stop);
	else
		recognise(sample);
	say_loops(sample);
	ace_sink_flush(&trace);
}

uint32_t ace_tick(void)
{
	int saved = errno;
	const uint64_t begin_ns = os_thread_cpu_ns();
	struct hak_metrics now;
	struct ace_sample sample;
	bool usable;
	if (controller.stopped)
		return STOPPED_TICK_MS;
	/* A person said so: hakmem ctl PID freeze. */
	if (knobs_are_frozen())
		return (uint32_t)options.ace_fast_interval_ms;
	metrics_read(&now);
	usable = ace_sample_make(&sample, &meter, &now, os_process_cpu_ns(), cpu_ns);
	cpu_ns = 0;
	if (usable) {
		say_started(now.llc_source);
		step(now.now_ns, &sample);
	}
	cpu_ns += os_thread_cpu_ns() - begin_ns;
	errno = saved;
	return ace_next_ms(&controller, (uint32_t)options.ace_fast_interval_ms);
}

/* ---- start and end */

/* The clocks of the process begin anew, and the trace stays the parent's. */
static void after_fork(void)
{
	meter.started = false;
	ace_sink_drop(&trace);
}

static void read_program_name(void)
{
	char path[1024];
	long n = syscall(SYS_readlinkat, -1, "/proc/self/exe", path, sizeof(path) - 1);
	const char *name;
	path[n > 0 ? n : 0] = '\0';
	name = strrchr(path, '/');
	name = name != NULL ? name + 1 : path;
	for (unsigned i = 0; i < sizeof(program) - 1 && name[i] != '\0'; i++)
		program[i] = name[i];
}

static void open_trace(void)
{
	char buf[ACE_TRACE_LINE_BYTES];
	struct text t;
	int err = ace_sink_open(&trace, options.ace_trace);
	if (err != 0) {
		diag_line("HAKMEM_ACE_TRACE=%s: cannot be written (error %d); there is no trace",
			  options.ace_trace, -err);
		return;
	}
	text_init(&t, buf, sizeof(buf));
	ace_trace_header(&t, &controller.config, &controller.settings);
	ace_sink_add(&trace, &t);
}

static void load_playbook(void)
{
	const char *wrong = ace_playbook_load(&playbook, options.ace_playbook);
	if (wrong != NULL)
		diag_line("HAKMEM_ACE_PLAYBOOK=%s: %s; it is not used", options.ace_playbook,
			  wrong);
}

static void init_controller(void)
{
	const struct ace_ports ports = { NULL, port_set, port_scavenge, port_decided };
	const struct ace_config config = {
		.slow_interval_ns = (uint64_t)options.ace_slow_interval_s * NS_PER_S,
		.discount_ppm =
			options.ace_learner == ACE_LEARNER_UCB1 ? PPM : ACE_DISCOUNT_DEFAULT,
		.limits = {
			.max_p99_ns = (uint64_t)options.ace_max_p99_lat_ns,
			.max_rss_mb = (uint64_t)options.ace_max_rss_mb,
			.max_cpu_percent = (uint32_t)options.ace_max_cpu_percent,
			.rss_is_default = !options.ace_max_rss_given,
		},
	};
	int32_t start[HAK_KNOB_COUNT];
	bool pinned[HAK_KNOB_COUNT];
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		start[k] = knob_get((enum hak_knob)k, 0);
		pinned[k] = (options.given_knobs >> k & 1) != 0;
	}
	ace_controller_init(&controller, &config, &ports, start, pinned);
}

/* Behind the library's constructor, which has read the options. */
__attribute__((constructor(102))) static void ace_constructor(void)
{
	static struct ticker ticker = { .tick = ace_tick, .after_fork = after_fork };
	if (!options.ace_enabled)
		return;
	init_controller();
	if (options.ace_trace[0] != '\0')
		open_trace();
	if (options.ace_playbook[0] != '\0') {
		read_program_name();
		load_playbook();
	}
	missrate_start();
	ticker.in_thread = options.ace_thread != 0;
	ticker_register(&ticker);
}

static void say_advice(void)
{
	char advice[ACE_LINE_BYTES], buf[2 * ACE_LINE_BYTES];
	struct text a, t;
	text_init(&a, advice, sizeof(advice));
	ace_advise(&a, &controller);
	if (a.length == 0)
		return;
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "[ACE] To pin what was learnt: %s\n", advice);
	say(ACE_LOG_INFO, &t);
}

__attribute__((destructor)) static void ace_destructor(void)
{
	/* A signal handler may end the process in the middle of a tick of this thread. */
	if (!options.ace_enabled || lock_is_mine(ticker_lock()))
		return;
	lock_acquire(ticker_lock());
	say_advice();
	if (key[0] != '\0' && !controller.stopped &&
	    ace_playbook_save(&playbook, options.ace_playbook, key, &controller) != 0)
		diag_line("HAKMEM_ACE_PLAYBOOK=%s: cannot be written", options.ace_playbook);
	ace_sink_flush(&trace);
	lock_release(ticker_lock());
}
