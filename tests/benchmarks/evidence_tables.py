"""Tables of what gpu_evidence.py recorded: all digits as CSV, and Markdown to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

MIB = 2**20
TITLES = {
    "inference": "Inference: streaming against a window for each frame; masks pasted at the frame's size",
    "training": "Training steps: a parent's of two frames, fine-tuning's of two samples",
    "reading": "Inference from JPEGs to binary masks: frames read when asked for, and read ahead",
}
NOTES = {
    "training": "Of a frozen backbone's features, kept: all are in memory; moving: two frames a step are new; not "
    "kept: every frame is. Reading frames and augmentation are not included.",
}
ORDER = ["1-1", "3-3", "7-7", "1-7", "3-7"]


def rows_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A record's runs, one row each; what was timed is per frame, or per step of a training."""
    unit = "step" if record["part"] == "training" else "frame"
    rows = []
    for run in record["runs"]:
        row = {"setup": record["setup"], "form": run["form"], "precision": run["precision"]}
        row["parameters"] = record["parameters"]
        if "error" in run:
            rows.append(row | {"error": run["error"]})
            continue
        for key, name in (("milliseconds", f"ms_per_{unit}"), ("per_second", f"{unit}s_per_second")):
            row |= {
                f"{name}{end}": run[key][part] for end, part in (("", "median"), ("_low", "low"), ("_high", "high"))
            }
        row["repeats"] = run["milliseconds"]["repeats"]
        row |= {f"gpu_{part}_mib": mib(run.get(f"gpu_{part}_bytes")) for part in ("allocated", "reserved", "process")}
        row["gpu_device_mib"], row["host_peak_mib"] = mib(run.get("gpu_device_bytes")), mib(run["host_peak_bytes"])
        row |= {key: run[key] for key in ("gflops", "box_rois", "mask_rois") if key in run}
        row |= {key: run[key] for key in ("parameters_trained",) if key in run}
        rows.append(row)
    return rows


def mib(count: int | None) -> float | None:
    """Bytes in MiB."""
    return None if count is None else count / MIB


def caption(records: list[dict[str, Any]]) -> str:
    """What was measured, on what, and what it is not."""
    first, made = records[0], [record["provenance"] for record in records]
    size, resized = first["frame_size"], first["resized"]
    packages = made[0]["packages"]
    commits = dict.fromkeys(f"{one['commit']}{' with changes' if one['dirty'] else ''}" for one in made)
    tf32 = [name for name, on in first["tf32"].items() if on]
    devices = dict.fromkeys(f"{one['device']} (driver {one['driver'] or 'none'})" for one in made)
    return (
        f"{first['network']['backbone']} with random weights, not trained; {first['data']} of "
        f"{size[1]}×{size[0]} resized to {resized[1]}×{resized[0]}. No real video and no score: time, operations "
        f"and memory alone. {' / '.join(devices)}; torch {packages['torch']}, torchvision {packages['torchvision']}; "
        f"commit {', '.join(commits)}. Medians and [quartiles], synchronised, after {first['warmup']} runs of warm-up; "
        f"memory: peaks of torch's allocator, and what the driver says of the process and of the device. "
        f"fp32: on a GPU {' and '.join(tf32) or 'nothing'} in TF32, as torch has it. Every frame keeps its best "
        "detections whatever their score, and a training samples its full quota of RoIs."
    )


def readable(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown: rounded, without columns that are empty."""
    shown = []
    for row in rows:
        cells = {key: row[key] for key in ("setup", "form", "precision")}
        for key, value in row.items():
            if key.endswith(("_low", "_high")) or key in cells or key in ("parameters", "repeats"):
                continue
            text = value if isinstance(value, str) else number(value)
            if f"{key}_low" in row:
                text += f" [{number(row[f'{key}_low'])}, {number(row[f'{key}_high'])}]"
            cells[key.replace("_", " ")] = text
        shown.append(cells)
    frame = pd.DataFrame(shown).fillna("–")
    frame = frame.loc[:, (frame != "–").any()]
    align = ["left"] * 3 + ["right"] * (frame.shape[1] - 3)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=align)


def number(value: float | None) -> str:
    """Three or four digits that count."""
    if value is None:
        return "–"
    return (
        f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
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
        some = [record for record in records if record["part"] == part]
        if not some:
            continue
        rows = [row for record in some for row in rows_of(record)]
        pd.DataFrame(rows).to_csv(folder / f"{part}.csv", index=False)
        note = f"{NOTES[part]} " if part in NOTES else ""
        text = f"### {title}\n\n{readable(rows)}\n\n{note}{caption(some)}\n"
        (folder / f"{part}.md").write_text(text, encoding="utf-8")
        paths += [folder / f"{part}.csv", folder / f"{part}.md"]
    return paths
