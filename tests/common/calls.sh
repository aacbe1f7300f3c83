#!/usr/bin/env bash
# Nothing below the public names calls malloc or its family, nor what of the C library does or may: of the
# allocator's objects only those of api_* know such names. So neither a slow path nor a report allocates.
#
# usage: calls.sh OBJECT;OBJECT;...
set -uo pipefail
IFS=';' read -r -a objects <<<"$1"
existing=()
for object in "${objects[@]}"; do
	[[ $object == */api_* || ! -f $object ]] || existing+=("$object")
done
((${#existing[@]} > 60)) || {
	echo "   FAILED: only ${#existing[@]} objects of ${#objects[@]} are there"
	exit 1
}

memory='(m|c|re)alloc|reallocarray|free|cfree|aligned_alloc|(posix_)?memalign|p?valloc|_Zn[wa].*|_Zd[la].*'
text='(__)?(v?[fds]?n?|va|a)s?printf(_chk)?|strn?dup|getline|f?puts|f?putc(har)?|fwrite|fflush|f(d|re)?open|fclose|perror|open_memstream'
others='dl(sym|open|addr|_iterate_phdr)|backtrace.*|pthread_create|opendir|scandir|qsort|getenv|setenv|setlocale|atexit'
offenders=$("$NM" -A -u "${existing[@]}" | grep -E "[: ](U|w) ($memory|$text|$others)\$" | sed 's|.*/src/||')
[[ -z $offenders ]] || {
	echo "   FAILED: what may allocate is called:"
	echo "$offenders"
	exit 1
}
echo "   ${#existing[@]} objects"
