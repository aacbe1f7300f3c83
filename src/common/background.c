#include "common/background.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/inline.h"
#include "common/os.h"
#include "common/tcache.h"
#include "common/thread.h"

static void give_up_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	syscall(SYS_capset, &header, none);
}

static int background_main(void *arg)
{
	void (*fn)(void) = (void (*)(void))(uintptr_t)arg;
	/* All of it: in a forked child this memory is that of the parent's thread. The
	 * thread never allocates. */
	thread_state = (struct thread_local_state){ .tcache = &tcache_dead };
	give_up_capabilities();
	fn();
	return 0;
}

#if HAK_SANITIZED
/* A sanitizer keeps state of its own per thread and must know of each. Its builds do
 * not serve the program's malloc, so pthread_create() does no harm there. */
static void *background_pthread(void *arg)
{
	background_main(arg);
	return NULL;
}

int background_start(void (*fn)(void))
{
	pthread_t thread;
	int err;
	if (os_fault_due(OS_THREAD))
		return -EAGAIN;
	err = pthread_create(&thread, NULL, background_pthread, (void *)(uintptr_t)fn);
	if (err == 0)
		pthread_detach(thread);
	return -err;
}
#else
enum {
	STACK_BYTES = 64 * 1024,
	/* Kept free on both sides of what is reached from the thread pointer: the C
	 * library's own record of a thread is there, and is zeros here. */
	TLS_MARGIN_BYTES = 4096,
};

static void *memory; /* stack and thread-local storage; reused by a forked child */

/* Where, from the thread pointer, the variables lie that the thread uses. */
struct tls_extent {
	intptr_t low, high;
};

static void tls_extend(struct tls_extent *e, const void *variable, size_t bytes)
{
	intptr_t offset = (intptr_t)((uintptr_t)variable - hak_thread_pointer());
	if (offset < e->low)
		e->low = offset;
	if (offset + (intptr_t)bytes > e->high)
		e->high = offset + (intptr_t)bytes;
}

static struct tls_extent tls_extent(void)
{
	struct tls_extent e = { 0, 0 };
	tls_extend(&e, &thread_state, sizeof(thread_state));
	tls_extend(&e, &errno, sizeof(errno));
	e.low = (intptr_t)align_down((uintptr_t)(e.low - TLS_MARGIN_BYTES), 64);
	e.high = (intptr_t)align_up((uintptr_t)(e.high + TLS_MARGIN_BYTES), 64);
	return e;
}

int background_start(void (*fn)(void))
{
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			  CLONE_SYSVSEM | CLONE_SETTLS;
	struct tls_extent e = tls_extent();
	uintptr_t tp;
	int tid;

	if (memory == NULL)
		memory = os_map(align_up(STACK_BYTES + (size_t)(e.high - e.low), os_page_bytes()),
				os_page_bytes());
	if (memory == NULL)
		return -ENOMEM;
	if (os_fault_due(OS_THREAD))
		return -EAGAIN;
	tp = (uintptr_t)memory + STACK_BYTES - (uintptr_t)e.low;
	hak_thread_pointer_init(tp);
	tid = clone(background_main, (char *)memory + STACK_BYTES, flags, (void *)(uintptr_t)fn,
		    NULL, (void *)tp, NULL);
	return tid < 0 ? -errno : 0;
}
#endif
