#include "ace/ace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PATH_BYTES = 1200,
	OWNER_ONLY = 0600,
	WRITABLE_BY_OTHERS = 022,
	/* Above what programs use that count on the lowest number being free. */
	LOW_DESCRIPTORS = 100,
};

static long result(long rc)
{
	return rc < 0 ? -errno : rc;
}

static int open_file(const char *path, int flags)
{
	/* O_NONBLOCK: a pipe must not make us wait. */
	return (int)result(syscall(SYS_openat, AT_FDCWD, path,
				   flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, OWNER_ONLY));
}

static void close_file(int fd)
{
	syscall(SYS_close, fd);
}

/* 0 if the open file may be trusted. */
static int check_file(int fd, struct stat *st)
{
	if (fstat(fd, st) != 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	if (st->st_uid != geteuid() || (st->st_mode & WRITABLE_BY_OTHERS) != 0)
		return -EPERM;
	return 0;
}

static int write_all(int fd, const char *p, size_t left)
{
	while (left > 0) {
		long n = result(syscall(SYS_write, fd, p, left));
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : (int)n;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

static long read_all(int fd, char *buf, size_t size)
{
	size_t n = 0;
	for (;;) {
		long got;
		if (n == size)
			return -EFBIG;
		got = result(syscall(SYS_read, fd, buf + n, size - n));
		if (got == -EINTR)
			continue;
		if (got < 0)
			return got;
		if (got == 0)
			return (long)n;
		n += (size_t)got;
	}
}

long ace_file_read(const char *path, char *buf, size_t size)
{
	int saved = errno;
	struct stat st;
	long n;
	int fd = open_file(path, O_RDONLY);
	if (fd < 0) {
		errno = saved;
		return fd;
	}
	n = check_file(fd, &st);
	if (n == 0)
		n = read_all(fd, buf, size);
	close_file(fd);
	errno = saved;
	return n;
}

int ace_file_replace(const char *path, const char *text, size_t length)
{
	int saved = errno, err, fd;
	char buf[PATH_BYTES];
	struct text beside;
	text_init(&beside, buf, sizeof(buf));
	text_printf(&beside, "%s.%d.new", path, (int)getpid());
	if (beside.length >= sizeof(buf))
		return -ENAMETOOLONG;
	fd = open_file(buf, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0) {
		errno = saved;
		return fd;
	}
	err = write_all(fd, text, length);
	close_file(fd);
	if (err == 0)
		err = (int)result(syscall(SYS_renameat2, AT_FDCWD, buf, AT_FDCWD, path, 0));
	if (err != 0)
		syscall(SYS_unlinkat, AT_FDCWD, buf, 0);
	errno = saved;
	return err;
}

/* ---- the sink */

int ace_sink_open(struct ace_sink *s, const char *path)
{
	int saved = errno, err, fd, high;
	char buf[PATH_BYTES];
	struct text name;
	struct stat st;
	s->fd = -1;
	s->used = 0;
	text_init(&name, buf, sizeof(buf));
	text_path(&name, path);
	if (name.length >= sizeof(buf))
		return -ENAMETOOLONG;
	fd = open_file(buf, O_WRONLY | O_CREAT);
	if (fd < 0) {
		errno = saved;
		return fd;
	}
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOW_DESCRIPTORS);
	if (high >= 0) {
		close_file(fd);
		fd = high;
	}
	err = check_file(fd, &st);
	if (err == 0)
		err = (int)result(ftruncate(fd, 0));
	if (err != 0) {
		close_file(fd);
		fd = -1;
	}
	s->fd = fd;
	s->device = st.st_dev;
	s->inode = st.st_ino;
	errno = saved;
	return err;
}

void ace_sink_drop(struct ace_sink *s)
{
	s->fd = -1; /* not closed: it may be somebody else's by now */
	s->used = 0;
}

void ace_sink_flush(struct ace_sink *s)
{
	int saved = errno;
	struct stat st;
	if (s->fd < 0 || s->used == 0)
		return;
	if (fstat(s->fd, &st) != 0 || st.st_dev != s->device || st.st_ino != s->inode ||
	    write_all(s->fd, s->buf, s->used) != 0)
		ace_sink_drop(s);
	s->used = 0;
	errno = saved;
}

void ace_sink_add(struct ace_sink *s, const struct text *t)
{
	size_t length = t->length < t->size ? t->length : t->size - 1;
	if (s->fd < 0)
		return;
	if (length > sizeof(s->buf) - s->used)
		ace_sink_flush(s);
	if (s->fd < 0 || length > sizeof(s->buf))
		return;
	memcpy(s->buf + s->used, t->buf, length);
	s->used += length;
}
