"""SVG plots of a result of benchmarks/run, drawn by gnuplot.

time.svg, rss.svg     bars: the ratio to the best allocator of each row
threads.svg           growth: ns per operation over the number of threads
live.svg              growth: ns per operation over the number of live objects
pair.svg, lifo.svg    ns per pair over the size
"""

import os
import shutil
import statistics
import subprocess
import sys

COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#7f7f7f", "#17becf", "#bcbd22",
           "#8c564b", "#e377c2")
CURVES = {
    "threads": ("Each thread with its own objects", "threads", "ns per operation (wall)"),
    "live": ("Random replacement, 16-1024 bytes", "live objects", "ns per pair (CPU)"),
    "pair": ("malloc and free at once", "bytes", "ns per pair (CPU)"),
    "lifo": ("64 blocks, last in first out", "bytes", "ns per pair (CPU)"),
}


def median_of(runs, metric):
    v = []
    for r in runs:
        if "error" not in r:
            x = r.get("extra", {}).get(metric[6:]) if metric.startswith("extra.") else r.get(metric)
            if x is not None:
                v.append(x)
    return statistics.median(v) if v else None


def gnuplot(script, data, target):
    """Runs a script whose data blocks are in the text itself."""
    text = f'set output "{target}"\n' + data + script
    done = subprocess.run(["gnuplot", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"gnuplot failed for {target}: {done.stderr.strip()}", file=sys.stderr)


def quoted(text):
    return '"' + text.replace("_", "\\\\_") + '"'


def bars(data, metric_of, title, target):
    names = [n for n in data["allocators"] if n != "floor"]
    lines = []
    for row in data["rows"]:
        got = {n: median_of(data["results"][row["name"]].get(n, []), metric_of(row)) for n in names}
        best = min((m for m in got.values() if m), default=None)
        if best:
            cells = (f"{got[n] / best:.4f}" if got[n] else "?" for n in names)
            lines.append(f'"{row["name"]}" ' + " ".join(cells))
    if not lines:
        return
    block = "$data << EOD\n" + "\n".join(lines) + "\nEOD\n"
    plots = ", ".join(
        f"$data using {i + 2}:xtic({1 if i == 0 else 1}) title {quoted(n)} lc rgb '{COLOURS[i % len(COLOURS)]}'"
        for i, n in enumerate(names))
    script = f"""
set terminal svg size {max(700, 90 + 26 * len(lines) * max(1, len(names) // 3))},520 font "sans,11" background "white"
set title {quoted(title)}
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set datafile missing "?"
set logscale y 2
set yrange [0.9:16]
set ytics (1, 1.1, 1.25, 1.5, 2, 4, 8, 16)
set grid y
set xtics rotate by -45 scale 0
set key outside top center horizontal
plot {plots}
"""
    gnuplot(block + script, 'set datafile missing "?"\n', target)


def curves(data, plot, target):
    title, x_title, y_title = CURVES[plot]
    points = {}
    for row in data["rows"]:
        if row.get("plot") and row["plot"][0] == plot:
            for name, runs in data["results"][row["name"]].items():
                m = median_of(runs, row["metric"])
                if m:
                    points.setdefault(name, []).append((row["plot"][1], m))
    points = {n: sorted(p) for n, p in points.items() if len(p) > 1}
    if not points:
        return
    blocks, plots = "", []
    for i, (name, p) in enumerate(points.items()):
        blocks += f"$d{i} << EOD\n" + "\n".join(f"{x} {y:.4f}" for x, y in p) + "\nEOD\n"
        colour = "#000000" if name == "floor" else COLOURS[i % len(COLOURS)]
        plots.append(f"$d{i} using 1:2 with linespoints pt 7 ps 0.5 lw 2 lc rgb '{colour}' title {quoted(name)}")
    base = 10 if plot == "live" else 2
    script = f"""
set terminal svg size 800,500 font "sans,11" background "white"
set title {quoted(title)}
set logscale x {base}
set logscale y 10
set xlabel "{x_title}"
set ylabel "{y_title}"
set grid
set key outside right
plot {", ".join(plots)}
"""
    gnuplot(script, blocks, target)


def draw(data, folder):
    if not shutil.which("gnuplot"):
        print("no plots: gnuplot isn't installed", file=sys.stderr)
        return
    os.makedirs(folder, exist_ok=True)
    bars(data, lambda row: row["metric"], "Time, ratio to the best of the row (less is better)",
         os.path.join(folder, "time.svg"))
    bars(data, lambda row: "peak_rss_kib", "Peak RSS, ratio to the best of the row (less is better)",
         os.path.join(folder, "rss.svg"))
    for plot in CURVES:
        curves(data, plot, os.path.join(folder, plot + ".svg"))
