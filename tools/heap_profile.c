#include "heap_profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "say.h"
#include "symbols.h"

enum {
	MAX_FILE_BYTES = 64 << 20,
	MAX_STACKS = 1 << 16,
	MAX_FRAMES = 64,
	MAX_NODES = 1 << 20,
	MAX_MAPPINGS = 1 << 12,
	PATH_TEXT_BYTES = 512,
	NAME_BUCKETS = 1 << 12,
};

struct mapping {
	uint64_t start, end, offset;
	char path[PATH_TEXT_BYTES];
	struct symbols *symbols;
	bool opened;
};

/* Of each address that was met, the name; open addressing. */
struct met {
	uint64_t address; /* 0: a free slot */
	uint32_t name;
};

struct reader {
	struct heap_profile *profile;
	struct mapping *mappings;
	unsigned nmappings;
	struct met *met;
	uint32_t met_slots, nmet; /* a power of two */
	uint32_t names_room, nodes_room;
	/* Names by their hash: the first one plus 1, and of each the next one plus 1. */
	uint32_t buckets[NAME_BUCKETS], *next;
	bool no_memory;
};

/* ---- growing arrays */

/* Room for more; `array` is the address of a pointer to items. */
static bool grow(struct reader *r, void **array, uint32_t *room, size_t item)
{
	uint32_t larger = *room == 0 ? 256 : *room * 2;
	void *p = realloc(*array, larger * item);
	if (p == NULL) {
		r->no_memory = true;
		return false;
	}
	*array = p;
	*room = larger;
	return true;
}

/* ---- lines */

static const char head_mark[] = "heap profile: ";
static const char mappings_mark[] = "\nMAPPED_LIBRARIES:\n";

/* The line at *text, as a string of its own, since sscanf() goes to a string's end; *text becomes
 * the next one. */
static char *take_line(char **text)
{
	char *line = *text;
	*text += strcspn(line, "\n");
	if (**text != '\0')
		*(*text)++ = '\0';
	return line;
}

/* ---- names of addresses */

static bool parse_mapping(const char *line, struct mapping *m)
{
	int at = 0;
	*m = (struct mapping){ 0 };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %*s %*s %n", &m->start, &m->end,
		   &m->offset, &at) != 3 ||
	    at == 0 || line[at] != '/')
		return false;
	snprintf(m->path, sizeof(m->path), "%s", line + at);
	return m->start < m->end;
}

/* They are in the order of addresses, in a good file. */
static bool is_behind(const struct reader *r, const struct mapping *m)
{
	return r->nmappings == 0 || m->start >= r->mappings[r->nmappings - 1].end;
}

static void read_mappings(struct reader *r, char *text)
{
	r->mappings = calloc(MAX_MAPPINGS, sizeof(*r->mappings));
	r->no_memory |= r->mappings == NULL;
	while (r->mappings != NULL && *text != '\0' && r->nmappings < MAX_MAPPINGS) {
		struct mapping *m = &r->mappings[r->nmappings];
		if (parse_mapping(take_line(&text), m) && is_behind(r, m))
			r->nmappings++;
	}
}

static struct mapping *mapping_of(struct reader *r, uint64_t address)
{
	unsigned low = 0, high = r->nmappings;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		if (r->mappings[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->nmappings && address >= r->mappings[low].start ? &r->mappings[low] : NULL;
}

/* A file is mapped in several parts, and its names are read once. */
static struct symbols *symbols_of(struct reader *r, struct mapping *m)
{
	for (unsigned i = 0; i < r->nmappings && !m->opened; i++) {
		if (r->mappings[i].opened && strcmp(r->mappings[i].path, m->path) == 0) {
			m->symbols = r->mappings[i].symbols;
			m->opened = true;
		}
	}
	if (!m->opened)
		m->symbols = symbols_open(m->path);
	m->opened = true;
	return m->symbols;
}

static void name_of(struct reader *r, uint64_t address, char buf[SYMBOL_BYTES])
{
	struct mapping *m = mapping_of(r, address);
	const struct symbols *s = m == NULL ? NULL : symbols_of(r, m);
	const char *file = m == NULL ? NULL : strrchr(m->path, '/') + 1;
	if (s != NULL && symbols_find(s, address - m->start + m->offset, buf) != NULL)
		return;
	if (file != NULL)
		snprintf(buf, SYMBOL_BYTES, "%s+0x%" PRIx64, file, address - m->start + m->offset);
	else
		snprintf(buf, SYMBOL_BYTES, "0x%" PRIx64, address);
	clean_text(buf, SYMBOL_BYTES);
}

static uint32_t hash_of(uint64_t key)
{
	return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static uint32_t bucket_of(const char *text)
{
	uint64_t hash = 0;
	while (*text != '\0')
		hash = hash * 31 + (unsigned char)*text++;
	return hash_of(hash) & (NAME_BUCKETS - 1);
}

static bool names_have_room(struct reader *r)
{
	uint32_t functions_room = r->names_room, next_room = r->names_room;
	struct heap_profile *p = r->profile;
	return p->nnames < r->names_room ||
	       (grow(r, (void **)&p->functions, &functions_room, sizeof(*p->functions)) &&
		grow(r, (void **)&r->next, &next_room, sizeof(*r->next)) &&
		grow(r, (void **)&p->names, &r->names_room, sizeof(*p->names)));
}

static uint32_t add_name(struct reader *r, const char *text)
{
	struct heap_profile *p = r->profile;
	uint32_t *head = &r->buckets[bucket_of(text)];
	for (uint32_t i = *head; i != 0; i = r->next[i - 1])
		if (strcmp(p->names[i - 1], text) == 0)
			return i - 1;
	if (!names_have_room(r))
		return 0;
	p->names[p->nnames] = strdup(text);
	if (p->names[p->nnames] == NULL) {
		r->no_memory = true;
		return 0;
	}
	p->functions[p->nnames] = (struct heap_function){ .last_stack = UINT32_MAX };
	r->next[p->nnames] = *head;
	*head = ++p->nnames;
	return p->nnames - 1;
}

static bool rehash(struct reader *r)
{
	uint32_t slots = r->met_slots == 0 ? 1024 : r->met_slots * 2;
	struct met *met = calloc(slots, sizeof(*met));
	if (met == NULL) {
		r->no_memory = true;
		return false;
	}
	for (uint32_t i = 0; i < r->met_slots; i++) {
		uint32_t at = hash_of(r->met[i].address) & (slots - 1);
		if (r->met[i].address == 0)
			continue;
		while (met[at].address != 0)
			at = (at + 1) & (slots - 1);
		met[at] = r->met[i];
	}
	free(r->met);
	r->met = met;
	r->met_slots = slots;
	return true;
}

static uint32_t lookup(struct reader *r, uint64_t address)
{
	char buf[SYMBOL_BYTES];
	uint32_t at;
	if (r->nmet * 2 >= r->met_slots && !rehash(r))
		return 0;
	at = hash_of(address) & (r->met_slots - 1);
	while (r->met[at].address != 0 && r->met[at].address != address)
		at = (at + 1) & (r->met_slots - 1);
	if (r->met[at].address == 0) {
		name_of(r, address, buf);
		r->met[at] = (struct met){ address, add_name(r, buf) };
		r->nmet++;
	}
	return r->met[at].name;
}

/* ---- the tree */

static uint32_t child_of(struct reader *r, uint32_t parent, uint32_t name)
{
	struct heap_profile *p = r->profile;
	uint32_t child = p->nodes[parent].child;
	while (child != 0 && p->nodes[child].name != name)
		child = p->nodes[child].sibling;
	if (child != 0)
		return child;
	r->no_memory |= p->nnodes == MAX_NODES;
	if (r->no_memory || (p->nnodes == r->nodes_room &&
			     !grow(r, (void **)&p->nodes, &r->nodes_room, sizeof(*p->nodes))))
		return 0;
	p->nodes[p->nnodes] = (struct heap_node){ .name = name, .sibling = p->nodes[parent].child };
	p->nodes[parent].child = p->nnodes;
	return p->nnodes++;
}

static void add(struct heap_figures *to, const struct heap_figures *f)
{
	to->live_bytes += f->live_bytes;
	to->allocated_bytes += f->allocated_bytes;
}

/* frames[0] is the innermost. */
static void add_stack(struct reader *r, const uint64_t *frames, unsigned n,
		      const struct heap_figures *f)
{
	struct heap_profile *p = r->profile;
	uint32_t node = 0;
	add(&p->nodes[0].sum, f);
	for (unsigned i = n; i-- > 0 && !r->no_memory;) {
		/* Return addresses: the call is before. */
		uint32_t name = lookup(r, frames[i] - 1);
		struct heap_function *function;
		if (r->no_memory)
			return;
		function = &p->functions[name];
		node = child_of(r, node, name);
		if (node == 0)
			return;
		add(&p->nodes[node].sum, f);
		if (function->last_stack != (uint32_t)p->nstacks)
			add(&function->total, f);
		function->last_stack = (uint32_t)p->nstacks;
		if (i == 0)
			add(&function->self, f);
	}
	p->nstacks++;
}

/* What samples of blocks of this size stand for. */
static double scaled(uint64_t count, uint64_t bytes, uint32_t rate)
{
	double all = (double)bytes;
	if (count == 0 || bytes == 0)
		return 0;
	return rate <= 1 ? all : all / -expm1(-all / (double)count / rate);
}

/* "  1:  100 [  2:  200] @ 0x1 0x2" */
static bool read_stack(struct reader *r, const char *line)
{
	uint64_t live, live_bytes, all, all_bytes, frames[MAX_FRAMES];
	struct heap_figures f;
	unsigned n = 0;
	int at = 0;
	if (sscanf(line, " %" SCNu64 ": %" SCNu64 " [ %" SCNu64 ": %" SCNu64 "] @%n", &live,
		   &live_bytes, &all, &all_bytes, &at) != 4 ||
	    at == 0)
		return false;
	while (n < MAX_FRAMES) {
		char *end;
		while (line[at] == ' ')
			at++;
		if (line[at] == '\0')
			break;
		frames[n] = strtoull(line + at, &end, 16);
		if (end == line + at || frames[n] < 2)
			return false;
		at = (int)(end - line);
		n++;
	}
	f = (struct heap_figures){ scaled(live, live_bytes, r->profile->rate),
				   scaled(all, all_bytes, r->profile->rate) };
	if (n > 0)
		add_stack(r, frames, n, &f);
	return true;
}

/* ---- the file */

static const char *read_text(struct reader *r, char *text)
{
	char *mappings = strstr(text, mappings_mark);
	uint32_t rate = 0;
	if (mappings == NULL && strncmp(text, head_mark, strlen(head_mark)) == 0)
		return "the profile is cut off: its list of mapped files is missing";
	if (mappings != NULL)
		*mappings = '\0';
	if (sscanf(take_line(&text), "heap profile: %*u: %*u [ %*u: %*u] @ heap_v2/%" SCNu32,
		   &rate) != 1 ||
	    mappings == NULL)
		return "this is no heap profile of the kind heap_v2";
	r->profile->rate = rate;
	read_mappings(r, mappings + strlen(mappings_mark));
	while (*text != '\0' && !r->no_memory) {
		const char *line = take_line(&text);
		if (r->profile->nstacks == MAX_STACKS)
			return "the profile has too many stacks";
		if (line[0] != '\0' && !read_stack(r, line))
			return "the profile has a damaged line";
	}
	return r->no_memory ? "there is no memory for the profile" : NULL;
}

static void free_reader(struct reader *r)
{
	/* Parts of one file share what was read of it. */
	for (unsigned i = 0; i < r->nmappings; i++) {
		struct symbols *s = r->mappings[i].symbols;
		for (unsigned j = i; s != NULL && j < r->nmappings; j++)
			if (r->mappings[j].symbols == s)
				r->mappings[j].symbols = NULL;
		symbols_close(s);
	}
	free(r->mappings);
	free(r->met);
	free(r->next);
}

struct heap_profile *heap_profile_read(const char *path)
{
	struct reader r = { .profile = calloc(1, sizeof(*r.profile)) };
	const char *wrong = "there is no memory for the profile";
	size_t length;
	char *text = file_read(path, MAX_FILE_BYTES, &length);
	if (text == NULL) {
		free(r.profile);
		return NULL;
	}
	if (r.profile != NULL &&
	    grow(&r, (void **)&r.profile->nodes, &r.nodes_room, sizeof(*r.profile->nodes))) {
		r.profile->nodes[0] = (struct heap_node){ 0 };
		r.profile->nnodes = 1;
		wrong = read_text(&r, text);
	}
	free_reader(&r);
	free(text);
	if (wrong == NULL)
		return r.profile;
	complain("%s: %s", path, wrong);
	heap_profile_free(r.profile);
	return NULL;
}

void heap_profile_free(struct heap_profile *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->nnames; i++)
		free(p->names[i]);
	free(p->names);
	free(p->functions);
	free(p->nodes);
	free(p);
}
