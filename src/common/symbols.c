#include "common/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SYMBOLS_AT_ONCE = 64 };

static size_t read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, to, bytes, offset);
	return n > 0 ? (size_t)n : 0;
}

static bool read_header(int fd, Elf64_Ehdr *header)
{
	return read_at(fd, header, sizeof(*header), 0) == sizeof(*header) &&
	       memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
	       header->e_ident[EI_CLASS] == ELFCLASS64 &&
	       header->e_phentsize == sizeof(Elf64_Phdr) &&
	       header->e_shentsize == sizeof(Elf64_Shdr);
}

/* The address that the file's first byte was linked for. */
static uint64_t linked_base(int fd, const Elf64_Ehdr *header)
{
	for (unsigned i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr segment;
		if (read_at(fd, &segment, sizeof(segment), header->e_phoff + i * sizeof(segment)) ==
			    sizeof(segment) &&
		    segment.p_type == PT_LOAD)
			return segment.p_vaddr - segment.p_offset;
	}
	return 0;
}

static bool read_section(int fd, const Elf64_Ehdr *header, unsigned i, Elf64_Shdr *section)
{
	return read_at(fd, section, sizeof(*section), header->e_shoff + i * sizeof(*section)) ==
	       sizeof(*section);
}

static bool find_section(int fd, const Elf64_Ehdr *header, uint32_t type, Elf64_Shdr *section)
{
	for (unsigned i = 0; i < header->e_shnum; i++)
		if (read_section(fd, header, i, section) && section->sh_type == type)
			return true;
	return false;
}

static bool holds(const Elf64_Sym *symbol, uint64_t addr)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);
	return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
	       addr >= symbol->st_value && addr - symbol->st_value < symbol->st_size;
}

static bool find_symbol(int fd, const Elf64_Shdr *table, uint64_t addr, Elf64_Sym *symbol)
{
	Elf64_Sym some[SYMBOLS_AT_ONCE];
	for (uint64_t at = 0; at < table->sh_size; at += sizeof(some)) {
		uint64_t left = table->sh_size - at;
		size_t n = read_at(fd, some, left < sizeof(some) ? left : sizeof(some),
				   table->sh_offset + at) /
			   sizeof(*some);
		if (n == 0) /* the file ends before its table does */
			return false;
		for (size_t i = 0; i < n; i++) {
			if (holds(&some[i], addr)) {
				*symbol = some[i];
				return true;
			}
		}
	}
	return false;
}

/* What controls a terminal or begins a new line is shown as '?'. */
static bool read_name(int fd, uint64_t offset, char *name, size_t bytes)
{
	size_t n = read_at(fd, name, bytes - 1, offset);
	name[n] = '\0';
	for (char *s = name; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == '\x7f')
			*s = '?';
	return name[0] != '\0';
}

static bool find_in(int fd, uintptr_t offset, char *name, size_t name_bytes, uintptr_t *into)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };
	Elf64_Ehdr header;
	uint64_t addr;
	if (!read_header(fd, &header))
		return false;
	addr = linked_base(fd, &header) + offset;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(types); i++) {
		Elf64_Shdr table, strings;
		Elf64_Sym symbol;
		if (find_section(fd, &header, types[i], &table) &&
		    read_section(fd, &header, table.sh_link, &strings) &&
		    find_symbol(fd, &table, addr, &symbol) &&
		    read_name(fd, strings.sh_offset + symbol.st_name, name, name_bytes)) {
			*into = addr - symbol.st_value;
			return true;
		}
	}
	return false;
}

bool symbols_find(const char *path, uintptr_t offset, char *name, size_t name_bytes,
		  uintptr_t *into)
{
	int saved = errno;
	/* O_NONBLOCK: what lies at the path now may be a pipe. */
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool found = fd >= 0 && find_in(fd, offset, name, name_bytes, into);
	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = saved;
	return found;
}
