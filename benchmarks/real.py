"""The rows of real programs: how each is found, and the command that runs it.

Inputs come from scripts/make_inputs, once, into <build>/bench-inputs. Each run goes
through bench_exec, which preloads the allocator into the program alone. Judged by CPU time.
"""

import glob
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))

# Name -> (program, arguments, file for standard input or None, environment). {in} is the folder
# of inputs. Python's own allocator is switched off: it would hide the one that is measured.
PROGRAMS = {
    "cc1": (None, ["-quiet", "-O1", "{in}/program.c", "-o", "/dev/null"], None, {}),
    "python3": ("/usr/bin/python3", ["-S", "{in}/work.py"], None, {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"}),
    "perl": ("perl", ["{in}/work.pl"], None, {"PERL_HASH_SEED": "1"}),
    "lua": ("lua5.4", ["{in}/work.lua"], None, {}),
    "sqlite3": ("sqlite3", [":memory:"], "{in}/work.sql", {}),
    "redis": ("redis-server", [], None, {}),
    "z3": ("z3", ["-smt2", "{in}/work.smt2"], None, {}),
    "ghostscript": ("gs", ["-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=pdfwrite",
                           "-sOutputFile=/dev/null", "{in}/work.ps"], None, {}),
}


def inputs(args):
    return os.path.join(args.build, "bench-inputs" + ("-quick" if args.quick else ""))


def program_path(name):
    program = PROGRAMS[name][0]
    if name == "cc1":
        gcc = shutil.which("gcc")
        if not gcc:
            return None
        path = subprocess.run([gcc, "-print-prog-name=cc1"], capture_output=True, text=True,
                              check=False).stdout.strip()
        return path if os.path.isabs(path) else None
    return shutil.which(program)


def prepare(name, args):
    """Makes the inputs. Why the row can't run, or None."""
    if args.emulator:
        return "real programs run natively alone"
    if not os.path.exists(os.path.join(args.build, "bench_exec")):
        return "no bench_exec in the build folder"
    if not program_path(name):
        return "the program isn't installed"
    if name == "redis" and not (shutil.which("redis-benchmark") and shutil.which("redis-cli")):
        return "redis-benchmark and redis-cli aren't installed"
    folder = inputs(args)
    if not os.path.exists(os.path.join(folder, "done")):
        command = [os.path.join(HERE, "scripts/make_inputs"), folder]
        if args.quick:
            command.append("--quick")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return "make_inputs failed: " + done.stderr.strip()
    return None


def libc_path():
    for path in glob.glob("/lib/*-linux-gnu/libc.so.6") + glob.glob("/lib64/libc.so.6"):
        return path
    return None


def command(name, args, alloc):
    """(command, environment of bench_exec itself)."""
    _, arguments, stdin, env = PROGRAMS[name]
    preload = alloc.path
    if name == "redis" and not preload:
        # Debian links redis with jemalloc; the C library put first gives its malloc.
        preload = libc_path()
    line = [os.path.join(args.build, "bench_exec")]
    if preload:
        line.append(f"--preload={preload}")
    for key, value in {**env, **alloc.env}.items():
        line.append(f"--env={key}={value}")
    if name == "redis":
        requests = "10000" if args.quick else "80000"
        return [os.path.join(HERE, "scripts/redis_row"), requests, *line], {}
    folder = inputs(args)
    if stdin:
        line.append("--in=" + stdin.replace("{in}", folder))
    line += ["--", program_path(name), *(a.replace("{in}", folder) for a in arguments)]
    return line, {}
