#include "library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"

static bool take(const char *candidate, char *path, unsigned size)
{
	char full[PATH_MAX];
	return realpath(candidate, full) != NULL && access(full, R_OK) == 0 &&
	       snprintf(path, size, "%s", full) < (int)size;
}

bool library_find(const char *wanted, char *path, unsigned size)
{
	/* From the directory of the command. */
	static const char *const places[] = { "../libhakmem.so",
					      HAKMEM_LIBDIR_FROM_BIN "/libhakmem.so",
					      HAKMEM_LIBDIR_FROM_BIN "/libhakmem.so.0" };
	char exe[PATH_MAX], candidate[PATH_MAX + 64];
	ssize_t n;

	if (wanted == NULL)
		wanted = getenv("HAKMEM_LIBRARY");
	if (wanted != NULL && wanted[0] != '\0') {
		if (take(wanted, path, size))
			return true;
		complain("%s: no such library", wanted);
		return false;
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (strrchr(exe, '/') != NULL)
		*strrchr(exe, '/') = '\0';
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(candidate, sizeof(candidate), "%s/%s", exe, places[i]);
		if (take(candidate, path, size))
			return true;
	}
	complain("libhakmem.so is not beside this command (%s) nor in %s/%s: name it with "
		 "--library or HAKMEM_LIBRARY",
		 exe, exe, HAKMEM_LIBDIR_FROM_BIN);
	return false;
}
