"""The rows of the benchmark table: which program, with which parameters, judged by what.

Each program says at its top what it does and what one operation is. A row is one
way to call it. `metric` names the figure of the result line that the row compares:
"cpu_ns_per_op" (single-threaded), "ns_per_op" (threaded: wall time), or "extra.<key>".
Less is better in all of them.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    name: str
    program: str  # without the bench_ prefix
    args: tuple = ()
    metric: str = "cpu_ns_per_op"
    groups: tuple = ()
    floor: bool = False  # libfloor.so can run it
    # Further figures of the same run: ((name, metric), ...). Shown, but not counted
    # in the geometric means.
    derived: tuple = ()
    # For growth plots: (plot, x value).
    plot: tuple = ()
    # Real programs: see real.py.
    real: str = ""


def _row(name, program, *args, threads=False, **more):
    metric = more.pop("metric", "ns_per_op" if threads else "cpu_ns_per_op")
    return Row(name, program, tuple(f"--{a}" for a in args), metric, **more)


def build_rows():
    rows = []
    add = rows.append

    # The five headline workloads.
    head = ("headline",)
    add(_row("fragment-stress", "fragment_stress", groups=head))
    add(_row("giant-set-1e6", "giant_set", groups=head))
    add(_row("giant-set-1e7", "giant_set", "objects=10000000", "ops=3000000", groups=(*head, "slow")))
    add(_row("realloc-heavy", "realloc_heavy", groups=head,
             derived=(("realloc-step-mean", "extra.mean_ns"),
                      ("realloc-step-worst", "extra.worst_bucket_ns"))))
    add(_row("realloc-double", "realloc_heavy", "mode=double", "ops=40", groups=("realloc",)))
    for threads in (4, 8):
        add(_row(f"mid-mt-{threads}", "mid_mt", f"threads={threads}", groups=head, threads=True))
    add(_row("threads16", "threads16", groups=head, threads=True))
    add(_row("threads16-remote", "threads16", "remote=10", groups=("threads",), threads=True))

    # Pairs and random replacement.
    g = ("pair",)
    for size in (16, 64, 256, 1024, 4096):
        add(_row(f"pair-{size}", "pair", "mode=pair", f"size={size}", groups=g, floor=True,
                 plot=("pair", size)))
    for size in (16, 64, 256, 1024, 4096):
        # glibc gives the top of its heap back each time 64 x 4096 bytes are freed: few of those.
        ops = 3000000 if size == 4096 else 24000000
        add(_row(f"lifo-{size}", "pair", "mode=lifo", f"size={size}", f"ops={ops}", groups=g, floor=True,
                 plot=("lifo", size)))
    add(_row("mixed-16-1024", "pair", "mode=mixed", groups=g))
    g = ("random",)
    for exponent, ops in ((3, 20000000), (4, 12000000), (5, 5000000), (6, 2500000)):
        add(_row(f"random-1e{exponent}", "pair", "mode=random", f"live={10 ** exponent}", f"ops={ops}",
                 groups=g, plot=("live", 10 ** exponent)))
    add(_row("random-1e7", "pair", "mode=random", "live=10000000", "ops=2500000", groups=(*g, "slow"),
             plot=("live", 10 ** 7)))
    for order in ("fifo", "lifo", "random"):
        add(_row(f"batch-{order}", "batch", f"order={order}", groups=("batch",)))
    add(_row("sh6bench", "shbench", "mode=sh6", groups=("batch",)))

    # Other entry points and sizes.
    g = ("api",)
    add(_row("calloc-16-1024", "calloc", groups=g))
    add(_row("calloc-4k-256k", "calloc", "min=4096", "max=262144", "live=64", "ops=50000", "dirty=all",
             groups=g))
    add(_row("aligned", "aligned", groups=g))
    g = ("large",)
    add(_row("large-64k-16m", "large", "ops=100000", groups=g))
    add(_row("large-touched", "large", "touch=all", "ops=1000", groups=g))
    add(_row("large-4-threads", "large", "threads=4", "ops=100000", groups=g, threads=True))

    # Threads.
    g = ("threads",)
    add(_row("prodcons-1-1", "prodcons", groups=g, threads=True))
    add(_row("prodcons-1-3", "prodcons", "consumers=3", groups=g, threads=True))
    add(_row("prodcons-2-2", "prodcons", "producers=2", "consumers=2", groups=g, threads=True))
    add(_row("prodcons-bursts", "prodcons", "burst=500", "ops=3000000", groups=g, threads=True))
    add(_row("exchange", "exchange", groups=g, threads=True))
    add(_row("server", "server", groups=g, threads=True))
    add(_row("sh8bench", "shbench", "mode=sh8", "threads=8", groups=g, threads=True))
    add(_row("false-sharing-active", "false_sharing", "mode=active", groups=g, threads=True))
    add(_row("false-sharing-passive", "false_sharing", "mode=passive", groups=g, threads=True))
    add(_row("thread-life", "thread_life", groups=g, threads=True))
    for threads in (1, 2, 4, 8, 16, 32, 64):
        add(_row(f"threads-{threads}", "threads16", f"threads={threads}", "ops=12000000",
                 groups=("growth",), threads=True, plot=("threads", threads)))

    # Memory given back: the figure of the row is what stays resident.
    add(_row("release-90", "release", metric="extra.over_live", groups=("memory", "slow"),
             derived=(("release-90-cpu", "cpu_ns_per_op"),)))

    # Real programs.
    for name in ("cc1", "python3", "perl", "lua", "sqlite3", "redis", "z3", "ghostscript"):
        add(Row(f"real-{name}", "", groups=("real",), real=name))
    return rows
