/* The main() of replays: each argument is an input, or a directory of inputs; without any, or
 * for "-", the input is standard input. Ends well if nothing was found, and there was an input.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { MAX_INPUT_BYTES = 1 << 20 };

static unsigned replayed;

static void replay_fd(int fd)
{
	static uint8_t buf[MAX_INPUT_BYTES];
	uint8_t *exact;
	size_t n = 0;
	ssize_t got;
	while ((got = read(fd, buf + n, sizeof(buf) - n)) > 0)
		n += (size_t)got;
	/* Of its own size, so that a sanitizer sees what is read behind it. */
	exact = malloc(n > 0 ? n : 1);
	if (exact == NULL)
		exit(1);
	memcpy(exact, buf, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	replayed++;
}

static void replay(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	replay_fd(fd);
	close(fd);
}

static void replay_dir(const char *dir)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			replay(path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		replay_fd(STDIN_FILENO);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		if (strcmp(argv[i], "-") == 0)
			replay_fd(STDIN_FILENO);
		else if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			replay_dir(argv[i]);
		else
			replay(argv[i]);
	}
	fprintf(stderr, "%u inputs replayed, nothing found\n", replayed);
	return replayed > 0 ? 0 : 1;
}
