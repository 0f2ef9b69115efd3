"""What does it cost to start? Wall time of `rondel --help` and `rondel status` over bare Python.

    python benchmarks/import_cost.py [PROJECT]

Runs are interleaved, so that a busy moment hits all of them; the median of 15 is printed.
"""

import statistics
import subprocess
import sys
import time

RUNS = 15


def main() -> None:
    rondel = [sys.executable, "-m", "rondel.tui.cli"]
    commands = {"python": [sys.executable, "-c", "pass"], "rondel --help": [*rondel, "--help"]}
    for project in sys.argv[1:2]:
        commands["rondel status"] = [*rondel, "-p", project, "status"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(RUNS + 1):
        for name, command in commands.items():
            seconds, code = _measure(command)
            if run == 0:  # warms the file cache
                print(f"{name}: exit {code}")
            else:
                times[name].append(seconds)
    bare = statistics.median(times["python"])
    print(f"bare Python: {1000 * bare:.0f} ms")
    for name in list(times)[1:]:
        low, middle, high = statistics.quantiles(times[name], n=4)
        spread = f"quartiles {1000 * (low - bare):.0f} to {1000 * (high - bare):.0f}"
        print(f"{name}: {1000 * (middle - bare):.0f} ms over bare Python ({spread})")


def _measure(command: list[str]) -> tuple[float, int]:
    start = time.perf_counter()
    code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
    return time.perf_counter() - start, code


if __name__ == "__main__":
    main()
