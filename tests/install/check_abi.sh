#!/usr/bin/env bash
# What libhakmem.so promises as a file: its dynamic symbols are exactly those of
# exported_symbols.txt, static TLS is small enough for dlopen, the SONAME is right,
# and the dynamic section asks for what the design needs.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

nm=${NM:-nm}
readelf=${READELF:-readelf}
max_tls_bytes=64

# The version node itself shows up as an absolute symbol: not a name to call.
"$nm" -D --defined-only "$lib" | awk '$2 != "A" { print $NF }' | LC_ALL=C sort >"$work/found"
grep -v '^#' "$source/tests/install/exported_symbols.txt" >"$work/expected"
if diff -u "$work/expected" "$work/found"; then
	echo "dynamic symbols: $(wc -l <"$work/found"), as listed"
else
	wrong "dynamic symbols differ from tests/install/exported_symbols.txt (+ found, - expected)"
fi

tls_hex=$("$readelf" -lW "$lib" | awk '$1 == "TLS" { print $6 }')
tls_bytes=$((${tls_hex:-0}))
if ((tls_bytes <= max_tls_bytes)); then
	echo "static TLS: $tls_bytes bytes, at most $max_tls_bytes"
else
	wrong "static TLS is $tls_bytes bytes; more than $max_tls_bytes can make dlopen fail"
fi

"$readelf" -dW "$lib" >"$work/dynamic"
soname=$(sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p' "$work/dynamic")
if [[ $soname == libhakmem.so.0 ]]; then
	echo "SONAME: $soname"
else
	wrong "SONAME is '$soname', libhakmem.so.0 is meant"
fi

for flag in NOW NODELETE; do
	grep -Eq "\(FLAGS(_1)?\).*\<$flag\>" "$work/dynamic" || wrong "the dynamic section lacks $flag"
done
! grep -q TEXTREL "$work/dynamic" || wrong "the library has text relocations"
"$readelf" -lW "$lib" | grep GNU_STACK | grep -q 'RW ' || wrong "the stack is executable"
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' "$work/dynamic" | tr '\n' ' ')
echo "needs: $needed"
for one in $needed; do
	[[ $one =~ ^(libc\.so\.6|ld-linux.*)$ ]] || wrong "needs $one; only the C library is allowed"
done

echo "size: $(stat -Lc %s "$lib") bytes"
exit $failed
