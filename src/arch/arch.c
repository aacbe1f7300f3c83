#include "arch/arch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "arch/detect.h"
#include "common/diag.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"

/* Alone in its pages, where the kernel's are not larger than the linker expects. */
static union {
	struct hak_arch table;
	char pages[HAK_ARCH_MAX_PAGE_BYTES];
} sealed __attribute__((aligned(HAK_ARCH_MAX_PAGE_BYTES)));
HAK_STATIC_ASSERT(sizeof(struct hak_arch) <= HAK_ARCH_MAX_PAGE_BYTES, "it fills its pages");

static _Atomic bool ready;
static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_ARCH);

static const char *const feature_names[ARCH_FEATURE_COUNT] = {
#define FEATURE_NAME(id, name) [ARCH_FEATURE_##id] = (name),
	ARCH_FEATURES(FEATURE_NAME)
#undef FEATURE_NAME
};

static const char *const op_names[ARCH_OP_COUNT] = {
	[ARCH_OP_COPY_NT] = "copy_nt",
	[ARCH_OP_CLEAR_NT] = "clear_nt",
	[ARCH_OP_NOW_NS] = "now_ns",
	[ARCH_OP_MEMTAG] = "memtag",
};

struct lock *arch_lock(void)
{
	return &lock;
}

/* ---- what a test may take away */

#if HAKMEM_TESTING
/* The feature of a name that ends at a comma or at the end of the list. */
static uint64_t feature_of(const char *name, size_t length)
{
	for (unsigned i = 0; i < ARCH_FEATURE_COUNT; i++)
		if (strlen(feature_names[i]) == length &&
		    memcmp(feature_names[i], name, length) == 0)
			return UINT64_C(1) << i;
	diag_fatal("HAKMEM_CPU_DISABLE: unknown feature at \"%s\"", name);
}

static uint64_t features_to_mask(void)
{
	const char *s = options_variable("HAKMEM_CPU_DISABLE");
	uint64_t set = 0;
	while (s != NULL && *s != '\0') {
		size_t length = strcspn(s, ",");
		set |= feature_of(s, length);
		s += length + (s[length] == ',');
	}
	return set;
}

static bool native_is_wanted(void)
{
	const char *s = options_variable("HAKMEM_ARCH");
	if (s == NULL || strcmp(s, HAK_ARCH_NAME) == 0)
		return true;
	if (strcmp(s, "generic") != 0)
		diag_fatal("HAKMEM_ARCH=%s: wanted generic or %s", s, HAK_ARCH_NAME);
	return false;
}
#else
static uint64_t features_to_mask(void)
{
	return 0;
}

static bool native_is_wanted(void)
{
	return true;
}
#endif

/* ---- filling the table */

static void take(struct hak_arch *a, const struct arch_variant *v)
{
	a->variant[v->op] = v->name;
	switch (v->op) {
	case ARCH_OP_COPY_NT:
		a->copy_nt = v->fn.copy_nt;
		break;
	case ARCH_OP_CLEAR_NT:
		a->clear_nt = v->fn.clear_nt;
		break;
	case ARCH_OP_NOW_NS:
		a->now_ns = v->fn.now_ns;
		break;
	case ARCH_OP_MEMTAG:
		a->memtag = v->fn.memtag;
		break;
	case ARCH_OP_COUNT:
		break;
	}
}

static void overlay(struct hak_arch *a, const struct arch_variants *variants)
{
	for (unsigned i = 0; i < variants->n; i++)
		if ((variants->v[i].needs & ~a->features) == 0)
			take(a, &variants->v[i]);
}

static void fill(struct hak_arch *a)
{
	arch_generic_fill(a);
	overlay(a, &arch_generic_variants);
	if (!HAK_ARCH_HAS_NATIVE || !native_is_wanted())
		return;
	arch_native_detect(a);
	a->masked = a->features & features_to_mask();
	a->features &= ~a->masked;
	overlay(a, &arch_native_variants);
}

/* No signal comes in between: its handler may allocate, and would wait for the lock. Nor does
 * a cancellation: cpu_features may read files. */
static HAK_COLD void detect(void)
{
	sigset_t all, before;
	int cancel_state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	lock_acquire(&lock);
	if (!atomic_load_relaxed(&ready)) {
		fill(&sealed.table);
		os_seal(&sealed, sizeof(sealed));
		atomic_store_release(&ready, true); /* pairs with arch_get() */
	}
	lock_release(&lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_setcancelstate(cancel_state, NULL);
}

const struct hak_arch *arch_get(void)
{
	if (HAK_UNLIKELY(!atomic_load_acquire(&ready))) {
		int saved = errno;
		detect();
		errno = saved;
	}
	return &sealed.table;
}

/* ---- for people and tests */

const struct arch_variant *arch_variant_at(unsigned i)
{
	if (i < arch_generic_variants.n)
		return &arch_generic_variants.v[i];
	i -= arch_generic_variants.n;
	if (HAK_ARCH_HAS_NATIVE && i < arch_native_variants.n)
		return &arch_native_variants.v[i];
	return NULL;
}

bool arch_variant_usable(const struct arch_variant *v)
{
	return (v->needs & ~arch_get()->features) == 0;
}

const char *arch_op_name(enum arch_op op)
{
	return op_names[op];
}

void arch_text_features(struct text *t, uint64_t features)
{
	const char *separator = "";
	if (features == 0)
		text_printf(t, "none");
	for (unsigned i = 0; i < ARCH_FEATURE_COUNT; i++) {
		if ((features >> i & 1) != 0) {
			text_printf(t, "%s%s", separator, feature_names[i]);
			separator = " ";
		}
	}
}

/* The features that made this the choice. */
static uint64_t reason(enum arch_op op)
{
	const struct hak_arch *a = arch_get();
	uint64_t needs = 0;
	const struct arch_variant *v;
	for (unsigned i = 0; (v = arch_variant_at(i)) != NULL; i++)
		if (v->op == op && strcmp(v->name, a->variant[op]) == 0)
			needs = v->needs;
	return needs;
}

void arch_text_choice(struct text *t)
{
	const struct hak_arch *a = arch_get();
	text_printf(t, "%s; features by %s: ", a->name, a->detected_by);
	arch_text_features(t, a->features);
	if (a->masked != 0) {
		text_printf(t, "; masked ");
		arch_text_features(t, a->masked);
	}
	text_printf(t, "; last-level cache of %zu KiB by %s; lines of %u bytes",
		    a->llc_bytes / 1024, a->llc_from, a->cacheline_bytes);
	for (unsigned op = 0; op < ARCH_OP_COUNT; op++) {
		text_printf(t, "; %s is %s (", op_names[op], a->variant[op]);
		arch_text_features(t, reason((enum arch_op)op));
		text_printf(t, ")");
	}
}

void arch_json_choice(struct text *t)
{
	const struct hak_arch *a = arch_get();
	text_printf(t, "\"arch\":\"%s\",\"detected_by\":\"%s\",\"features\":\"", a->name,
		    a->detected_by);
	arch_text_features(t, a->features);
	text_printf(t, "\",\"masked_features\":\"");
	arch_text_features(t, a->masked);
	text_printf(t, "\",\"cacheline_bytes\":%u,\"llc_bytes\":%zu,\"llc_from\":\"%s\"",
		    a->cacheline_bytes, a->llc_bytes, a->llc_from);
	for (unsigned op = 0; op < ARCH_OP_COUNT; op++) {
		text_printf(t, ",\"%s\":{\"variant\":\"%s\",\"needs\":\"", op_names[op],
			    a->variant[op]);
		arch_text_features(t, reason((enum arch_op)op));
		text_printf(t, "\"}");
	}
}
