"""The paper's run, planned on a tree of DAVIS's shape: exactly the jobs that its experiments need."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from slowfast_vos.videos.fetch import DAVIS_2016

from workflow_runs import ROOT, snakemake

VALIDATION = DAVIS_2016["val"]
SETUPS = 5


def test_the_papers_run_plans_exactly_the_jobs_of_its_experiments(tmp_path: Path) -> None:
    for place, names in (("2017/train", [f"train-{i}" for i in range(60)]), ("2016/val", VALIDATION.split())):
        path = tmp_path / "davis" / "ImageSets" / f"{place}.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(names))
    arguments = ["--cores", "1", "-n", "--config", f"davis_root={tmp_path / 'davis'}"]
    plan = snakemake(tmp_path, *arguments, configfile=ROOT / "config" / "davis.yaml")
    assert plan.returncode == 0, plan.stderr[-3000:]
    table = plan.stdout.rpartition("Job stats:")[2]
    jobs = Counter()
    for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE):
        jobs[re.sub(r"_\d+_of_\d+$", "", name)] += int(count)
    assert jobs.pop("total") == sum(jobs.values()) == 327
    assert jobs == {
        "check_data": 1,
        "detector": 1,
        "parent": SETUPS,
        "tuning": 3 * 2,  # rates, backbone frozen or trained
        "grid": SETUPS * 36,
        "select": SETUPS,
        "final": SETUPS * 20,
        "predict_parent": SETUPS,
        "predict_baseline": 2,
        "evaluate": 2 * SETUPS + 2,
        "cost": SETUPS,
        "tables": 1,
        "plots": 1,
        "strips": 1,
        "check_records": 1,
        "all": 1,
    }
