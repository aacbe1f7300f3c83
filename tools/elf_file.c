#include "elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "elf_image.h"

/* Other allocators, by the names of their libraries and by a symbol that only they
 * have. */
static const struct {
	const char *library, *symbol, *name;
} allocators[] = {
	{ "libjemalloc", "mallctl", "jemalloc" },
	{ "libtcmalloc", "MallocExtension_GetNumericProperty", "tcmalloc" },
	{ "libmimalloc", "mi_malloc", "mimalloc" },
	{ "libsnmalloc", "sn_rust_alloc", "snmalloc" },
	{ "librpmalloc", "rpmalloc", "rpmalloc" },
	{ "libtbbmalloc", "scalable_malloc", "tbbmalloc" },
	{ "libhardened_malloc", "free_sized_hardened", "hardened_malloc" },
	{ "libscudo", "__scudo_print_stats", "scudo" },
	{ "libasan", "__asan_init", "AddressSanitizer" },
	{ "libtsan", "__tsan_init", "ThreadSanitizer" },
	{ "libhakmem", "hak_malloc", "hakmem" },
};
enum { ALLOCATORS = sizeof(allocators) / sizeof(allocators[0]) };

const char *allocator_of_library(const char *path)
{
	const char *base = strrchr(path, '/');
	base = base == NULL ? path : base + 1;
	for (unsigned i = 0; i < ALLOCATORS; i++)
		if (strncmp(base, allocators[i].library, strlen(allocators[i].library)) == 0)
			return allocators[i].name;
	return NULL;
}

const char *elf_machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_X86_64:
		return "x86_64";
	case EM_386:
		return "32-bit x86";
	case EM_AARCH64:
		return "aarch64";
	case EM_ARM:
		return "32-bit Arm";
	case EM_RISCV:
		return "riscv";
	default:
		return "another machine";
	}
}

/* ---- the dynamic section */

struct dynamic {
	uint64_t strings, symbols, strings_bytes; /* addresses */
	uint64_t needed[64];                      /* offsets in the strings */
	unsigned nneeded;
};

static void read_dynamic(const struct elf_image *im, const Elf64_Phdr *segment, struct dynamic *out)
{
	bool ok = true;
	for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= segment->p_filesz;
	     at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn d;
		elf_copy(im, segment->p_offset + at, &d, sizeof(d), &ok);
		if (!ok || d.d_tag == DT_NULL)
			return;
		if (d.d_tag == DT_STRTAB)
			out->strings = d.d_un.d_ptr;
		else if (d.d_tag == DT_SYMTAB)
			out->symbols = d.d_un.d_ptr;
		else if (d.d_tag == DT_STRSZ)
			out->strings_bytes = d.d_un.d_val;
		else if (d.d_tag == DT_NEEDED && out->nneeded < 64)
			out->needed[out->nneeded++] = d.d_un.d_val;
	}
}

static void note_symbol(const char *name, struct elf_file *out)
{
	if (strcmp(name, "malloc") == 0)
		out->defines_malloc = true;
	for (unsigned i = 0; i < ALLOCATORS; i++)
		if (strcmp(name, allocators[i].symbol) == 0)
			snprintf(out->own_allocator, sizeof(out->own_allocator), "%s",
				 allocators[i].name);
}

/* The symbol table has no length of its own; linkers put the strings behind it. */
static void read_symbols(const struct elf_image *im, uint64_t symbols, uint64_t strings,
			 struct elf_file *out)
{
	bool ok = true;
	for (uint64_t at = symbols; at < strings && ok; at += sizeof(Elf64_Sym)) {
		Elf64_Sym s;
		const char *name;
		elf_copy(im, at, &s, sizeof(s), &ok);
		if (!ok || s.st_shndx == SHN_UNDEF)
			continue;
		name = elf_string(im, strings + s.st_name, ELF_TEXT_BYTES);
		if (name != NULL)
			note_symbol(name, out);
	}
}

/* The symbols of one section, whose strings are in another. */
static void read_symbol_section(const struct elf_image *im, const Elf64_Shdr *section,
				const Elf64_Shdr *strings, struct elf_file *out)
{
	for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= section->sh_size; at += sizeof(Elf64_Sym)) {
		Elf64_Sym symbol;
		const char *name;
		bool ok = true;
		elf_copy(im, section->sh_offset + at, &symbol, sizeof(symbol), &ok);
		if (!ok)
			return;
		name = symbol.st_shndx != SHN_UNDEF
			       ? elf_string(im, strings->sh_offset + symbol.st_name, ELF_TEXT_BYTES)
			       : NULL;
		if (name != NULL)
			note_symbol(name, out);
	}
}

/* Static programs keep their names, if at all, in .symtab; there is one at most. */
static void read_sections(const struct elf_image *im, const struct elf_headers *h,
			  struct elf_file *out)
{
	for (unsigned i = 0; i < h->file.e_shnum; i++) {
		Elf64_Shdr s, strings;
		bool ok = h->file.e_shentsize == sizeof(s);
		elf_copy(im, h->file.e_shoff + (uint64_t)i * sizeof(s), &s, sizeof(s), &ok);
		if (!ok || s.sh_type != SHT_SYMTAB || s.sh_link >= h->file.e_shnum)
			continue;
		elf_copy(im, h->file.e_shoff + (uint64_t)s.sh_link * sizeof(s), &strings,
			 sizeof(strings), &ok);
		if (ok)
			read_symbol_section(im, &s, &strings, out);
		return;
	}
}

static void examine_elf(const struct elf_image *im, struct elf_file *out)
{
	struct elf_headers h = { 0 };
	struct dynamic d = { 0 };
	uint64_t strings, symbols;
	if (!elf_read_headers(im, &h))
		return;
	out->is_elf = true;
	out->machine = h.file.e_machine;
	for (unsigned i = 0; i < h.nprogram; i++) {
		if (h.program[i].p_type == PT_INTERP)
			out->is_dynamic = true;
		else if (h.program[i].p_type == PT_DYNAMIC)
			read_dynamic(im, &h.program[i], &d);
	}
	if (!elf_offset_of(&h, d.strings, &strings)) {
		read_sections(im, &h, out);
		return;
	}
	for (unsigned i = 0; i < d.nneeded; i++) {
		const char *name = elf_string(im, strings + d.needed[i], ELF_TEXT_BYTES);
		if (name != NULL && allocator_of_library(name) != NULL)
			snprintf(out->needs_allocator, sizeof(out->needs_allocator), "%s", name);
	}
	if (elf_offset_of(&h, d.symbols, &symbols) && symbols < strings)
		read_symbols(im, symbols, strings, out);
	if (!out->is_dynamic)
		read_sections(im, &h, out);
}

static void examine_script(const struct elf_image *im, struct elf_file *out)
{
	size_t begin = 2, end;
	while (begin < im->size && (im->bytes[begin] == ' ' || im->bytes[begin] == '\t'))
		begin++;
	for (end = begin; end < im->size && im->bytes[end] > ' '; end++)
		;
	if (end - begin < sizeof(out->interpreter)) {
		memcpy(out->interpreter, im->bytes + begin, end - begin);
		out->interpreter[end - begin] = '\0';
	}
}

void elf_examine(const char *path, struct elf_file *out)
{
	struct elf_image im;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	*out = (struct elf_file){ .readable = fd >= 0 };
	if (fd < 0)
		return;
	if (elf_map(&im, fd)) {
		out->set_id = (fstat(fd, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)) != 0) ||
			      fgetxattr(fd, "security.capability", NULL, 0) > 0;
		if (im.bytes[0] == '#' && im.bytes[1] == '!')
			examine_script(&im, out);
		else
			examine_elf(&im, out);
		elf_unmap(&im);
	}
	close(fd);
}

bool program_find(const char *name, char *path, unsigned size)
{
	const char *dirs = getenv("PATH");
	if (strchr(name, '/') != NULL)
		return snprintf(path, size, "%s", name) < (int)size && access(path, X_OK) == 0;
	if (dirs == NULL)
		dirs = "/usr/bin:/bin";
	while (*dirs != '\0') {
		int n = (int)strcspn(dirs, ":");
		if (snprintf(path, size, "%.*s/%s", n > 0 ? n : 1, n > 0 ? dirs : ".", name) <
			    (int)size &&
		    access(path, X_OK) == 0)
			return true;
		dirs += n;
		dirs += *dirs == ':';
	}
	return false;
}
