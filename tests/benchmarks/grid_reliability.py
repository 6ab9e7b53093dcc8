"""Whether a grid tells its configurations apart: do the parents of another seed rank them alike?

    snakemake --cores all --config search_seeds=all --until grid_1_of_1
    python tests/benchmarks/grid_reliability.py [results/demo]

Prints for each setup Spearman's rank correlation between seeds, the spread of the configurations' means over the seeds
(largest minus smallest J&F), and a configuration's own deviation between seeds, from which a seed's mean is taken out
(all configurations of a seed share its parent) or not.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from slowfast_vos.reporting.run import AXES


def main() -> None:
    """Print a row for each setup, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("results/demo"))
    folder = parser.parse_args().run
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("grid/**/seed=*.json")]
    scored = [
        {"setup": record["setup"], "seed": record["seed"], **record["job"], "jf": record["scores"]["jf_mean"]}
        for record in records
        if record["scores"]
    ]
    rows = {}
    frame = pd.DataFrame(scored, columns=["setup", "seed", *AXES, "jf"])
    for setup, scores in frame.groupby("setup"):
        table = scores.pivot(index=[*AXES], columns="seed", values="jf").dropna()
        if table.shape[1] < 2:
            parser.error(f"{folder}: found one seed of the grid of {setup}; expected two or more (search_seeds: all)")
        ranks = np.mean([spearmanr(table[one], table[other])[0] for one, other in combinations(table, 2)])
        spread, means = np.ptp(table.mean(axis=1)), table.mean()
        shared, own = (np.sqrt(some.var(axis=1, ddof=1).mean()) for some in (table - means, table))
        rows[setup] = {"seeds": len(means), "configurations": len(table), "Spearman": ranks, "spread": spread}
        rows[setup] |= {"own": shared, "spread / own": spread / shared, "own with seed": own}
    if not rows:
        parser.error(f"{folder}: found no scored grid")
    found = pd.DataFrame(rows).T
    found.loc["mean"] = found.mean()
    print(found.round(3).to_string())


if __name__ == "__main__":
    main()
