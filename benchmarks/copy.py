#!/usr/bin/env python3
"""Runs bench_copy and turns what it prints into tables and a plot.

benchmarks/copy.py --build build/release                  tables on standard output
benchmarks/copy.py --build build/release --update         the same into docs/benchmarks/copy.md and copy.svg
--from FILE                                               what bench_copy printed before, instead of a run
"""

import argparse
import os
import subprocess
import sys

import plot

HERE = os.path.dirname(os.path.realpath(__file__))
DOCS = os.path.join(HERE, "..", "docs", "benchmarks")
BEGIN, END = "<!-- figures, by benchmarks/copy.py -->", "<!-- end of figures -->"
STATES = {
    "warm": "Warm: the same two places again and again, GB/s",
    "cold": "Cold: places that nothing has touched for 256 MiB of copying, GB/s",
    "reread": "Warm, and what was written is read once afterwards, GB/s of both together",
    "victim": "What a copy does to others: ns per line to read 1 MiB at random that was in the caches before it",
}


def parse(text):
    """{operation: {state: {bytes: {variant: figure}}}}, in the order of the text, and its settings."""
    figures, settings = {}, {}
    for line in text.splitlines():
        words = line.split()
        if words[0] == "#":
            settings = dict(zip(words[1::2], words[2::2]))
            continue
        operation, variant, state, size, figure = words
        by_size = figures.setdefault(operation, {}).setdefault(state, {})
        by_size.setdefault(int(size), {})[variant] = float(figure)
    return figures, settings


def size_text(n):
    return f"{n >> 20} MiB" if n >= 1 << 20 else f"{n >> 10} KiB"


def table(by_size, less_is_better):
    variants = list(next(iter(by_size.values())))
    yield "| size | " + " | ".join(variants) + " | hakmem against libc |"
    yield "|---|" + "---|" * (len(variants) + 1)
    for size, got in by_size.items():
        ratio = got["libc"] / got["hakmem"] if less_is_better else got["hakmem"] / got["libc"]
        cells = " | ".join(f"{got[v]:.1f}" for v in variants)
        yield f"| {size_text(size)} | {cells} | {ratio:.2f} |"


def report(figures, settings):
    yield (f"Last-level cache {size_text(int(settings['llc']))}; a copy goes past the caches from "
           f"{int(settings['copy']) / 1048576:.0f} MiB on, a clear from "
           f"{int(settings['clear']) / 1048576:.0f}; "
           f"{settings['pages']} pages.")
    for operation, by_state in figures.items():
        for state, by_size in by_state.items():
            yield ""
            yield f"### {operation.capitalize()}. {STATES[state]}"
            yield ""
            yield from table(by_size, state == "victim")


def draw(figures, target):
    """GB/s over the size: copy and clear, warm and cold."""
    blocks, panels, colours = "", [], {}
    for operation, by_state in figures.items():
        for state in ("warm", "cold"):
            curves = []
            for variant in next(iter(by_state[state].values())):
                if variant == "hakmem":  # one of the others at each size
                    continue
                name = f"${operation}{state}{variant}"
                points = "\n".join(f"{size / 1048576} {got[variant]}" for size, got in by_state[state].items())
                blocks += f"{name} << EOD\n{points}\nEOD\n"
                colour = colours.setdefault(variant, plot.COLOURS[len(colours) % len(plot.COLOURS)])
                curves.append(f"{name} using 1:2 with linespoints pt 7 ps 0.4 lw 2 lc rgb '{colour}' title \"{variant}\"")
            panels.append(f'set title "{operation}, {state}"\nplot {", ".join(curves)}')
    script = """
set terminal svg size 900,720 font "sans,11" background "white"
set logscale x 2
set xlabel "MiB"
set ylabel "GB/s"
set yrange [0:]
set grid
set key top right
set multiplot layout 2,2
""" + "\n".join(panels) + "\nunset multiplot\n"
    plot.gnuplot(script, blocks, target)


def replace_figures(path, lines):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--from", dest="saved")
    parser.add_argument("--pages", default="huge", choices=("huge", "small"))
    args = parser.parse_args()
    if args.saved:
        with open(args.saved, encoding="utf-8") as f:
            text = f.read()
    else:
        program = os.path.join(args.build, "bench_copy")
        text = subprocess.run([program, "--pages=" + args.pages], stdout=subprocess.PIPE, text=True, check=True).stdout
    figures, settings = parse(text)
    lines = list(report(figures, settings))
    if not args.update:
        print("\n".join(lines))
        return 0
    replace_figures(os.path.join(DOCS, "copy.md"), lines)
    draw(figures, os.path.join(DOCS, "copy.svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
