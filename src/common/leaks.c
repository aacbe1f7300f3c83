#include "common/leaks.h"

#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "common/diag.h"
#include "common/guard.h"
#include "common/maps.h"
#include "common/options.h"
#include "common/os.h"
#include "common/outfile.h"
#include "common/profile.h"
#include "common/stack.h"
#include "common/symbols.h"

enum {
	PLACES = 16384, /* a power of two */
	PATH_BYTES = OPTIONS_PATH_BYTES + 64,
	NAME_BYTES = 256,
};

/* Live blocks from one stack. */
struct place {
	const uintptr_t *frames; /* NULL: free */
	uint32_t depth;
	bool listed;
	uint64_t blocks, bytes, samples;
};

struct listing {
	struct place *places; /* PLACES, a hash table by stack */
	struct stack_range library;
	struct place all, unlisted;
	unsigned nplaces;
};

/* ---- gathering */

static bool same_stack(const struct place *a, const struct place *b)
{
	return a->depth == b->depth &&
	       memcmp(a->frames, b->frames, a->depth * sizeof(*a->frames)) == 0;
}

static uint64_t hash_of(const struct place *p)
{
	uint64_t h = p->depth;
	for (uint32_t i = 0; i < p->depth; i++)
		h = (h ^ p->frames[i]) * UINT64_C(0xff51afd7ed558ccd) ^ h >> 29;
	return h ^ h >> 32;
}

static void add_to(struct place *sum, const struct place *p)
{
	sum->blocks += p->blocks;
	sum->bytes += p->bytes;
	sum->samples += p->samples;
}

static void add(struct listing *l, struct place p)
{
	uint64_t hash;
	while (p.depth > 1 && p.frames[0] >= l->library.begin && p.frames[0] < l->library.end) {
		p.frames++;
		p.depth--;
	}
	add_to(&l->all, &p);
	hash = hash_of(&p);
	for (unsigned i = 0; i < PLACES; i++) {
		struct place *at = &l->places[(hash + i) % PLACES];
		if (at->frames == NULL) {
			*at = p;
			l->nplaces++;
			return;
		}
		if (same_stack(at, &p)) {
			add_to(at, &p);
			return;
		}
	}
	add_to(&l->unlisted, &p);
}

static void add_samples(const struct profile_live *live, void *arg)
{
	add(arg, (struct place){ .frames = live->frames,
				 .depth = live->depth,
				 .blocks = live->blocks,
				 .bytes = live->bytes,
				 .samples = live->samples });
}

static void add_block(const struct history *h, void *arg)
{
	struct place p = { .frames = h->allocated_at.frames, .blocks = 1, .bytes = h->bytes };
	if (h->early)
		return;
	while (p.depth < STACK_FRAMES_MAX && p.frames[p.depth] != 0)
		p.depth++;
	add(arg, p);
}

static void gather(struct listing *l)
{
	if (options.check_full) {
		check_each_live(add_block, l);
		guard_each_live(add_block, l);
	} else {
		profile_each_live(add_samples, l);
	}
}

/* ---- writing */

static void write_frame(struct outfile *o, uintptr_t pc)
{
	char path[OPTIONS_PATH_BYTES], name[NAME_BYTES];
	uintptr_t base, into;
	/* A return address may lie behind the last byte of its function. */
	if (!maps_module_of(pc, &base, path, sizeof(path)))
		outfile_printf(o, "    %p\n", (void *)pc);
	else if (!symbols_find(path, pc - 1 - base, name, sizeof(name), &into))
		outfile_printf(o, "    %p %s+0x%lx\n", (void *)pc, path,
			       (unsigned long)(pc - base));
	else
		outfile_printf(o, "    %p %s+0x%lx (%s+0x%lx)\n", (void *)pc, path,
			       (unsigned long)(pc - base), name, (unsigned long)into + 1);
}

static void write_sum(struct outfile *o, const struct place *p)
{
	outfile_printf(o, "%s%lu bytes in %lu block%s", options.check_full ? "" : "about ",
		       (unsigned long)p->bytes, (unsigned long)p->blocks,
		       p->blocks == 1 ? "" : "s");
	if (!options.check_full)
		outfile_printf(o, " (%lu sampled)", (unsigned long)p->samples);
}

static struct place *most_bytes(struct listing *l)
{
	struct place *most = NULL;
	for (unsigned i = 0; i < PLACES; i++) {
		struct place *p = &l->places[i];
		if (p->frames != NULL && !p->listed && (most == NULL || p->bytes > most->bytes))
			most = p;
	}
	return most;
}

static void write_places(struct outfile *o, struct listing *l)
{
	struct place *p;
	for (unsigned i = 0; i < LEAKS_PLACES && (p = most_bytes(l)) != NULL; i++) {
		p->listed = true;
		outfile_printf(o, "  ");
		write_sum(o, p);
		outfile_printf(o, ", allocated at\n");
		for (uint32_t k = 0; k < p->depth && k < LEAKS_FRAMES; k++)
			write_frame(o, p->frames[k]);
	}
	for (unsigned i = 0; i < PLACES; i++)
		if (l->places[i].frames != NULL && !l->places[i].listed)
			add_to(&l->unlisted, &l->places[i]);
	if (l->unlisted.blocks == 0)
		return;
	outfile_printf(o, "  and elsewhere ");
	write_sum(o, &l->unlisted);
	outfile_printf(o, "\n");
}

static void write_listing(struct outfile *o, struct listing *l)
{
	if (l->all.blocks == 0) {
		outfile_printf(o, "hakmem: process %d: nothing is live at exit%s\n", (int)getpid(),
			       options.check_full ? "" : ", as far as samples show");
		return;
	}
	outfile_printf(o, "hakmem: process %d: live at exit: ", (int)getpid());
	write_sum(o, &l->all);
	outfile_printf(o, ", from %u place%s\n", l->nplaces, l->nplaces == 1 ? "" : "s");
	write_places(o, l);
}

static int open_output(struct outfile *o, struct text *path)
{
	if (strcmp(options.leaks, "1") == 0) {
		outfile_stderr(o);
		return 0;
	}
	text_path(path, options.leaks);
	return outfile_create(o, path->buf);
}

void leaks_list(void)
{
	char buf[PATH_BYTES];
	struct text path;
	struct listing l = { .places = NULL };
	struct outfile o;
	size_t bytes = align_up(PLACES * sizeof(*l.places), os_page_bytes());
	int err;
	if (!options_want_leaks())
		return;
	text_init(&path, buf, sizeof(buf));
	err = open_output(&o, &path);
	if (err != 0) {
		diag_line("%s: what is live at exit cannot be listed there (errno %d)", buf, -err);
		return;
	}
	l.places = os_map(bytes, os_page_bytes());
	if (l.places == NULL) {
		outfile_printf(&o, "hakmem: no memory to list what is live at exit\n");
	} else {
		l.library = stack_own_library();
		gather(&l);
		write_listing(&o, &l);
		os_unmap(l.places, bytes);
	}
	err = outfile_close(&o);
	if (err != 0)
		diag_line("%s: what is live at exit could not be written (errno %d)", buf, -err);
}
