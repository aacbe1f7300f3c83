#include "symbols.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_image.h"
#include "say.h"

enum { MAX_SYMBOLS = 4 << 20, RUST_HASH_DIGITS = 17 /* 'h' and 16 */ };

struct symbol {
	uint64_t offset, bytes;
	uint64_t name; /* offset in the file */
};

struct symbols {
	struct elf_image image;
	struct symbol *sorted;
	size_t count;
};

/* ---- reading */

static bool read_section(const struct elf_image *im, const struct elf_headers *h, unsigned i,
			 Elf64_Shdr *out)
{
	bool ok = h->file.e_shentsize == sizeof(*out) && i < h->file.e_shnum;
	if (ok)
		elf_copy(im, h->file.e_shoff + (uint64_t)i * sizeof(*out), out, sizeof(*out), &ok);
	return ok;
}

/* The full table of symbols or, of a stripped file, those for the loader. */
static bool find_table(const struct elf_image *im, const struct elf_headers *h, Elf64_Shdr *table,
		       Elf64_Shdr *strings)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };
	for (unsigned t = 0; t < 2; t++)
		for (unsigned i = 0; read_section(im, h, i, table); i++)
			if (table->sh_type == types[t])
				return read_section(im, h, table->sh_link, strings);
	return false;
}

static bool is_function(const Elf64_Sym *s)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);
	return s->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC);
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = ((const struct symbol *)a)->offset, y = ((const struct symbol *)b)->offset;
	return x < y ? -1 : x > y;
}

static void read_functions(struct symbols *s, const struct elf_headers *h, const Elf64_Shdr *table,
			   const Elf64_Shdr *strings)
{
	uint64_t n = table->sh_size / sizeof(Elf64_Sym);
	if (n > s->image.size / sizeof(Elf64_Sym) || n > MAX_SYMBOLS)
		return;
	s->sorted = calloc(n + 1, sizeof(*s->sorted));
	for (uint64_t i = 0; s->sorted != NULL && i < n; i++) {
		struct symbol *to = &s->sorted[s->count];
		Elf64_Sym symbol;
		bool ok = true;
		elf_copy(&s->image, table->sh_offset + i * sizeof(symbol), &symbol, sizeof(symbol),
			 &ok);
		if (!ok || !is_function(&symbol) || !elf_offset_of(h, symbol.st_value, &to->offset))
			continue;
		to->bytes = symbol.st_size;
		to->name = strings->sh_offset + symbol.st_name;
		s->count++;
	}
	if (s->count > 0)
		qsort(s->sorted, s->count, sizeof(*s->sorted), by_offset);
}

struct symbols *symbols_open(const char *path)
{
	struct elf_headers h = { 0 };
	Elf64_Shdr table, strings;
	struct symbols *s = calloc(1, sizeof(*s));
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool mapped = s != NULL && fd >= 0 && elf_map(&s->image, fd);
	if (fd >= 0)
		close(fd);
	if (mapped && elf_read_headers(&s->image, &h) &&
	    find_table(&s->image, &h, &table, &strings))
		read_functions(s, &h, &table, &strings);
	if (mapped && s->count > 0)
		return s;
	symbols_close(s);
	return NULL;
}

void symbols_close(struct symbols *s)
{
	if (s == NULL)
		return;
	if (s->image.bytes != NULL)
		elf_unmap(&s->image);
	free(s->sorted);
	free(s);
}

/* ---- names */

static bool is_rust_hash(const char *s, unsigned n)
{
	return n == RUST_HASH_DIGITS && s[0] == 'h' &&
	       strspn(s + 1, "0123456789abcdef") >= RUST_HASH_DIGITS - 1;
}

/* "_ZN3foo3barEv" is foo::bar and "_Z3bari" is bar; what is more than such a list of names,
 * arguments left out, stays as it is. */
static void demangle(char buf[SYMBOL_BYTES])
{
	char plain[SYMBOL_BYTES];
	size_t used = 0;
	const char *s = buf + strlen("_Z");
	bool nested;
	if (strncmp(buf, "_Z", strlen("_Z")) != 0)
		return;
	nested = *s == 'N';
	s += nested;
	s += strspn(s, "VKrRO");
	if (strncmp(s, "St", 2) == 0) {
		used = (size_t)snprintf(plain, sizeof(plain), "std");
		s += 2;
	}
	do {
		char *end = NULL;
		unsigned long n = isdigit((unsigned char)*s) ? strtoul(s, &end, 10) : 0;
		if (n == 0 || n >= SYMBOL_BYTES || strlen(end) < n || used + n + 3 > sizeof(plain))
			return;
		if (!is_rust_hash(end, (unsigned)n))
			used += (size_t)snprintf(plain + used, sizeof(plain) - used, "%s%.*s",
						 used > 0 ? "::" : "", (int)n, end);
		s = end + n;
	} while (nested && *s != 'E' && *s != '\0');
	/* A template's arguments, a constructor: not a list of names. */
	if (used > 0 && *s != 'I' && *s != '\0')
		memcpy(buf, plain, used + 1);
}

const char *symbols_find(const struct symbols *s, uint64_t offset, char buf[SYMBOL_BYTES])
{
	size_t low = 0, high = s->count;
	const struct symbol *found;
	const char *name;
	/* The last one that begins at the offset or before. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->sorted[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	found = &s->sorted[low - 1];
	/* Assembler's functions may have no size. */
	if (found->bytes != 0 && offset - found->offset >= found->bytes)
		return NULL;
	name = elf_string(&s->image, found->name, SYMBOL_BYTES);
	if (name == NULL || name[0] == '\0')
		return NULL;
	snprintf(buf, SYMBOL_BYTES, "%s", name);
	demangle(buf);
	clean_text(buf, SYMBOL_BYTES);
	return buf;
}
