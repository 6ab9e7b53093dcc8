"""Tables of what gpu_evidence.py recorded: all digits as CSV, and Markdown to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

TITLES = {
    "inference": "Inference: streaming against a window for each frame; masks pasted at the frame's size",
    "training": "Training steps: a parent's of two frames, fine-tuning's of two samples",
    "reading": "Inference from JPEGs to binary masks: frames read when asked for, and read ahead",
}
NOTES = {
    "training": "Of a frozen backbone's features, kept: all are in memory; moving: two frames a step are new; not "
    "kept: every frame is. Reading frames and augmentation are not included. ",
}
ORDER = ["1-1", "3-3", "7-7", "1-7", "3-7"]
FIRST = ["setup", "form", "precision"]


def runs_table(records: list[dict[str, Any]], unit: str) -> pd.DataFrame:
    """One row for each run; what was timed is per `unit`, a frame or a step of a training."""
    table = pd.json_normalize(records, "runs", ["setup", "parameters"], sep="_")
    for column in [column for column in table if column.endswith("_bytes")]:
        table[column.replace("_bytes", "_mib")] = table.pop(column).astype(float) / 2**20
    for old, new in (("milliseconds", f"ms_per_{unit}"), ("per_second", f"{unit}s_per_second"), ("_median", "")):
        table.columns = [column.replace(old, new) for column in table]
    timed = [column for column in table if column.startswith(("ms_per", "frames_per", "steps_per"))]
    return table[[*FIRST, "parameters", *timed, *table.columns.drop([*FIRST, "parameters", *timed])]]


def readable(table: pd.DataFrame) -> str:
    """The runs as Markdown: rounded, medians with their intervals, without columns that are empty."""
    shown = table[FIRST].copy()
    for name in table.columns.drop([*FIRST, "parameters"]):
        if name.endswith(("_low", "_high", "_repeats")) or table[name].isna().all():
            continue
        texts = table[name].map(number)
        if f"{name}_low" in table:
            low, high = table[f"{name}_low"].map(number), table[f"{name}_high"].map(number)
            texts = texts.where(table[name].isna(), texts + " [" + low + ", " + high + "]")
        shown[name.replace("_", " ")] = texts
    align = ["left"] * len(FIRST) + ["right"] * (shown.shape[1] - len(FIRST))
    return shown.to_markdown(index=False, disable_numparse=True, colalign=align)


def number(value: Any) -> str:
    """Three or four digits that count."""
    if isinstance(value, str) or pd.isna(value):
        return value if isinstance(value, str) else "–"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def caption(records: list[dict[str, Any]]) -> str:
    """What was measured, on what, and what it is not."""
    first, made = records[0], [record["provenance"] for record in records]
    (height, width), (resized_height, resized_width) = first["frame_size"], first["resized"]
    packages = made[0]["packages"]
    commits = dict.fromkeys(f"{one['commit']}{' with changes' if one['dirty'] else ''}" for one in made)
    tf32 = [name for name, on in first["tf32"].items() if on]
    devices = dict.fromkeys(f"{one['device']} (driver {one['driver'] or 'none'})" for one in made)
    return (
        f"{first['network']['backbone']} with random weights, not trained; {first['data']} of "
        f"{width}×{height} resized to {resized_width}×{resized_height}. No real video and no score: time, operations "
        f"and memory alone. {' / '.join(devices)}; torch {packages['torch']}, torchvision {packages['torchvision']}; "
        f"commit {', '.join(commits)}. Medians and their [intervals], synchronised, after {first['warmup']} runs of "
        f"warm-up; memory: peaks of torch's allocator, and what the driver says of the process and of the device. "
        f"fp32: on a GPU {' and '.join(tf32) or 'nothing'} in TF32, as torch has it. Every frame keeps its best "
        "detections whatever their score, and a training samples its full quota of RoIs."
    )


def write_tables(folder: Path) -> list[Path]:
    """Write PART.csv and PART.md beside the records of each part.

    Raises:
        SystemExit: the folder holds no record.
    """
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*-*-*.json"))]
    if not records:
        raise SystemExit(f"{folder}: found no record; take some with --part first")
    records.sort(key=lambda record: ORDER.index(record["setup"]) if record["setup"] in ORDER else len(ORDER))
    paths = []
    for part, title in TITLES.items():
        if some := [record for record in records if record["part"] == part]:
            table = runs_table(some, "step" if part == "training" else "frame")
            text = f"### {title}\n\n{readable(table)}\n\n{NOTES.get(part, '')}{caption(some)}\n"
            table.to_csv(folder / f"{part}.csv", index=False)
            (folder / f"{part}.md").write_text(text, encoding="utf-8")
            paths += [folder / f"{part}.csv", folder / f"{part}.md"]
    return paths
