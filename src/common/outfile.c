#include "common/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/diag.h"

HAK_STATIC_ASSERT(OUTFILE_LINE_BYTES <= sizeof(((struct outfile *)0)->buf), "a line fits");

static void start(struct outfile *o, int fd)
{
	o->fd = fd;
	o->error = 0;
	o->written = 0;
	o->used = 0;
}

int outfile_create(struct outfile *o, const char *path)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path,
			      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			      S_IRUSR | S_IWUSR);
	start(o, fd);
	return fd < 0 ? -errno : 0;
}

void outfile_stderr(struct outfile *o)
{
	start(o, STDERR_FILENO);
}

static void flush(struct outfile *o)
{
	size_t done = 0;
	while (o->error == 0 && done < o->used) {
		ssize_t n = syscall(SYS_write, o->fd, o->buf + done, o->used - done);
		if (n < 0 && errno != EINTR)
			o->error = -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	o->written += (int64_t)done;
	o->used = 0;
}

void outfile_printf(struct outfile *o, const char *fmt, ...)
{
	char line[OUTFILE_LINE_BYTES];
	struct text t;
	size_t length;
	va_list ap;
	text_init(&t, line, sizeof(line));
	va_start(ap, fmt);
	text_vprintf(&t, fmt, ap);
	va_end(ap);
	length = t.length < sizeof(line) ? t.length : sizeof(line) - 1;
	if (o->used + length > sizeof(o->buf))
		flush(o);
	memcpy(o->buf + o->used, line, length);
	o->used += length;
}

void outfile_copy(struct outfile *o, const char *path)
{
	ssize_t n;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	flush(o);
	while (fd >= 0 && (n = syscall(SYS_read, fd, o->buf, sizeof(o->buf))) > 0) {
		o->used = (size_t)n;
		flush(o);
	}
	if (fd >= 0)
		syscall(SYS_close, fd);
}

int outfile_close(struct outfile *o)
{
	flush(o);
	if (o->fd != STDERR_FILENO)
		syscall(SYS_close, o->fd);
	return o->error;
}
