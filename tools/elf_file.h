/* What a program file is, read from its ELF headers without running it. Any file may
 * be given: nothing in it is trusted. */
#ifndef HAKMEM_TOOLS_ELF_FILE_H
#define HAKMEM_TOOLS_ELF_FILE_H

#include <stdbool.h>
#include <stdint.h>

enum { ELF_TEXT_BYTES = 256 };

struct elf_file {
	bool readable;
	bool is_elf;         /* of 64 bits, in this machine's byte order */
	bool is_dynamic;     /* has a dynamic loader: LD_PRELOAD works */
	bool defines_malloc; /* malloc is among its own dynamic symbols */
	bool set_id;         /* setuid, setgid or file capabilities: LD_PRELOAD is ignored */
	uint16_t machine;    /* EM_... */
	char interpreter[ELF_TEXT_BYTES];     /* of a script that begins with #! */
	char needs_allocator[ELF_TEXT_BYTES]; /* a known allocator that it is linked with */
	char own_allocator[ELF_TEXT_BYTES];   /* one whose symbols it has inside */
};

void elf_examine(const char *path, struct elf_file *out);

/* "x86_64", "aarch64", ... */
const char *elf_machine_name(uint16_t machine);

/* Is the last part of a library's path that of a known allocator? Its name, or NULL. */
const char *allocator_of_library(const char *path);

/* The file that `name` means to execvp(): found in PATH if it has no slash. */
bool program_find(const char *name, char *path, unsigned size);

#endif
