#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

enum { FIRST_BYTES = 65536, MODE = 0644 };

/* All that fd has, while it is no more than `max`. NULL and errno: it fails. */
static char *read_all(int fd, size_t max, size_t *length)
{
	size_t size = FIRST_BYTES;
	char *buf = malloc(size);
	*length = 0;
	while (buf != NULL) {
		ssize_t n = read(fd, buf + *length, size - 1 - *length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (*length += (size_t)n) > max) {
			errno = n > 0 ? EFBIG : errno;
			if (n != 0) {
				free(buf);
				return NULL;
			}
			buf[*length] = '\0';
			return buf;
		}
		if (*length == size - 1) {
			char *larger = realloc(buf, size *= 2);
			if (larger == NULL)
				free(buf);
			buf = larger;
		}
	}
	return NULL;
}

char *file_read(const char *path, size_t max, size_t *length)
{
	/* O_NONBLOCK: a pipe without a writer must not make us wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	bool plain = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (plain)
		text = read_all(fd, max, length);
	if (text == NULL)
		complain("%s: %s", path,
			 fd >= 0 && !plain ? "it is no plain file" : strerror(errno));
	if (fd >= 0)
		close(fd);
	return text;
}

bool file_begin(struct new_file *f, const char *path)
{
	struct stat st;
	int fd = -1;
	*f = (struct new_file){ .path = path };
	/* Not in the place of a device. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		complain("%s: it is no plain file", path);
		return false;
	}
	if (asprintf(&f->beside, "%s.XXXXXX", path) < 0)
		f->beside = NULL;
	else
		fd = mkstemp(f->beside);
	if (fd >= 0 && fchmod(fd, MODE) == 0)
		f->out = fdopen(fd, "w");
	if (f->out != NULL)
		return true;
	complain("%s: %s", path, strerror(errno));
	if (fd >= 0) {
		close(fd);
		unlink(f->beside);
	}
	free(f->beside);
	return false;
}

bool file_end(struct new_file *f)
{
	bool ok = !ferror(f->out);
	ok = fclose(f->out) == 0 && ok && rename(f->beside, f->path) == 0;
	if (!ok) {
		complain("%s: %s", f->path, strerror(errno));
		unlink(f->beside);
	}
	free(f->beside);
	return ok;
}

void file_cancel(struct new_file *f)
{
	fclose(f->out);
	unlink(f->beside);
	free(f->beside);
}
