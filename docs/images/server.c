/* What the pictures show: a server of sessions in four phases. Sessions alone; with a cache; with
 * buffers; and when most of it is gone. Blocks go from thread to thread. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 60000, THREADS = 3, ROUND = 1500, PHASE_S = 9 };

static void *slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int phase;

__attribute__((noinline)) static void *copy_text(size_t n)
{
	char *p = malloc(n);
	memset(p, 1, n < 256 ? n : 256);
	return p;
}

__attribute__((noinline)) static void *session_new(unsigned r)
{
	return copy_text(64 + r % 400);
}

__attribute__((noinline)) static void *cache_insert(unsigned r)
{
	return copy_text(1000 + r % 3000);
}

__attribute__((noinline)) static void *buffer_read(unsigned r)
{
	return copy_text(16384 + r % 16000);
}

__attribute__((noinline)) static void *handle_upload(unsigned r)
{
	return buffer_read(r / 40);
}

__attribute__((noinline)) static void *handle_request(unsigned r)
{
	if (phase == 1 && r % 3 == 0)
		return cache_insert(r / 3);
	if (phase >= 2 && r % 40 == 0)
		return handle_upload(r);
	return session_new(r);
}

static void put(unsigned at, void *p)
{
	void *old;
	pthread_mutex_lock(&lock);
	old = slots[at];
	slots[at] = p;
	pthread_mutex_unlock(&lock);
	free(old);
}

static void *worker(void *arg)
{
	const struct timespec pause = { 0, 2000000 };
	unsigned r = (unsigned)(size_t)arg * 7919;
	for (;;) {
		for (int i = 0; i < ROUND; i++) {
			r = r * 1664525 + 1013904223;
			put((r >> 4) % (phase == 3 ? SLOTS / 6 : SLOTS), handle_request(r >> 8));
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int main(void)
{
	pthread_t t;
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&t, NULL, worker, (void *)(i + 1));
	for (phase = 0; phase < 4; phase++) {
		for (unsigned i = 0; phase == 3 && i < SLOTS; i++)
			if (i % 7)
				put(i, NULL);
		sleep(PHASE_S);
	}
	return 0;
}
