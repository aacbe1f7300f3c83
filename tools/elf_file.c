#include "elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

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

/* ---- a mapped file, every access to which is checked */

struct image {
	const unsigned char *bytes;
	size_t size;
};

static const void *image_at(const struct image *im, uint64_t offset, uint64_t n)
{
	return offset <= im->size && n <= im->size - offset ? im->bytes + offset : NULL;
}

static void copy_out(const struct image *im, uint64_t offset, void *to, size_t n, bool *ok)
{
	const void *from = image_at(im, offset, n);
	*ok = *ok && from != NULL;
	if (from != NULL)
		memcpy(to, from, n);
}

/* A string that ends within the file, and soon, or NULL: no name looked for is longer, and a
 * file may have as many endless ones as it has symbols. */
static const char *image_string(const struct image *im, uint64_t offset)
{
	size_t left;
	if (offset >= im->size)
		return NULL;
	left = im->size - offset < ELF_TEXT_BYTES ? im->size - offset : ELF_TEXT_BYTES;
	if (memchr(im->bytes + offset, '\0', left) == NULL)
		return NULL;
	return (const char *)im->bytes + offset;
}

struct dynamic {
	uint64_t strings, symbols, strings_bytes; /* addresses */
	uint64_t needed[64];                      /* offsets in the strings */
	unsigned nneeded;
};

struct headers {
	Elf64_Ehdr file;
	Elf64_Phdr program[64];
	unsigned nprogram;
};

static bool address_to_offset(const struct headers *h, uint64_t address, uint64_t *offset)
{
	for (unsigned i = 0; i < h->nprogram; i++) {
		const Elf64_Phdr *p = &h->program[i];
		if (p->p_type == PT_LOAD && address >= p->p_vaddr && address - p->p_vaddr < p->p_filesz) {
			*offset = address - p->p_vaddr + p->p_offset;
			return true;
		}
	}
	return false;
}

static bool read_headers(const struct image *im, struct headers *h)
{
	bool ok = true;
	copy_out(im, 0, &h->file, sizeof(h->file), &ok);
	if (!ok || memcmp(h->file.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h->file.e_ident[EI_CLASS] != ELFCLASS64 || h->file.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->file.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	h->nprogram = h->file.e_phnum < 64 ? h->file.e_phnum : 64;
	for (unsigned i = 0; i < h->nprogram && ok; i++)
		copy_out(im, h->file.e_phoff + (uint64_t)i * sizeof(Elf64_Phdr), &h->program[i],
			 sizeof(Elf64_Phdr), &ok);
	return ok;
}

static void read_dynamic(const struct image *im, const Elf64_Phdr *segment, struct dynamic *out)
{
	bool ok = true;
	for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= segment->p_filesz; at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn d;
		copy_out(im, segment->p_offset + at, &d, sizeof(d), &ok);
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
static void read_symbols(const struct image *im, uint64_t symbols, uint64_t strings,
			 struct elf_file *out)
{
	bool ok = true;
	for (uint64_t at = symbols; at < strings && ok; at += sizeof(Elf64_Sym)) {
		Elf64_Sym s;
		const char *name;
		copy_out(im, at, &s, sizeof(s), &ok);
		if (!ok || s.st_shndx == SHN_UNDEF)
			continue;
		name = image_string(im, strings + s.st_name);
		if (name != NULL)
			note_symbol(name, out);
	}
}

/* The symbols of one section, whose strings are in another. */
static void read_symbol_section(const struct image *im, const Elf64_Shdr *section,
				const Elf64_Shdr *strings, struct elf_file *out)
{
	for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= section->sh_size; at += sizeof(Elf64_Sym)) {
		Elf64_Sym symbol;
		const char *name;
		bool ok = true;
		copy_out(im, section->sh_offset + at, &symbol, sizeof(symbol), &ok);
		if (!ok)
			return;
		name = symbol.st_shndx != SHN_UNDEF ? image_string(im, strings->sh_offset + symbol.st_name)
						     : NULL;
		if (name != NULL)
			note_symbol(name, out);
	}
}

/* Static programs keep their names, if at all, in .symtab; there is one at most. */
static void read_sections(const struct image *im, const struct headers *h, struct elf_file *out)
{
	for (unsigned i = 0; i < h->file.e_shnum; i++) {
		Elf64_Shdr s, strings;
		bool ok = h->file.e_shentsize == sizeof(s);
		copy_out(im, h->file.e_shoff + (uint64_t)i * sizeof(s), &s, sizeof(s), &ok);
		if (!ok || s.sh_type != SHT_SYMTAB || s.sh_link >= h->file.e_shnum)
			continue;
		copy_out(im, h->file.e_shoff + (uint64_t)s.sh_link * sizeof(s), &strings,
			 sizeof(strings), &ok);
		if (ok)
			read_symbol_section(im, &s, &strings, out);
		return;
	}
}

static void examine_elf(const struct image *im, struct elf_file *out)
{
	struct headers h = { 0 };
	struct dynamic d = { 0 };
	uint64_t strings, symbols;
	if (!read_headers(im, &h))
		return;
	out->is_elf = true;
	out->machine = h.file.e_machine;
	for (unsigned i = 0; i < h.nprogram; i++) {
		if (h.program[i].p_type == PT_INTERP)
			out->is_dynamic = true;
		else if (h.program[i].p_type == PT_DYNAMIC)
			read_dynamic(im, &h.program[i], &d);
	}
	if (!address_to_offset(&h, d.strings, &strings)) {
		read_sections(im, &h, out);
		return;
	}
	for (unsigned i = 0; i < d.nneeded; i++) {
		const char *name = image_string(im, strings + d.needed[i]);
		if (name != NULL && allocator_of_library(name) != NULL)
			snprintf(out->needs_allocator, sizeof(out->needs_allocator), "%s", name);
	}
	if (address_to_offset(&h, d.symbols, &symbols) && symbols < strings)
		read_symbols(im, symbols, strings, out);
	if (!out->is_dynamic)
		read_sections(im, &h, out);
}

static void examine_script(const struct image *im, struct elf_file *out)
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
	struct image im = { NULL, 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	*out = (struct elf_file){ .readable = fd >= 0 };
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 2) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		out->set_id = (st.st_mode & (S_ISUID | S_ISGID)) != 0 ||
			      fgetxattr(fd, "security.capability", NULL, 0) > 0;
		if (p != MAP_FAILED) {
			im = (struct image){ p, (size_t)st.st_size };
			if (im.bytes[0] == '#' && im.bytes[1] == '!')
				examine_script(&im, out);
			else
				examine_elf(&im, out);
			munmap(p, im.size);
		}
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
