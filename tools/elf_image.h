/* A mapped file that should be an ELF one: every access to it is checked, since any file
 * may be given. */
#ifndef HAKMEM_TOOLS_ELF_IMAGE_H
#define HAKMEM_TOOLS_ELF_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ELF_SEGMENTS = 64 };

struct elf_image {
	const unsigned char *bytes;
	size_t size;
};

struct elf_headers {
	Elf64_Ehdr file;
	Elf64_Phdr program[ELF_SEGMENTS];
	unsigned nprogram;
};

/* Map a plain file of more than two bytes; the descriptor may then be closed. */
bool elf_map(struct elf_image *im, int fd);
void elf_unmap(struct elf_image *im);

/* n bytes at the offset; *ok becomes false if the file has not so many. */
void elf_copy(const struct elf_image *im, uint64_t offset, void *to, size_t n, bool *ok);

/* A string that ends within the file and within `max` bytes, or NULL: a file may have as many
 * endless ones as it has symbols. */
const char *elf_string(const struct elf_image *im, uint64_t offset, size_t max);

/* False: it is no ELF file of 64 bits in this machine's byte order. */
bool elf_read_headers(const struct elf_image *im, struct elf_headers *h);

/* Where in the file does an address lie? */
bool elf_offset_of(const struct elf_headers *h, uint64_t address, uint64_t *offset);

#endif
