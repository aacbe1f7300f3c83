/* Program files: any bytes. What is found in one is clean, ends, and is found soon. */
#include "elf_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "symbols.h"

static void check_end(const char text[ELF_TEXT_BYTES], const char *what)
{
	FUZZ_REQUIRE(memchr(text, '\0', ELF_TEXT_BYTES) != NULL, "%s does not end", what);
}

/* Names of functions, at some offsets: they end, and no terminal takes them for a command. */
static void check_symbols(const char *path, size_t size)
{
	struct symbols *s = symbols_open(path);
	for (size_t at = 0; s != NULL && at < 2 * size + 1; at += size / 64 + 1) {
		char name[SYMBOL_BYTES];
		memset(name, 0xff, sizeof(name));
		if (symbols_find(s, at, name) == NULL)
			continue;
		FUZZ_REQUIRE(memchr(name, '\0', sizeof(name)) != NULL && name[0] != '\0',
			     "a name at %zu", at);
		for (const char *c = name; *c != '\0'; c++)
			FUZZ_REQUIRE(*c >= ' ' && *c <= '~', "character %d in a name", *c);
	}
	symbols_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	struct elf_file found;
	memset(&found, 0xff, sizeof(found));
	if (fd < 0) {
		fd = memfd_create("program", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	FUZZ_REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size,
		     "no file");
	elf_examine(path, &found);
	check_symbols(path, size);
	FUZZ_REQUIRE(found.readable, "not readable");
	FUZZ_REQUIRE(!found.is_elf || (size > 4 && memcmp(data, "\177ELF", 4) == 0), "no program");
	FUZZ_REQUIRE(found.is_elf || (!found.is_dynamic && !found.defines_malloc),
		     "found in what is no program");
	check_end(found.interpreter, "the interpreter");
	check_end(found.needs_allocator, "the library's name");
	check_end(found.own_allocator, "the allocator's name");
	FUZZ_REQUIRE(found.needs_allocator[0] == '\0' ||
			     allocator_of_library(found.needs_allocator) != NULL,
		     "%s is no allocator", found.needs_allocator);
	FUZZ_REQUIRE(elf_machine_name(found.machine)[0] != '\0', "machine %u", found.machine);
	return 0;
}
