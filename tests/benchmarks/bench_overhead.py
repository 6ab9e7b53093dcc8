"""What Snakemake costs: the wall time of a finished run against the time in which its jobs worked.

    python tests/benchmarks/bench_overhead.py [logs/demo]

Read from the status file that every job leaves beside its log. A job's time begins before it imports torch. Overhead
is the share of the run in which no job worked at all: Snakemake's start is not in it, its own planning between jobs is.
A run that was stopped in between, or went on later, says nothing here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    """Print the run's wall time, the jobs' time, and the overhead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="?", default=Path("logs/demo"))
    folder = parser.parse_args().logs
    jobs = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    spans = sorted((job["started"], job["started"] + job["seconds"]) for job in jobs if job["state"] == "done")
    if not spans:
        parser.error(f"{folder}: found no status of a finished job; expected a finished run's logs")
    working, reached = 0.0, spans[0][0]
    for begin, end in spans:
        working += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    wall, busy = reached - spans[0][0], sum(end - begin for begin, end in spans)
    print(f"{len(spans)} jobs in {wall:.0f} s of wall time, {busy:.0f} s within jobs: {busy / wall:.2f} side by side")
    print(f"overhead: {wall - working:.0f} s in which no job worked, {(wall - working) / wall:.1%} of the wall time")


if __name__ == "__main__":
    main()
