"""A run's records as data frames: what every table and figure is made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

import numpy as np
import pandas as pd

from slowfast_vos.claims.claims import asked_claims
from slowfast_vos.claims.intervals import complete, estimate
from slowfast_vos.claims.verdicts import Evidence, Finding, judge, leader
from slowfast_vos.config import Settings
from slowfast_vos.dag import BASELINES, TASKS
from slowfast_vos.measuring.record import Scores
from slowfast_vos.paths import Results
from slowfast_vos.setups import Setup

STATISTICS = [name for name in Scores.model_fields if name != "sequences"]
MEASURES = {"J&F": "jf_mean", "J": "j_mean", "F": "f_mean"}
AXES = {"freeze": "freeze", "scale": "scale", "lr": "rate"}  # of the grid, with their headings in tables
JOB = ["baseline", "backbone", *AXES]
LOOK_ALIKE = "LA"


@dataclass(frozen=True)
class Run:
    """A run: its dataset, and its records as frames. The index of every frame but `costs` is the record's number."""

    results: Results
    lengths: dict[str, int]  # frames of each sequence
    attributes: dict[str, list[str]]  # DAVIS attributes of each sequence
    roles: dict[str, list[str]]  # sequences by role: train, selection, val
    digest: str  # of every file of the dataset
    # What each record is of (kind, task, setup, seed, `name` in tables, configuration), whether and why it failed,
    # global statistics, provenance.
    records: pd.DataFrame
    sequences: pd.DataFrame  # the statistics of each record and sequence
    curves: pd.DataFrame  # one row per record and epoch
    costs: pd.DataFrame  # one row per setup

    def of(self, kind: str, setup: str | None = None) -> pd.DataFrame:
        """The records of one kind, of one setup or of all."""
        found = self.records[self.records["kind"] == kind]
        return found if setup is None else found[found["setup"] == setup]

    def mean_over(self, sequences: Collection[str], statistics: Sequence[str] = ("jf_mean",)) -> pd.DataFrame:
        """The records with statistics as means over some sequences; missing unless a record scores all of them."""
        scores = self.sequences[self.sequences["sequence"].isin(sequences)].groupby(level=0)[[*statistics]]
        means = scores.agg(lambda values: fmean(values) if len(values) == len(sequences) else float("nan"))
        return self.records.assign(**means)

    def scores_over(
        self, groups: Mapping[str, Collection[str]], statistics: Sequence[str] = ("jf_mean",)
    ) -> pd.DataFrame:
        """Means over each group of sequences and the seeds (see `over_seeds`), one row per task, name and group."""
        found = {}
        for group, members in groups.items():
            means = self.mean_over(members, statistics)
            for task in TASKS:
                found[task, group] = self.over_seeds(of_task(means, task), statistics, self.names, members)
        frame = pd.concat(found, names=["task", "group"]).swaplevel("group", "name")
        return frame.reindex(pd.MultiIndex.from_product([TASKS, self.names, groups], names=frame.index.names))

    def grid(self, setup: str) -> pd.DataFrame:
        """A setup's grid over the seeds (see `over_seeds`), one row per freeze, scale and rate: J&F, J and F."""
        values = [getattr(self.settings.grid, axis) for axis in AXES]
        index = pd.MultiIndex.from_product(values, names=[*AXES])
        return self.over_seeds(self.of("grid", setup), [*MEASURES.values()], index)

    def before_tuning(self) -> pd.DataFrame:
        """The parents over the seeds, one row per setup: J&F on the selection sequences, before fine-tuning."""
        chosen = self.roles["selection"]
        means, index = self.mean_over(chosen), pd.Index(self.settings.setups, name="setup")
        return self.over_seeds(means[means["kind"] == "parent"], ["jf_mean"], index, chosen)

    def over_seeds(
        self, records: pd.DataFrame, values: Sequence[str], index: pd.Index, only: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Summarise values over the seeds.

        Args:
            records: rows of `records`.
            index: the rows wanted, be there records of them or not; its names are columns of `records`.
            only: the sequences that the values are means over, if not all.

        Returns:
            For each value its mean; as `VALUE_std` its sample standard deviation over the seeds (from two on); as
            `VALUE_half` half of its 95 % interval's width, over seeds and sequences where sequences have the value;
            `n`, the seeds that have the first value; `failed`, those that failed; `error`, why.
        """
        groups, found = records.groupby(list(index.names), sort=False), {}
        for name in values:
            found |= {name: groups[name].agg(_known, fmean, 1), f"{name}_std": groups[name].agg(_known, stdev, 2)}
            scored = name in self.by_sequence
            table = self.by_sequence[name] if scored else records[[name]]
            if scored and only is not None:
                table = table[[sequence for sequence in table if sequence in only]]
            table = table.reindex(records.index).to_numpy(float)
            halves = [_half_width(table[places], scored) for places in groups.indices.values()]
            found[f"{name}_half"] = pd.Series(halves, found[name].index, dtype=float)
        found |= {"n": groups[values[0]].count(), "failed": groups["failed"].sum()}
        found["error"] = groups["reason"].agg(lambda reasons: "; ".join(reasons.dropna()))
        summary = pd.DataFrame(found).reindex(index).fillna({"n": 0, "failed": 0, "error": ""})
        return summary.astype({"n": int, "failed": int})

    def cells(self, statistic: str = "jf_mean", names: Collection[str] | None = None) -> dict[str, pd.DataFrame]:
        """A statistic by seed (rows) and sequence (columns) of the cells that claims may compare, of all or of some."""
        known, found = self.by_sequence[statistic], {}
        records = self.records.loc[known.index]
        records = records if names is None else records[records["cell"].isin(names)]
        for name, some in records.groupby("cell", sort=False):
            table = known.loc[some.index].set_axis(some["seed"]).dropna(axis="columns", how="all").sort_index()
            found[name] = table[[sequence for sequence in self.lengths if sequence in table]]
        return found

    def leaders(
        self, task: str, statistic: str = "jf_mean", only: Collection[str] | None = None, low: bool = False
    ) -> set[str]:
        """The setup or baseline that is best, if its difference to the next best is told apart from 0."""
        names = {f"{kind}/{name}": name for kind in (task, "baseline") for name in self.names}
        cells = self.evidence.cells if statistic == "jf_mean" else self.cells(statistic, names)
        found = {names[cell]: table for cell, table in cells.items() if cell in names}
        if only is not None:
            found = {name: table[[one for one in table if one in only]] for name, table in found.items()}
        return {name for name in [leader(found, low=low)] if name}

    @cached_property
    def by_sequence(self) -> dict[str, pd.DataFrame]:
        """Each statistic of the sequences, a row per record and a column per sequence."""
        statistics = self.sequences.columns.drop("sequence")
        tables = {name: self.sequences.pivot(columns="sequence", values=name) for name in statistics}
        return {name: table.rename_axis(columns=None) for name, table in tables.items()}

    @cached_property
    def evidence(self) -> Evidence:
        """What claims are judged by."""
        return Evidence(self.cells(), self.costs, self.attributes)

    @cached_property
    def findings(self) -> list[Finding]:
        """A finding for each claim of the run's family."""
        return judge(asked_claims(self.settings), self.evidence, self.settings.claims.margin)

    @cached_property
    def shown(self) -> dict[str, str]:
        """The sequences that are shown, each with the rule that chose it: none is chosen by hand.

        The best, the median and the worst paired difference of the first claim, seeds averaged, and the lowest J&F of
        the last setup.
        """
        reasons: dict[str, list[str]] = {}
        scored = (one for one in self.findings if one.contrast and one.claim.plus[0].split("/")[0] in TASKS)
        contrast = next((one.contrast for one in scored), None)
        if contrast is not None:
            ranked = contrast.values.mean().sort_values(ascending=False, kind="stable").index
            for word, place in {"best": 0, "median": (len(ranked) - 1) // 2, "worst": -1}.items():
                reasons.setdefault(ranked[place], []).append(f"{word} {contrast.label}")
        last = self.settings.setups[-1]
        scores = self.evidence.cells.get(f"{TASKS[0]}/{last}", pd.DataFrame()).mean()
        if len(scores):
            reasons.setdefault(scores.idxmin(), []).append(f"lowest J&F of {last}")
        found = {name: ", ".join(words) for name, words in reasons.items()}
        return found or dict.fromkeys(self.val[:1], "the first")

    @property
    def settings(self) -> Settings:
        """The run's settings."""
        return self.results.settings

    @property
    def names(self) -> pd.Index:
        """The baselines and the setups, as tables call them."""
        return pd.Index([*BASELINES.values(), *self.settings.setups], name="name")

    @property
    def val(self) -> list[str]:
        """Validation sequences."""
        return self.roles["val"]

    @property
    def distractors(self) -> list[str]:
        """Validation sequences with a distractor beside the object."""
        return [name for name in self.val if LOOK_ALIKE in self.attributes.get(name, [])]

    @property
    def controls(self) -> list[str]:
        """The controls among the setups, trained or at test time."""
        return [name for name in (*self.settings.setups, *self.settings.tested) if Setup.parse(name).control]

    @property
    def is_davis(self) -> bool:
        """Whether the data are DAVIS, so that the authors' figures may stand beside."""
        return self.settings.data.kind == "davis"

    @property
    def device(self) -> str:
        """Devices and threads of the measurements, each once."""
        found = self.of("cost")[["record_device", "record_threads"]].drop_duplicates().itertuples(index=False)
        return " / ".join(f"{device}, {threads} thread{'' if threads == 1 else 's'}" for device, threads in found)

    @property
    def context(self) -> str:
        """What every caption ends with."""
        settings, seeds, frames = self.settings, self.settings.seeds, sum(self.lengths[name] for name in self.val)
        data = f"DAVIS 2016 validation at {settings.data.resolution}" if self.is_davis else "generated videos"
        if self.is_davis and settings.data.train_year == 2017 and settings.davis_val_root is None:
            data += " with the masks of 2017 merged"
        count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
        precision = "" if settings.precision == "fp32" else f"; {settings.precision}"
        return (
            f"Run {settings.name}; protocol {settings.protocol_name}{precision}; "
            f"{data} ({len(self.val)} sequences, {frames:,} frames, data {self.digest[:12]}); "
            f"{count} ({', '.join(map(str, seeds))}), ±: half of the 95 % interval; {self.device}."
        )


def of_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Rows of a task's evaluations and of the baselines, which are the same for both tasks."""
    return frame[frame["task"].isin([task, "baseline"])]


def _half_width(values: np.ndarray, scored: bool) -> float:
    """Half of the 95 % interval of a mean over records and sequences; NaN for none, or if `scored` and above 0.5."""
    there = ~np.isnan(values)
    known = complete(pd.DataFrame(values[there.any(1)][:, there.any(0)])).to_numpy()
    half = estimate(known).half_width() if known.size else float("nan")
    return float("nan") if scored and half > 0.5 else half


def _known(values: pd.Series, statistic: Callable[[list[float]], float], least: int) -> float:
    # Python's statistics round once; a sum by pandas depends on the order of its terms.
    known = values.dropna().tolist()
    return statistic(known) if len(known) >= least else float("nan")
