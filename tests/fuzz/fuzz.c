#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

size_t fuzz_text(struct fuzz_input *in, char *buf, size_t size)
{
	size_t n = 0;
	while (in->left > 0) {
		char c = (char)fuzz_byte(in);
		if (c == (char)0xff)
			break;
		if (n + 1 < size)
			buf[n++] = c;
	}
	buf[n] = '\0';
	return n;
}

/* ---- findings */

static int error_fd = STDERR_FILENO;

/* Sanitizers report where the person sees it, too. */
extern void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

__attribute__((constructor)) static void keep_error_fd(void)
{
	error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	if (error_fd >= 0 && __sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)error_fd);
}

void fuzz_fail(const char *format, ...)
{
	char line[2048];
	va_list ap;
	int n;
	va_start(ap, format);
	n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	(void)!write(error_fd, line, (size_t)n);
	abort();
}

/* ---- files */

static char dir[256];
static pid_t dir_owner;

static void remove_dir(void)
{
	DIR *d = dir_owner == getpid() ? opendir(dir) : NULL;
	const struct dirent *entry;
	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL)
		unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	rmdir(dir);
}

const char *fuzz_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	if (dir[0] != '\0')
		return dir;
	if (tmp == NULL)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/hakmem-fuzz-XXXXXX", tmp);
	FUZZ_REQUIRE(mkdtemp(dir) != NULL, "%s: %s", dir, strerror(errno));
	dir_owner = getpid();
	atexit(remove_dir);
	return dir;
}

void fuzz_write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FUZZ_REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size, "%s: %s", path,
		     strerror(errno));
	close(fd);
}

/* ---- capture */

void fuzz_capture_begin(struct fuzz_capture *c, int fd)
{
	c->fd = fd;
	c->saved = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	c->file = memfd_create("said", MFD_CLOEXEC);
	FUZZ_REQUIRE(c->saved >= 0 && c->file >= 0 && dup2(c->file, fd) == fd, "capture: %s",
		     strerror(errno));
}

size_t fuzz_capture_end(struct fuzz_capture *c, char *buf, size_t size)
{
	off_t length;
	ssize_t n;
	dup2(c->saved, c->fd);
	close(c->saved);
	length = lseek(c->file, 0, SEEK_END);
	n = pread(c->file, buf, size - 1, 0);
	close(c->file);
	FUZZ_REQUIRE(length >= 0 && n >= 0, "what was said cannot be read: %s", strerror(errno));
	buf[n] = '\0';
	return (size_t)length;
}
