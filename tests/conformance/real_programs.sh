#!/bin/bash
# Real programs with and without LIB preloaded, on inputs which this script makes, the same each time. What they leave
# behind is compared byte for byte, their stdout included.
#
#   real_programs.sh LIB [CASE...]
#
# Prints one row a case: result, seconds without and with LIB, the number of processes that took malloc (or operator new)
# from LIB according to the loader's own trace of the very run that is compared, and a digest of the output. A program
# that is not installed is a row "skipped", never a pass; if all are, the script exits 77. Fails if an output differs,
# a program fails with LIB, or no process of a case took malloc from LIB.
set -euo pipefail
self=$(realpath -- "$0")
here=${self%/*}
# shellcheck source=tests/conformance/common.sh
. "$here/common.sh"

lib=$(library_argument "$@")
shift
wanted=("$@")
work=$(work_folder real-programs)
require_preloadable "$lib"
export LC_ALL=C.UTF-8 TZ=UTC0
readonly JOBS=2
unset MAKEFLAGS JAVA_TOOL_OPTIONS NODE_OPTIONS PERL5OPT PYTHONPATH GIT_DIR

input=$work/input
mkdir -p "$input"

# --- inputs -------------------------------------------------------------------------------------------------------

# Each awk program begins with a small generator of its own: awks differ in rand().
readonly RANDOM_AWK='function random(n) { state = (state * 16807) % 2147483647; return state % n } BEGIN { state = 4711 }'

make_c_input() {
	awk "$RANDOM_AWK"'
	BEGIN {
		print "#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n"
		for (i = 0; i < 260; i++) {
			printf "struct s%d { int32_t a[%d]; double d; const char *name; struct s%d *next; };\n", i, 1 + random(9), i
			printf "static const char text%d[] = \"text %d of the table, %d\";\n", i, i, random(100000)
			printf "int f%d(struct s%d *p, int n)\n{\n\tint sum = %d;\n", i, i, random(1000)
			printf "\tfor (int i = 0; i < n; i++) {\n\t\tswitch ((i + sum) %% %d) {\n", 5 + random(9)
			for (k = 0; k < 5; k++)
				printf "\t\tcase %d: sum += p->a[0] * %d + (int)strlen(text%d); break;\n", k, random(5000), random(i + 1)
			print "\t\tdefault: sum ^= i;\n\t\t}\n\t\tp->d += sum / 3.0;\n\t}"
			if (i > 0) {
				j = random(i)
				printf "\tif (n > %d)\n\t\tsum += f%d((struct s%d *)p->next, n - 1);\n", random(50), j, j
			}
			printf "\tprintf(\"%%s %%d\\n\", text%d, sum);\n\treturn sum;\n}\n\n", i
		}
	}' >"$input/big.c"
}

make_cxx_input() {
	awk "$RANDOM_AWK"'
	BEGIN {
		print "#include <algorithm>\n#include <functional>\n#include <map>\n#include <memory>\n#include <string>\n#include <unordered_map>\n#include <vector>\n"
		print "template <int N, typename T> struct node : node<N - 1, T> { T value[N]; virtual T get() { return value[0] + node<N - 1, T>::get(); } };"
		print "template <typename T> struct node<0, T> { virtual ~node() {} virtual T get() { return T(); } };\n"
		for (i = 0; i < 10; i++) {
			printf "namespace n%d {\nstruct key { int a; std::string b; bool operator<(const key &o) const { return a < o.a || (a == o.a && b < o.b); } };\n", i
			printf "long run(const std::vector<int> &in)\n{\n\tstd::map<key, std::vector<std::string>> m;\n\tstd::unordered_map<int, std::function<long(int)>> f;\n"
			printf "\tfor (int x : in) {\n\t\tm[key{x %% %d, std::to_string(x)}].push_back(\"%d\");\n", 3 + random(90), random(9999)
			printf "\t\tf[x] = [&m, x](int y) { return (long)m.size() * y + x; };\n\t}\n\tlong sum = 0;\n"
			printf "\tfor (auto &e : m)\n\t\tsum += (long)e.second.size() + e.first.a;\n\tnode<%d, long> deep{};\n\tsum += deep.get();\n", 20 + random(60)
			printf "\tstd::vector<std::shared_ptr<std::string>> p;\n\tfor (auto &e : f)\n\t\tp.push_back(std::make_shared<std::string>(std::to_string(e.second(%d))));\n", random(77)
			print "\tstd::sort(p.begin(), p.end(), [](const auto &a, const auto &b) { return *a < *b; });\n\treturn sum + (long)p.size();\n}\n}\n"
		}
	}' >"$input/big.cc"
}

# 3000 files in 60 folders, about 12 MB, and a list of changes for the later commits.
make_git_input() {
	mkdir -p "$input/tree.new"
	(
		cd "$input/tree.new"
		for ((i = 0; i < 60; i++)); do mkdir -p "d$i/e"; done
		awk "$RANDOM_AWK"'
		BEGIN {
			for (i = 0; i < 3000; i++) {
				file = "d" i % 60 "/" (i % 7 ? "" : "e/") "f" i ".txt"
				lines = 5 + random(160)
				for (k = 0; k < lines; k++)
					print "line", k, "of", i, random(1000), (random(4) ? "the same words as in many lines" : random(100000000)) >file
				close(file)
			}
		}'
	)
	rm -rf "$input/tree"
	mv "$input/tree.new" "$input/tree"
}

make_text_input() {
	awk "$RANDOM_AWK"'
	BEGIN {
		n = split("slab cache thread page block free purge heap stack queue table index node edge word line", words, " ")
		for (i = 0; i < 120000; i++)
			print i, words[1 + random(n)] random(3000), words[1 + random(n)] ":" random(100), "x" random(1000000), words[1 + random(n)]
	}' >"$input/text"
}

# Inputs are made once and kept; a change of this script makes them anew.
make_inputs() {
	local stamp
	stamp=$(sha256sum <"$0")
	[ -f "$input/.made" ] && [ "$(cat "$input/.made")" = "$stamp" ] && return
	make_c_input
	make_cxx_input
	make_git_input
	make_text_input
	printf '%s\n' "$stamp" >"$input/.made"
}

# --- cases: run in an empty folder, prefix each program with "${pre[@]}", leave the results in out/ -------------------

pre=()

# The compiler's time goes to cc1, which the driver starts with the same environment.
case_gcc() {
	local flags
	for flags in '-O0 -g' '-O2 -fPIC' '-Os -flto'; do
		# shellcheck disable=SC2086
		"${pre[@]}" gcc -std=gnu11 -w -frandom-seed=1 $flags -c "$input/big.c" -o "out/big${flags// /}.o"
	done
	"${pre[@]}" gcc -std=gnu11 -w -O1 -S "$input/big.c" -o out/big.s
	"${pre[@]}" gcc -E "$input/big.c" -o out/big.i
}

case_gxx() {
	"${pre[@]}" g++ -std=c++17 -w -frandom-seed=1 -O0 -c "$input/big.cc" -o out/big-O0.o
	"${pre[@]}" g++ -std=c++17 -w -frandom-seed=1 -O2 -c "$input/big.cc" -o out/big-O2.o
}

case_git() {
	local git=("${pre[@]}" git -c core.fsync=none -c gc.auto=0 -c init.defaultBranch=main) i
	export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
	cp -r "$input/tree" repository
	"${git[@]}" init -q repository
	cd repository
	for i in 1 2 3 4; do
		export GIT_AUTHOR_DATE="$((1600000000 + i)) +0000" GIT_COMMITTER_DATE="$((1600000000 + i)) +0000"
		"${git[@]}" add -A
		"${git[@]}" commit -q -m "commit $i"
		awk -v i=$i 'BEGIN { for (k = i; k < 3000; k += 37) if (k % 7) print "changed in", i >>("d" k % 60 "/f" k ".txt") }'
		rm -f "d$i/f$i.txt"
		"${git[@]}" diff --stat >"../out/diff$i"
	done
	# One thread: with more, which delta is found first depends on time, and so does the pack.
	"${git[@]}" -c pack.threads=1 repack -q -a -d -f --depth=20 --window=10
	sha256sum .git/objects/pack/*.pack >../out/pack
	"${git[@]}" fsck --full --strict >../out/fsck 2>&1
	"${git[@]}" log --stat -p --all >../out/log
	"${git[@]}" blame d2/f2.txt >../out/blame 2>&1 || true
	"${git[@]}" archive --format=tar HEAD | sha256sum >../out/archive
	"${git[@]}" -c pack.threads=2 gc -q --prune=now
	"${git[@]}" fsck --full >../out/fsck-after-gc 2>&1
	"${git[@]}" rev-list --objects --all | sort >../out/objects
	"${git[@]}" clone -q --no-local . ../clone
	git -C ../clone rev-parse HEAD >../out/clone
	cd ..
}

case_sqlite3() {
	cat >script.sql <<-'END'
		PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; PRAGMA cache_size = -20000;
		CREATE TABLE item (id INTEGER PRIMARY KEY, grp INTEGER, name TEXT, amount REAL, payload BLOB);
		WITH RECURSIVE n(i, x) AS (SELECT 1, 4711 UNION ALL SELECT i + 1, (x * 16807) % 2147483647 FROM n WHERE i < 200000)
			INSERT INTO item SELECT i, x % 1000, 'name ' || (x % 99991), x % 10007 / 7.0, zeroblob(x % 40) FROM n;
		CREATE TABLE grp (id INTEGER PRIMARY KEY, title TEXT);
		INSERT INTO grp SELECT DISTINCT grp, 'group ' || grp FROM item ORDER BY grp;
		CREATE INDEX item_grp ON item (grp, amount);
		CREATE INDEX item_name ON item (name);
		SELECT g.title, count(*), round(sum(i.amount), 3), max(i.name) FROM item i JOIN grp g ON g.id = i.grp GROUP BY g.id ORDER BY 2 DESC, 1 LIMIT 200;
		SELECT a.name, count(*) FROM item a JOIN item b ON a.name = b.name AND a.id < b.id WHERE a.grp < 40 GROUP BY a.name ORDER BY 1 LIMIT 500;
		SELECT grp, group_concat(name, ';') FROM (SELECT grp, name FROM item WHERE id % 50 = 0 ORDER BY grp, name) GROUP BY grp;
		UPDATE item SET name = upper(name) || hex(payload) WHERE grp % 3 = 0;
		DELETE FROM item WHERE grp % 7 = 1;
		SELECT name, json_group_array(id) FROM item WHERE amount > 1400 GROUP BY name ORDER BY name LIMIT 2000;
		VACUUM;
		PRAGMA integrity_check;
	END
	"${pre[@]}" sqlite3 out/base.db <script.sql >out/answers
	"${pre[@]}" sqlite3 out/base.db .dump >out/dump
}

case_perl() {
	cat >script.pl <<-'END'
		use strict; use warnings;
		my (%count, %where, @order, $joined);
		open my $in, '<', $ARGV[0] or die $!;
		while (defined(my $line = <$in>) && $. <= 60000) {
			chomp $line;
			my @word = split / /, $line;
			$count{$_}++ for @word;
			push @{$where{$1}{$2}}, $word[0] if $line =~ /(\w+?)\d* (\w+):\d+/;
			(my $copy = $line) =~ s/(\w)(\d+)/$2 . uc($1)/ge;
			$joined .= substr($copy, 0, 20) if $word[0] % 5 == 0;
		}
		@order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
		print "$_ $count{$_}\n" for @order[0 .. 4999];
		for my $a (sort keys %where) { for my $b (sort keys %{$where{$a}}) { print "$a $b ", scalar @{$where{$a}{$b}}, "\n" } }
		print length $joined, ' ', unpack('%32C*', $joined), "\n";
		my @matrix = map { [ map { $_ * 3 % 17 } 1 .. 200 ] } 1 .. 200;
		my $sum = 0; for my $r (@matrix) { $sum += $_ ** 2 for @$r } print "$sum\n";
		print join(',', map { sprintf '%s=%d', $_, length($_ x 50) } grep { /7$/ } @order[0 .. 999]), "\n";
		my $pid = fork; if (!$pid) { undef %where; exit(scalar(keys %count) % 200) } waitpid $pid, 0; print $? >> 8, "\n";
	END
	"${pre[@]}" perl script.pl "$input/text" >out/result
}

case_node() {
	cat >script.js <<-'END'
		const fs = require('fs'), zlib = require('zlib'), crypto = require('crypto');
		const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
		function work(lines, seed) {
			const map = new Map(), buffers = [];
			for (const line of lines) {
				const [id, a, b] = line.split(' ');
				if (!map.has(b)) map.set(b, []);
				map.get(b).push({ id: Number(id), a, seed });
			}
			const text = JSON.stringify([...map.entries()].sort());
			const back = new Map(JSON.parse(text));
			for (let i = 0; i < 400; i++) buffers.push(Buffer.alloc(1 + i * 997 % 70000, String(i)));
			const all = Buffer.concat(buffers);
			const packed = zlib.gzipSync(all, { level: 6 });
			const same = zlib.gunzipSync(packed).equals(all);
			const hash = crypto.createHash('sha256').update(text).update(packed).digest('hex');
			return [seed, back.size, text.length, packed.length, same, hash].join(' ');
		}
		if (isMainThread) {
			const lines = fs.readFileSync(process.argv[2], 'latin1').trim().split('\n').slice(0, 120000);
			const out = [work(lines, 0)];
			let left = 3;
			for (let seed = 1; seed <= 3; seed++) {
				const w = new Worker(__filename, { workerData: { lines: lines.slice(seed * 1000, seed * 1000 + 30000), seed } });
				w.on('message', m => out.push(m));
				w.on('exit', () => { if (--left === 0) console.log(out.sort().join('\n')); });
			}
		} else {
			parentPort.postMessage(work(workerData.lines, workerData.seed));
		}
	END
	"${pre[@]}" node script.js "$input/text" >out/result
}

# On a unix socket only. $1: the redis-cli command that must answer $2 before it goes on.
redis_wait() {
	local tries
	for ((tries = 0; tries < 300; tries++)); do
		# shellcheck disable=SC2086
		if redis-cli -s redis.sock $1 2>/dev/null | grep -q "$2"; then return 0; fi
		kill -0 "$redis_pid" 2>/dev/null || break
		sleep 0.1
	done
	say "redis: '$1' never answered '$2'"
	return 1
}

redis_pid=
redis_start() {
	"${pre[@]}" redis-server --port 0 --unixsocket "$PWD/redis.sock" --dir "$PWD" --dbfilename dump.rdb --save '' --appendonly no \
		--enable-debug-command local --daemonize no --io-threads 2 >>redis.log 2>&1 &
	redis_pid=$!
	redis_wait ping PONG
}

redis_state() {
	redis-cli -s redis.sock debug digest
	redis-cli -s redis.sock dbsize
	redis-cli -s redis.sock --scan | sort | sha256sum
	redis-cli -s redis.sock zrange sorted 0 -1 withscores | sha256sum
	redis-cli -s redis.sock hgetall hash7 | paste - - | sort | sha256sum
}

case_redis() {
	trap 'kill "$redis_pid" 2>/dev/null || true' EXIT
	redis_start
	# Load from many clients at once, thrown away again; then the data whose every byte is known.
	redis-benchmark -s redis.sock -q -n 10000 -c 20 -P 8 -r 5000 -d 100 -t set,get,lpush,rpop,sadd,hset,zadd,mset >benchmark.log
	redis-cli -s redis.sock flushall >/dev/null
	awk "$RANDOM_AWK"'
	BEGIN {
		for (i = 0; i < 40000; i++) {
			print "SET key" i, "value" random(1000000000) "-" i
			print "HSET hash" i % 500, "field" random(2000), random(1000000)
			print "RPUSH list" i % 300, "element" random(1000000)
			print "ZADD sorted", random(100000), "member" random(20000)
			print "SADD set" i % 200, random(5000)
			if (i % 3 == 0) print "APPEND key" random(i + 1), "more-and-more-and-more"
			if (i % 5 == 0) print "DEL key" random(i + 1)
			if (i % 11 == 0) print "SETRANGE big" i % 50, random(30000), "x" i
		}
	}' | redis-cli -s redis.sock --pipe | grep -v '^All data' >out/load
	redis_state >out/before
	redis-cli -s redis.sock bgsave >/dev/null
	redis_wait 'info persistence' 'rdb_bgsave_in_progress:0'
	redis-cli -s redis.sock info persistence | grep -E 'rdb_last_bgsave_status|rdb_saves' >out/bgsave
	redis-cli -s redis.sock shutdown nosave || true
	wait "$redis_pid"
	redis_start
	redis_state >out/after
	cmp out/before out/after
	redis-cli -s redis.sock memory doctor >/dev/null
	redis-cli -s redis.sock shutdown nosave || true
	wait "$redis_pid"
	trap - EXIT
}

case_java() {
	cat >Work.java <<-'END'
		import java.nio.ByteBuffer;
		import java.nio.file.*;
		import java.util.*;
		import java.util.concurrent.*;
		import java.util.stream.*;
		import java.util.zip.*;

		public class Work {
			record Row(int id, String a, String b) {}
			public static void main(String[] args) throws Exception {
				List<Row> rows = Files.lines(Path.of(args[0])).limit(100000).map(l -> l.split(" "))
					.map(w -> new Row(Integer.parseInt(w[0]), w[1], w[2])).collect(Collectors.toList());
				Map<String, List<Integer>> groups = rows.stream().collect(Collectors.groupingBy(Row::b, TreeMap::new,
					Collectors.mapping(Row::id, Collectors.toList())));
				groups.forEach((k, v) -> System.out.println(k + " " + v.size() + " " + v.hashCode()));
				ExecutorService pool = Executors.newFixedThreadPool(4);
				List<Future<Long>> sums = new ArrayList<>();
				for (int t = 0; t < 24; t++) {
					final int seed = t;
					sums.add(pool.submit(() -> {
						ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 20);
						for (int i = 0; i < 1 << 18; i++) buffer.putInt(i * 31 + seed);
						byte[] in = new byte[1 << 20], out = new byte[1 << 21];
						buffer.flip(); buffer.get(in);
						Deflater d = new Deflater(); d.setInput(in); d.finish(); int n = d.deflate(out); d.end();
						Inflater u = new Inflater(); u.setInput(out, 0, n); int m = u.inflate(in); u.end();
						CRC32 crc = new CRC32(); crc.update(in, 0, m);
						return crc.getValue() + n;
					}));
				}
				for (Future<Long> f : sums) System.out.println(f.get());
				pool.shutdown();
			}
		}
	END
	"${pre[@]}" javac -g -d out Work.java
	"${pre[@]}" java -Xmx512m -cp out Work "$input/text" >out/result
}

case_xz() {
	local data=xz-input
	cat "$input/text" "$input/big.c" "$input/text" >$data
	"${pre[@]}" xz -1 -T2 --block-size=2MiB -k -c $data >out/data.xz
	"${pre[@]}" xz -T2 -d -c out/data.xz | cmp - $data
	head -c 3000000 $data | "${pre[@]}" xz -6 -T1 -c >out/one-thread.xz
	"${pre[@]}" xz -t out/one-thread.xz
}

case_python3() {
	cat >script.py <<-'END'
		import bz2, collections, csv, hashlib, io, json, os, pickle, re, sqlite3, subprocess, sys, threading, zlib
		lines = open(sys.argv[1]).read().splitlines()[:120000]
		groups = collections.defaultdict(list)
		for line in lines:
		    w = line.split()
		    groups[w[2]].append((int(w[0]), w[1]))
		text = json.dumps({k: groups[k] for k in sorted(groups)})
		print(len(text), hashlib.sha256(text.encode()).hexdigest())
		print(hashlib.sha256(pickle.dumps(json.loads(text), 4)).hexdigest())
		found = re.findall(r'(\w+?)(\d+) \w+:(\d+)', '\n'.join(lines[:50000]))
		print(len(found), collections.Counter(f[0] for f in found).most_common())
		packed = zlib.compress(text.encode()), bz2.compress(text.encode()[:500000])
		print([len(p) for p in packed], zlib.decompress(packed[0]).decode() == text)
		out = io.StringIO(); csv.writer(out).writerows(line.split() for line in lines); print(len(out.getvalue()))
		base = sqlite3.connect(':memory:'); base.execute('create table t (a, b)')
		base.executemany('insert into t values (?, ?)', ((k, len(v)) for k, v in sorted(groups.items())))
		print(base.execute('select sum(b), max(a), count(*) from t').fetchall())
		sums = [0] * 8
		def work(i):
		    data = bytearray()
		    for k in range(3000):
		        data += bytes([i, k % 256]) * (k % 200)
		    sums[i] = zlib.crc32(data)
		threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
		[t.start() for t in threads]; [t.join() for t in threads]
		print(sums, 2 ** 20000 % 10 ** 50)
		pid = os.fork()
		if pid == 0: os._exit(len(groups) % 250)
		print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), subprocess.run(['echo', 'child'], capture_output=True).stdout)
	END
	"${pre[@]}" env PYTHONMALLOC=malloc PYTHONHASHSEED=0 /usr/bin/python3 -B script.py "$input/text" >out/malloc
	"${pre[@]}" /usr/bin/python3 -B script.py "$input/text" >out/pymalloc
}

case_bash() {
	cat >script.bash <<-'END'
		declare -A count
		declare -a list
		while read -r id a b _; do
			count[$b]=$((${count[$b]:-0} + id))
			list+=("${a^^}-${b//:/_}")
		done < <(head -n 20000 "$1")
		for k in "${!count[@]}"; do printf '%s %s\n' "$k" "${count[$k]}"; done | sort
		text=
		for ((i = 0; i < ${#list[@]}; i += 3)); do text+=${list[i]#*[0-9]}; [[ ${list[i]} =~ ^([A-Z]+)([0-9]+) ]] && sum=$((sum + BASH_REMATCH[2])); done
		echo "${#text} $sum"; echo "${text//A/aa}" | cksum
		for i in {1..60}; do x=$(echo "$i $(printf '%d' $((i * i)))"); echo "$x" & done | sort
		wait
	END
	"${pre[@]}" bash script.bash "$input/text" >out/result
}

# --- comparison ---------------------------------------------------------------------------------------------------

# run_once CASE MODE: runs it in an empty folder, of the same path in both modes, and moves that to CASE.MODE.
run_once() {
	local name=$1 mode=$2 status=0 run=$work/run/$1 trace=$work/trace/$1
	rm -rf "$run" "$work/$name.$mode" "$trace"
	mkdir -p "$run/out" "$trace"
	# A shell of its own: callers look at the status, and in what they call set -e would be off.
	bash "$self" "$lib" --run "$name" "$mode" >"$work/$name.$mode.log" 2>&1 </dev/null || status=$?
	mv "$run" "$work/$name.$mode"
	return $status
}

# What run_once starts: the case itself.
run_case() {
	if [ "$2" = preload ]; then
		pre=(env "LD_PRELOAD=$lib" LD_DEBUG=bindings "LD_DEBUG_OUTPUT=$work/trace/$1/ld")
	fi
	cd "$work/run/$1"
	"case_$1"
}

row() { printf '%-9s %-26s %9s %9s %10s  %s\n' "$@"; }

# compare NAME PROGRAM...: prints the row. Status 0: identical, 77: a PROGRAM is not installed, else: bad.
compare() {
	local name=$1 program begin plain_s ours_s result digest='' traces=- complaint=''
	for program in "${@:2}"; do
		if ! command -v "$program" >/dev/null; then
			row "$name" 'skipped (not installed)' - - - "$program"
			return 77
		fi
	done
	begin=$EPOCHREALTIME
	if ! run_once "$name" plain; then
		row "$name" 'FAIL (without LIB, too)' "$(seconds_since "$begin")" - - ''
		tail -n 10 "$work/$name.plain.log" | sed 's/^/    | /'
		return 1
	fi
	plain_s=$(seconds_since "$begin")
	begin=$EPOCHREALTIME
	if ! run_once "$name" preload; then
		result='FAIL (with LIB only)'
		complaint=$work/$name.preload.log
	elif ! diff -r "$work/$name.plain/out" "$work/$name.preload/out" >"$work/$name.diff" 2>&1; then
		result='DIFFERENT'
		complaint=$work/$name.diff
	else
		result=identical
		digest=$(cd "$work/$name.plain/out" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
	fi
	ours_s=$(seconds_since "$begin")
	traces=$(count_bound "$work/trace/$name" "$lib")
	if [ "$result" = identical ] && [ "$traces" = 0 ]; then
		result='FAIL (LIB not in use)'
	fi
	row "$name" "$result" "$plain_s" "$ours_s" "$traces" "$digest"
	if [ "$result" != identical ]; then
		[ -z "$complaint" ] || tail -n 15 "$complaint" | cut -c1-200 | sed 's/^/    | /'
		return 1
	fi
	rm -rf "$work/$name.plain" "$work/$name.preload"
}

# start NAME PROGRAM...: compare in the background, at most JOBS at a time; the row goes to a file.
names=()
start() {
	local name=$1
	if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then
		return
	fi
	names+=("$name")
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
		wait -n || true
	done
	{
		status=0
		compare "$@" >"$work/$name.row" 2>&1 || status=$?
		echo "$status" >"$work/$name.status"
	} &
}

if [ "${wanted[0]-}" = --run ]; then
	run_case "${wanted[1]}" "${wanted[2]}"
	exit 0
fi

make_inputs
rm -rf "$work"/*.row "$work"/*.status "$work/run" "$work/trace"
mkdir -p "$work/run" "$work/trace"
# The long ones first.
start git git
start redis redis-server redis-cli redis-benchmark
start gcc gcc
start gxx g++
start java javac java
start perl perl
start xz xz
start sqlite3 sqlite3
start node node
start python3 /usr/bin/python3
start bash bash
wait

row program "$(basename "$lib")" 'plain s' 'preload s' 'processes' digest
identical=0
bad=0
for name in "${names[@]}"; do
	cat "$work/$name.row"
	case $(cat "$work/$name.status") in
	0) identical=$((identical + 1)) ;;
	77) ;;
	*) bad=$((bad + 1)) ;;
	esac
done
rm -rf "$work/run" "$work/trace"
say
say 'processes: how many took malloc or operator new from the library, told by the loader (LD_DEBUG=bindings).'
[ "$bad" = 0 ] || die "$bad program(s) fail or differ under $lib; files are kept in $work"
[ "$identical" -gt 0 ] || skip 'none of the programs is installed'
say "$identical programs: all outputs identical"
