/* The reader of program files: on this program, and on files that are damaged. */
#include "elf_file.h"

#include <elf.h>
#include <fcntl.h>

#include "testing.h"

static struct elf_file found;

static void this_program(void)
{
	elf_examine("/proc/self/exe", &found);
	CHECK(found.readable && found.is_elf, "not recognised");
	CHECK(!found.set_id, "not setuid");
	CHECK(!found.defines_malloc, "it has no malloc of its own");
	CHECK_I64(found.own_allocator[0], 0, "own allocator");
}

static void scripts(void)
{
	char path[] = "/tmp/hakmem-elf-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "#! /bin/sh -e\ntrue\n";
	REQUIRE(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1,
		"no file");
	elf_examine(path, &found);
	CHECK(strcmp(found.interpreter, "/bin/sh") == 0, "interpreter is '%s'", found.interpreter);
	CHECK(!found.is_elf, "a script is no program");
	close(fd);
	unlink(path);
}

/* This program's file, with bytes changed and its end cut off. */
static void damaged_files(void)
{
	static unsigned char image[1 << 20], damaged[1 << 20];
	char path[] = "/tmp/hakmem-elf-XXXXXX";
	int self = open("/proc/self/exe", O_RDONLY), fd = mkstemp(path);
	ssize_t size = read(self, image, sizeof(image));
	uint64_t rng = 1;
	REQUIRE(size > 4096 && fd >= 0, "no file to damage");
	for (unsigned i = 0; i < test_scaled(300, 50); i++) {
		size_t n = i % 4 == 0 ? (size_t)size : 3 + test_random(&rng) % (size_t)(size - 3);
		memcpy(damaged, image, n);
		for (unsigned k = 0; k < 1 + test_random(&rng) % 20; k++) {
			/* The headers decide most. */
			size_t at = test_random(&rng) % (k % 2 ? n : n < 1024 ? n : 1024);
			damaged[at] = (unsigned char)test_random(&rng);
		}
		REQUIRE(ftruncate(fd, 0) == 0 && pwrite(fd, damaged, n, 0) == (ssize_t)n, "write");
		elf_examine(path, &found);
	}
	close(self);
	close(fd);
	unlink(path);
}

/* Each section is a table of as many symbols as the file has room for, and all their names are
 * the file's whole rest: examined symbol by symbol, this takes hours. */
static void endless_names(void)
{
	enum { BYTES = 1 << 20, SECTIONS = 8192 };
	static unsigned char image[BYTES];
	char path[] = "/tmp/hakmem-elf-XXXXXX";
	const Elf64_Ehdr head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					       ELFDATA2LSB },
				  .e_machine = EM_X86_64,
				  .e_phentsize = sizeof(Elf64_Phdr),
				  .e_shentsize = sizeof(Elf64_Shdr),
				  .e_shoff = sizeof(head),
				  .e_shnum = SECTIONS };
	const Elf64_Shdr section = { .sh_type = SHT_SYMTAB, .sh_link = 1, .sh_size = BYTES };
	/* From where name 0x01010101 of a file of ones lies behind the sections. */
	const Elf64_Shdr strings = { .sh_offset = sizeof(head) + SECTIONS * sizeof(section) -
						  UINT64_C(0x01010101) };
	int fd = mkstemp(path);
	memset(image, 1, sizeof(image));
	memcpy(image, &head, sizeof(head));
	for (unsigned i = 0; i < SECTIONS; i++)
		memcpy(image + sizeof(head) + i * sizeof(section), i == 1 ? &strings : &section,
		       sizeof(section));
	REQUIRE(fd >= 0 && write(fd, image, sizeof(image)) == BYTES, "no file");
	elf_examine(path, &found);
	CHECK(found.is_elf && !found.defines_malloc, "it is a program, without malloc");
	close(fd);
	unlink(path);
}

static void names(void)
{
	CHECK(strcmp(allocator_of_library("/usr/lib/libjemalloc.so.2"), "jemalloc") == 0,
	      "jemalloc");
	CHECK(allocator_of_library("/usr/lib/libc.so.6") == NULL, "libc");
}

static const struct test_case cases[] = {
	{ "this_program", this_program },
	{ "scripts", scripts },
	{ "damaged_files", damaged_files },
	{ "endless_names", endless_names },
	{ "names", names },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
