#include "elf_image.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

bool elf_map(struct elf_image *im, int fd)
{
	struct stat st;
	void *p;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 2)
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return false;
	*im = (struct elf_image){ p, (size_t)st.st_size };
	return true;
}

void elf_unmap(struct elf_image *im)
{
	munmap((void *)(uintptr_t)im->bytes, im->size);
	*im = (struct elf_image){ NULL, 0 };
}

static const void *image_at(const struct elf_image *im, uint64_t offset, uint64_t n)
{
	return offset <= im->size && n <= im->size - offset ? im->bytes + offset : NULL;
}

void elf_copy(const struct elf_image *im, uint64_t offset, void *to, size_t n, bool *ok)
{
	const void *from = image_at(im, offset, n);
	*ok = *ok && from != NULL;
	if (from != NULL)
		memcpy(to, from, n);
}

const char *elf_string(const struct elf_image *im, uint64_t offset, size_t max)
{
	size_t left;
	if (offset >= im->size)
		return NULL;
	left = im->size - offset < max ? im->size - offset : max;
	if (memchr(im->bytes + offset, '\0', left) == NULL)
		return NULL;
	return (const char *)im->bytes + offset;
}

bool elf_read_headers(const struct elf_image *im, struct elf_headers *h)
{
	bool ok = true;
	elf_copy(im, 0, &h->file, sizeof(h->file), &ok);
	if (!ok || memcmp(h->file.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h->file.e_ident[EI_CLASS] != ELFCLASS64 || h->file.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->file.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	h->nprogram = h->file.e_phnum < ELF_SEGMENTS ? h->file.e_phnum : ELF_SEGMENTS;
	for (unsigned i = 0; i < h->nprogram && ok; i++)
		elf_copy(im, h->file.e_phoff + (uint64_t)i * sizeof(Elf64_Phdr), &h->program[i],
			 sizeof(Elf64_Phdr), &ok);
	return ok;
}

bool elf_offset_of(const struct elf_headers *h, uint64_t address, uint64_t *offset)
{
	for (unsigned i = 0; i < h->nprogram; i++) {
		const Elf64_Phdr *p = &h->program[i];
		if (p->p_type == PT_LOAD && address >= p->p_vaddr &&
		    address - p->p_vaddr < p->p_filesz) {
			*offset = address - p->p_vaddr + p->p_offset;
			return true;
		}
	}
	return false;
}
