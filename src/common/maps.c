#include "common/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE_BYTES = 1536 };

static const char *parse_hex(const char *s, uintptr_t *out)
{
	*out = 0;
	for (;; s++) {
		unsigned digit = *s >= '0' && *s <= '9'   ? (unsigned)(*s - '0')
				 : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a') + 10
							  : 16;
		if (digit == 16)
			return s;
		*out = *out << 4 | digit;
	}
}

/* "begin-end perms offset dev inode path" */
static bool parse_line(const char *line, struct mapping *m)
{
	const char *s = parse_hex(line, &m->begin);
	if (*s != '-')
		return false;
	s = parse_hex(s + 1, &m->end);
	if (*s != ' ')
		return false;
	s = strchr(s + 1, ' '); /* behind the permissions */
	if (s == NULL)
		return false;
	s = parse_hex(s + 1, &m->offset);
	m->path = strchr(s, '/');
	return true;
}

void maps_each(char *buf, size_t size, void (*visit)(const struct mapping *m, void *arg), void *arg)
{
	int saved = errno;
	size_t have = 0;
	bool too_long = false; /* the line whose rest comes next */
	ssize_t n;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = syscall(SYS_read, fd, buf + have, size - 1 - have)) > 0) {
		char *line = buf, *end;
		struct mapping m;
		have += (size_t)n;
		buf[have] = '\0';
		for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			*end = '\0';
			if (!too_long && parse_line(line, &m))
				visit(&m, arg);
			too_long = false;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == size - 1) {
			too_long = true;
			have = 0;
		}
	}
	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = saved;
}

struct module_search {
	uintptr_t addr, base;
	uintptr_t file_base; /* of the file of the lines being read */
	char *path;
	size_t path_bytes;
	bool found;
};

static void search_module(const struct mapping *m, void *arg)
{
	struct module_search *search = arg;
	if (m->path != NULL && m->offset == 0)
		search->file_base = m->begin;
	if (m->path == NULL || search->addr < m->begin || search->addr >= m->end ||
	    strlen(m->path) >= search->path_bytes)
		return;
	memcpy(search->path, m->path, strlen(m->path) + 1);
	search->base = search->file_base;
	search->found = true;
}

bool maps_module_of(uintptr_t addr, uintptr_t *base, char *path, size_t path_bytes)
{
	struct module_search search = { .addr = addr, .path = path, .path_bytes = path_bytes };
	char buf[LINE_BYTES];
	maps_each(buf, sizeof(buf), search_module, &search);
	*base = search.base;
	return search.found;
}
