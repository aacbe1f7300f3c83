#!/usr/bin/env bash
# `hakmem run --report` of a program, and what a browser makes of the report.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

hakmem=${HAKMEM_COMMAND:?run by CTest, which names the command}
export HAKMEM_LIBRARY=$lib XDG_RUNTIME_DIR=$work
node_modules=${HAKMEM_NODE_MODULES:?}
runner=
clean_up() { kill $runner 2>/dev/null || true; }

cat >"$work/<b>victim.c" <<'C'
#include <stdlib.h>
#include <unistd.h>
void *volatile kept[4000];
__attribute__((noinline)) void grow_the_heap(int n) { kept[n] = malloc(100 + n % 30 * 100); }
int main(void)
{
	for (int i = 0; i < 40; i++) { /* 4 s */
		for (int k = 0; k < 100; k++) {
			grow_the_heap(i * 100 + k);
			if (k % 4)
				free(kept[i * 100 + k]);
		}
		usleep(100000);
	}
	return 0;
}
C
"${CC:-cc}" -O1 -g -fno-omit-frame-pointer -o "$work/<b>victim" "$work/<b>victim.c"
cd "$work"
"$hakmem" run --profile=1000 --report report.html -- "./<b>victim" 2>said &
runner=$!
victim=$(process_of victim)
[[ -n $victim ]] || fail "no process shows a page: $(cat said)"
sleep 1
"$hakmem" ctl "$victim" set bundle_width 64 >/dev/null
"$hakmem" report "$victim" >live.html
wait "$runner" || fail "hakmem run: $(cat said)"
runner=
grep -q 'report: report.html' said || fail "the report is not named: $(cat said)"
for report in live.html report.html; do
	grep -q '<h1>&#60;b&#62;victim</h1>' "$report" || fail "$report: no title, or one that is not escaped"
	! grep -q '<b>victim' "$report" || fail "$report: the program's name is an element"
	grep -q 'hakmem ctl' "$report" || fail "$report: no decision"
done
grep -q 'at its exit' report.html || fail "not at the exit"
grep -q '<td class="code">grow_the_heap</td>' report.html || fail "no functions: $(cat said)"

rc=0
"$hakmem" run --report none/report.html -- touch ran 2>said || rc=$?
[[ $rc == 1 && ! -e ran ]] || fail "a report that cannot be written is noticed late: $rc, $(cat said)"
rc=0
"$hakmem" run -q --report "$work/of_sh.html" -- sh -c 'exit 7' || rc=$?
[[ $rc == 7 && -s of_sh.html ]] || fail "run --report ends with $rc"

# ---- in a browser

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
missing=
[[ -n $chromium ]] || missing+=" chromium"
command -v node >/dev/null || missing+=" node"
[[ -d $node_modules/playwright-core ]] || missing+=" playwright-core"
[[ -z $missing ]] || skip "the report in a browser, for want of:$missing"
node "$source/tests/tools/report_browser.js" "$node_modules/playwright-core" "$chromium" report.html \
	"${HAKMEM_CHARTS:?uplot or still}" || fail "the browser"
