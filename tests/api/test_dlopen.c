/*
 * libhakmem.so loaded into a running program as a plugin's dependency would be:
 * dlopen with RTLD_LOCAL while threads run, used by its own names, closed. It
 * must fit into the static TLS that is left, and stay mapped after dlclose.
 *
 * Arguments: -- PATH-OF-LIBHAKMEM.SO
 */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>

#include "testing.h"

struct hak_names {
	const char *(*version)(void);
	void *(*malloc)(size_t);
	void *(*zalloc)(size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	size_t (*usable_size)(const void *);
	size_t (*purge)(void);
};

static struct hak_names volatile hak;
static const char *library_path;
static void *library;

static void *find(const char *name)
{
	void *p = dlsym(library, name);

	REQUIRE(p, "dlsym(%s): %s", name, dlerror());
	return p;
}

static void load_names(void)
{
	struct hak_names n;
	void *p;

#define LOAD(member, name)                                                   \
	do {                                                                 \
		p = find(name);                                              \
		memcpy(&n.member, &p, sizeof(p));                            \
		hak.member = n.member;                                       \
	} while (0)
	LOAD(version, "hak_version");
	LOAD(malloc, "hak_malloc");
	LOAD(zalloc, "hak_zalloc");
	LOAD(realloc, "hak_realloc");
	LOAD(free, "hak_free");
	LOAD(usable_size, "hak_usable_size");
	LOAD(purge, "hak_purge");
#undef LOAD
}

static void work_out(unsigned rounds, uint64_t seed)
{
	enum { SLOTS = 64 };
	char *p[SLOTS];
	size_t n[SLOTS];
	unsigned r, i;

	memset(p, 0, sizeof(p));
	memset(n, 0, sizeof(n));
	for (r = 0; r < rounds; r++) {
		uint64_t x = test_random(&seed);

		i = (unsigned)(x % SLOTS);
		if (p[i] && !CHECK(test_verify(p[i], n[i], i) == n[i],
				   "block of %zu changed", n[i]))
			return;
		hak.free(p[i]);
		n[i] = (x >> 20) % ((x >> 50) % 100 == 0 ? 200000 : 2000);
		p[i] = hak.malloc(n[i]);
		if (!CHECK(p[i] && hak.usable_size(p[i]) >= n[i],
			   "hak_malloc(%zu) = %p", n[i], (void *)p[i]))
			return;
		test_fill(p[i], n[i], i);
		if (r % 16 == 0) {
			n[i] = n[i] * 2 + 1;
			p[i] = hak.realloc(p[i], n[i]);
			REQUIRE(p[i], "hak_realloc(%zu) failed", n[i]);
			test_fill(p[i], n[i], i);
		}
	}
	for (i = 0; i < SLOTS; i++)
		hak.free(p[i]);
}

static int go, stop;

/* Started before the library is loaded: its TLS appears under it. */
static void *old_thread(void *arg)
{
	free(malloc(100));
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		usleep(1000);
	work_out(test_scaled(20000, 2000), (uint64_t)(uintptr_t)arg);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		usleep(1000);
	work_out(test_scaled(20000, 2000), (uint64_t)(uintptr_t)arg + 9);
	return NULL;
}

static void *new_thread(void *arg)
{
	work_out(test_scaled(20000, 2000), (uint64_t)(uintptr_t)arg);
	return NULL;
}

static void *(*volatile libc_malloc)(size_t) = malloc;
static void (*volatile libc_free)(void *) = free;

static void case_load_use_close(void)
{
	pthread_t old[3], young[3];
	char *kept, *libc_block;
	unsigned i;

	libc_block = libc_malloc(5000);
	REQUIRE(libc_block, "malloc failed");
	test_fill(libc_block, 5000, 3);
	for (i = 0; i < 3; i++)
		REQUIRE(pthread_create(&old[i], NULL, old_thread,
				       (void *)(uintptr_t)(i + 1)) == 0,
			"pthread_create failed");
	library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
	REQUIRE(library, "dlopen: %s", dlerror());
	load_names();
	CHECK(dlsym(RTLD_DEFAULT, "hak_malloc") == NULL,
	      "RTLD_LOCAL: hak_malloc is visible in the program");
	CHECK(strchr(hak.version(), '.') != NULL, "version \"%s\"",
	      hak.version());
	kept = hak.malloc(3000);
	REQUIRE(kept, "hak_malloc failed");
	test_fill(kept, 3000, 1);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 3; i++)
		REQUIRE(pthread_create(&young[i], NULL, new_thread,
				       (void *)(uintptr_t)(i + 50)) == 0,
			"pthread_create failed");
	work_out(test_scaled(20000, 2000), 99);
	for (i = 0; i < 3; i++)
		pthread_join(young[i], NULL);

	/* Marked nodelete: threads still have caches and destructors in it. */
	CHECK_I64(dlclose(library), 0, "dlclose");
	CHECK_U64(test_verify(kept, 3000, 1), 3000, "block after dlclose");
	hak.free(kept);
	work_out(2000, 100);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 3; i++)
		pthread_join(old[i], NULL);

	/* The program's own heap stayed the program's. */
	CHECK_U64(test_verify(libc_block, 5000, 3), 5000, "libc block");
	libc_free(libc_block);
	libc_free(libc_malloc(100000));
}

static void case_load_again(void)
{
	unsigned i;

	for (i = 0; i < 20; i++) {
		library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
		REQUIRE(library, "dlopen %u: %s", i, dlerror());
		load_names();
		work_out(200, i);
		CHECK_I64(dlclose(library), 0, "dlclose");
	}
	library = dlopen(library_path, RTLD_NOW | RTLD_NOLOAD);
	CHECK(library != NULL, "gone after dlclose: it must be nodelete");
	if (library)
		dlclose(library);
}

struct tls_search {
	const char *path;
	size_t bytes;
	bool found;
};

static int tls_of_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct tls_search *s = arg;
	unsigned i;

	(void)size;
	if (!strstr(info->dlpi_name, "libhakmem"))
		return 0;
	s->found = true;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			s->bytes += info->dlpi_phdr[i].p_memsz;
	return 1;
}

static void case_static_tls(void)
{
	struct tls_search s = { library_path, 0, false };

	dl_iterate_phdr(tls_of_library, &s);
	CHECK(s.found, "%s is not among the loaded objects", library_path);
	CHECK(s.bytes <= 64, "static TLS: expected <= 64 bytes, found %zu",
	      s.bytes);
	test_say("static TLS: %zu bytes", s.bytes);
}

static const struct test_case cases[] = {
	{ "load_use_close", case_load_use_close },
	{ "load_again", case_load_again },
	{ "static_tls", case_static_tls },
};

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc - 1; i++)
		if (strcmp(argv[i], "--") == 0)
			library_path = argv[i + 1];
	if (!library_path)
		test_skip("no library given: -- PATH is missing");
	return TEST_MAIN(argc, argv, cases);
}
