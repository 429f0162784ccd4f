"""Run every benchmark beside this file and write RESULTS.md."""

import datetime
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import torch

HERE = Path(__file__).parent


def machine() -> str:
    """Processor, cores and memory, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    memory = psutil.virtual_memory().total / 2**30
    processor = names[0] if names else platform.machine()
    return f"{psutil.cpu_count()} × {processor}, {memory:.0f} GiB, torch {torch.__version__}"


def main() -> None:
    sections = [f"# Benchmarks\n\n{machine()}, {datetime.date.today()}.\n"]
    for benchmark in sorted(HERE.glob("*.py")):
        if benchmark.name == Path(__file__).name:
            continue
        print(f"== {benchmark.name}", flush=True)
        done = subprocess.run(
            [sys.executable, str(benchmark), *sys.argv[1:]], stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            sys.exit(f"error: {benchmark.name} failed; RESULTS.md is left as it was")
        print(done.stdout, flush=True)
        sections.append(done.stdout)
    (HERE / "RESULTS.md").write_text("\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
