/* Stand-ins for the standard I/O that cpu_features calls.
 *
 * Some builds of that library print a debug line on standard output while they
 * read the CPU's features. Inside an allocator that would write into the
 * program's output, and call malloc from malloc's own start-up. The build
 * renames those references (cmake/HakmemCpuFeatures.cmake) to the names below,
 * which do nothing. Nothing else calls them.
 */
#include <stddef.h>

extern void *hak_cf_stdout;
int hak_cf_puts(const char *text);
int hak_cf_printf(const char *format, ...);
int hak_cf_printf_chk(int flag, const char *format, ...);
int hak_cf_fflush(void *stream);

void *hak_cf_stdout = NULL;

int hak_cf_puts(const char *text)
{
	(void)text;
	return 0;
}

int hak_cf_printf(const char *format, ...)
{
	(void)format;
	return 0;
}

int hak_cf_printf_chk(int flag, const char *format, ...)
{
	(void)flag;
	(void)format;
	return 0;
}

int hak_cf_fflush(void *stream)
{
	(void)stream;
	return 0;
}
