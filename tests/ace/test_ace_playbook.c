/* ace/ace_playbook.c and ace_file.c: the round trip, damage of every kind, and files that
 * must not be touched. In a folder of its own under the current one. */
#include <fcntl.h>
#include <sys/stat.h>

#include "ace/ace_file.h"
#include "ace/ace_playbook.h"
#include "sim.h"

static char folder[64], path[128];
static struct ace_playbook book, other;
static struct sim w;
static unsigned lines_used;

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "ace-playbook.%d", (int)getpid());
	REQUIRE(mkdir(folder, 0700) == 0, "no folder: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/book", folder);
}

static void clean(void)
{
	unlink(path);
	CHECK(rmdir(folder) == 0, "something is left in %s: %s", folder, strerror(errno));
}

static void write_file(const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	REQUIRE(fd >= 0 && write(fd, text, n) == (ssize_t)n, "cannot write %s", path);
	close(fd);
}

static size_t read_file(char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size);
	close(fd);
	REQUIRE(n >= 0, "cannot read %s", path);
	return (size_t)n;
}

static void used(const struct text *line)
{
	(void)line;
	lines_used++;
}

static void learn_something(void)
{
	sim_init(&w, 1, 20000);
	w.speed_ppm[HAK_KNOB_HUGE_PAGES][HUGE_PAGES_ALWAYS] = 1350000;
	for (unsigned n = 0; n < 600; n++)
		sim_step(&w);
	REQUIRE(w.value[HAK_KNOB_HUGE_PAGES][0] == HUGE_PAGES_ALWAYS, "nothing learnt");
}

static void loads(const char *expected)
{
	const char *wrong = ace_playbook_load(&book, path);
	CHECK(expected == NULL ? wrong == NULL : wrong != NULL && strcmp(wrong, expected) == 0,
	      "expected \"%s\", found \"%s\"", expected ? expected : "", wrong ? wrong : "");
}

/* The second run starts where the first ended. */
static void round_trip(void)
{
	struct ace_learner first;
	loads(NULL); /* not there */
	CHECK_U64(book.length, 0, "a playbook out of nothing");
	learn_something();
	first = w.ace.explorer.learners[HAK_KNOB_HUGE_PAGES];
	CHECK_I64(ace_playbook_save(&book, path, "prog.m1", &w.ace), 0, "save");
	loads(NULL);
	sim_init(&w, 2, 20000);
	CHECK(!ace_playbook_recall(&book, "prog.m2", &w.ace, used), "another key was used");
	CHECK(!ace_playbook_recall(&book, "prog.m", &w.ace, used), "a part of the key was enough");
	CHECK(ace_playbook_recall(&book, "prog.m1", &w.ace, used), "nothing known");
	CHECK(lines_used > 2, "%u lines used", lines_used);
	CHECK_I64(w.value[HAK_KNOB_HUGE_PAGES][0], HUGE_PAGES_ALWAYS, "setting in force");
	for (unsigned i = 0; i < 3; i++) {
		CHECK_I64(w.ace.explorer.learners[HAK_KNOB_HUGE_PAGES].ucb.weight[i],
			  first.ucb.weight[i], "weight");
		CHECK_I64(w.ace.explorer.learners[HAK_KNOB_HUGE_PAGES].ucb.reward[i],
			  first.ucb.reward[i], "reward");
	}
	/* Another program's lines stay, one's own are replaced. */
	CHECK_I64(ace_playbook_save(&book, path, "other.m1", &w.ace), 0, "save");
	loads(NULL);
	CHECK_I64(ace_playbook_save(&book, path, "prog.m1", &w.ace), 0, "save again");
	other = book;
	loads(NULL);
	CHECK_U64(book.length, other.length, "length after replacing");
	CHECK(ace_playbook_recall(&book, "other.m1", &w.ace, used), "the other program's are gone");
}

static void damage(void)
{
	static char text[ACE_PLAYBOOK_BYTES], copy[ACE_PLAYBOOK_BYTES];
	const size_t stride = test_scaled(16, 3);
	size_t n;
	learn_something();
	book.length = 0;
	ace_playbook_save(&book, path, "prog.m1", &w.ace);
	n = read_file(text, sizeof(text));
	for (size_t i = 0; i < n; i += 1 + i / stride) { /* a byte */
		memcpy(copy, text, n);
		copy[i] ^= 1;
		write_file(copy, n);
		CHECK(ace_playbook_load(&book, path) != NULL && book.length == 0, "byte %zu", i);
	}
	for (size_t i = 0; i < n; i += 1 + i / stride) { /* the end */
		write_file(text, i);
		CHECK(ace_playbook_load(&book, path) != NULL && book.length == 0, "length %zu", i);
	}
	write_file(text, n);
	loads(NULL);
}

/* Anything at all with a right checksum: it may be used, but nothing breaks. */
static void hostile_content(void)
{
	uint64_t rng = 1;
	learn_something();
	for (unsigned n = 0; n < test_scaled(2000, 200); n++) {
		static const char *const lines[] = {
			"adopt k.m1 huge_pages 77\n",
			"adopt k.m1 huge_pages\n",
			"adopt k.m1 \n",
			"\n",
			"learnt k.m1 huge_pages 9 1 1\n",
			"learnt k.m1 huge_pages 7 1 1\n",
			"learnt k.m1 huge_pages 1 99999999999999999999 1\n",
			"learnt k.m1 huge_pages 1 1000000000000000000 9223372036854775807\n",
			"adopt k.m1 tcache_capacity 8\n",
			"adopt k.m1 purge_delay_ms 2147483648\n"
		};
		book.length = 0;
		for (unsigned i = 0; i < 6; i++) {
			const char *l =
				lines[test_random(&rng) % (sizeof(lines) / sizeof(lines[0]))];
			memcpy(book.text + book.length, l, strlen(l));
			book.length += strlen(l);
		}
		book.text[test_random(&rng) % book.length] = (char)(32 + test_random(&rng) % 90);
		sim_init(&w, 1, 20000);
		ace_playbook_recall(&book, "k.m1", &w.ace, used);
		for (unsigned step = 0; step < 20; step++)
			sim_step(&w);
	}
}

/* Many programs: the file stays readable, the newest stay in it. */
static void never_too_long(void)
{
	char key[ACE_KEY_BYTES];
	learn_something();
	book.length = 0;
	for (unsigned n = 0; n < 100; n++) {
		snprintf(key, sizeof(key), "program%u.m1.t1.r0", n);
		REQUIRE(ace_playbook_save(&book, path, key, &w.ace) == 0, "save %u", n);
		loads(NULL);
		CHECK(ace_playbook_recall(&book, key, &w.ace, used), "program %u is not in it", n);
	}
	CHECK(!ace_playbook_recall(&book, "program0.m1.t1.r0", &w.ace, used),
	      "nothing was dropped");
}

static void unsafe_files(void)
{
	char target[128];
	struct stat st;
	snprintf(target, sizeof(target), "%s/target", folder);
	learn_something();
	book.length = 0;
	ace_playbook_save(&book, path, "prog.m1", &w.ace);

	rename(path, target);
	REQUIRE(symlink("target", path) == 0, "no link");
	loads("it is a symbolic link");
	CHECK_I64(ace_playbook_save(&book, path, "prog.m1", &w.ace), 0, "save over a link");
	CHECK(lstat(path, &st) == 0 && S_ISREG(st.st_mode), "the link was followed");
	unlink(target);

	chmod(path, 0622);
	loads("it belongs to another user, or others may write it");
	unlink(path);
	REQUIRE(mkfifo(path, 0600) == 0, "no pipe");
	loads("it cannot be read"); /* and does not wait */
	unlink(path);
	REQUIRE(mkdir(path, 0700) == 0, "no folder");
	loads("it cannot be read");
	rmdir(path);
	write_file("", 0);
	REQUIRE(truncate(path, 100 << 20) == 0, "no large file");
	loads("it is too long");
	if (geteuid() == 0 && chown(path, 65534, (gid_t)-1) == 0)
		loads("it belongs to another user, or others may write it");
	unlink(path);
}

static void key_of_any_name(void)
{
	char key[ACE_KEY_BYTES];
	struct ace_sample s = { .live_bytes = 5 << 20, .heaps = 9, .backlog = 1 };
	ace_playbook_key(key, "a b\n\xff/..", &s);
	CHECK(strcmp(key, "a_b___...m11.t3.r1") == 0, "key \"%s\"", key);
	ace_playbook_key(key, "an-extremely-long-program-name-that-nobody-would-want-to-type-twice",
			 &s);
	CHECK(strlen(key) < ACE_KEY_BYTES && strstr(key, ".m11.t3.r1") != NULL, "key \"%s\"", key);
}

static void advice(void)
{
	char buf[256];
	struct text t;
	sim_init(&w, 1, 0);
	text_init(&t, buf, sizeof(buf));
	ace_advise(&t, &w.ace);
	CHECK(t.length == 0, "advice on defaults: %s", buf);
	ace_explorer_adopt(&w.ace.explorer, &w.ace.settings, HAK_KNOB_HUGE_PAGES,
			   HUGE_PAGES_ALWAYS);
	ace_explorer_adopt(&w.ace.explorer, &w.ace.settings, HAK_KNOB_PURGE_DELAY_MS, 1);
	ace_advise(&t, &w.ace);
	CHECK(strcmp(buf, "HAKMEM_PURGE_DELAY_MS=10 HAKMEM_HUGE_PAGES=always") == 0,
	      "advice \"%s\"", buf);
}

/* A trace's file: ours until somebody closes it and the number is another file's. */
static void sink_is_careful(void)
{
	static struct ace_sink sink;
	char buf[64], found[64] = "";
	struct text t;
	int fd;
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "a line\n");
	CHECK_I64(ace_sink_open(&sink, path), 0, "open");
	ace_sink_add(&sink, &t);
	ace_sink_flush(&sink);
	CHECK(read_file(found, sizeof(found)) == 7 && memcmp(found, "a line\n", 7) == 0, "written");
	fd = open("/dev/null", O_RDWR);
	dup2(fd, sink.fd); /* the program's file now */
	ace_sink_add(&sink, &t);
	ace_sink_flush(&sink);
	CHECK_I64(sink.fd, -1, "the sink after its file went away");
	close(fd);
	unlink(path);
	REQUIRE(symlink("nowhere", path) == 0, "no link");
	CHECK_I64(ace_sink_open(&sink, path), -ELOOP, "open of a link");
	unlink(path);
}

static const struct test_case cases[] = {
	{ "round_trip", round_trip },
	{ "damage", damage },
	{ "hostile_content", hostile_content },
	{ "never_too_long", never_too_long },
	{ "unsafe_files", unsafe_files },
	{ "key_of_any_name", key_of_any_name },
	{ "advice", advice },
	{ "sink_is_careful", sink_is_careful },
};

int main(int argc, char **argv)
{
	int status;
	make_folder();
	status = TEST_MAIN(argc, argv, cases);
	clean();
	return status | (test_failures > 0);
}
