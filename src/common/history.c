#include "common/history.h"

#include "common/atomics.h"
#include "common/diag.h"
#include "common/options.h"
#include "common/report.h"
#include "common/thread.h"

const char *origin_name(enum origin origin)
{
	static const char *const names[] = { "malloc", "operator new", "operator new[]",
					     "malloc or operator new" };
	return names[origin];
}

static _Atomic bool started;

void history_start(void)
{
	atomic_store_relaxed(&started, true);
}

void history_begin(struct history *h, size_t bytes, enum origin origin)
{
	h->bytes = bytes;
	h->origin = origin;
	h->freed = false;
	h->early = !atomic_load_relaxed(&started);
	h->allocated_by = thread_os_id();
	stack_capture(&h->allocated_at);
}

void history_end(struct history *h)
{
	h->freed = true;
	h->freed_by = thread_os_id();
	stack_capture(&h->freed_at);
}

bool history_allows(const struct history *h, uintptr_t block, const struct free_call *call)
{
	if (!options.check_full)
		return true;
	if (!origin_fits(h->origin, call->origin))
		report_wrong_origin(block, h, call);
	else if (call->sized && max_size(call->bytes, 1) != h->bytes)
		report_wrong_size(block, h->bytes, call);
	else
		return true;
	return false;
}

void history_text(struct text *t, const struct history *h)
{
	text_printf(t, "  allocated by thread %u, %zu bytes by %s:\n", h->allocated_by, h->bytes,
		    origin_name(h->origin));
	stack_text(t, &h->allocated_at);
	if (h->freed) {
		text_printf(t, "  freed by thread %u:\n", h->freed_by);
		stack_text(t, &h->freed_at);
	}
}
