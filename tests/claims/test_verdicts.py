"""Verdicts on made-up scores whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from slowfast_vos.claims.claims import Claim, asked_claims, cell_names, matching, read_claims
from slowfast_vos.claims.verdicts import Evidence, Finding, judge
from slowfast_vos.config import parse_settings
from slowfast_vos.errors import UserError

MARGIN = 0.02
BETTER = Claim(id="a", says="A.", kind="better", plus=["unsupervised/3-3"], minus=["unsupervised/1-1"])
PLAIN = ["1-1", "3-3", "7-7"]


def cells(seeds: int = 3, sequences: int = 8, noise: float = 0.01, **gains: float) -> dict[str, pd.DataFrame]:
    """Unsupervised scores of setups (`s3_3` for 3-3), each above a common level by its gain."""
    random = np.random.default_rng(63)
    index, columns = list(range(63, 63 + seeds)), [f"video-{number}" for number in range(sequences)]
    level = random.uniform(0.3, 0.8, sequences)
    found = {}
    for name, gain in gains.items():
        values = level + gain + random.normal(0, noise, (seeds, sequences))
        found["unsupervised/" + name.removeprefix("s").replace("_", "-")] = pd.DataFrame(values, index, columns)
    return found


def verdict(claim: Claim, known: Evidence | dict[str, pd.DataFrame]) -> Finding:
    return judge([claim], known if isinstance(known, Evidence) else Evidence(known), MARGIN)[0]


def of_kind(kind: str, **changes: Any) -> Claim:
    return Claim.model_validate(BETTER.model_dump(exclude_none=True) | {"kind": kind} | changes)


@pytest.mark.parametrize(
    ("kind", "gain", "expected"),
    [
        ("better", 0.1, "supported"),
        ("better", -0.1, "contradicted"),
        ("better", 0.0, "contradicted"),  # any gain is below the margin
        ("no better", 0.1, "contradicted"),
        ("no better", 0.0, "supported"),
        ("no better", -0.1, "supported"),
        ("as good for less", -0.1, "contradicted"),
    ],
)
def test_clear_differences_are_decided(kind: str, gain: float, expected: str) -> None:
    found = verdict(of_kind(kind), cells(s1_1=0, s3_3=gain))
    assert found.verdict == expected
    assert found.contrast.label == "3-3 − 1-1"
    assert found.contrast.estimate.mean == pytest.approx(gain, abs=0.02)
    assert found.contrast.wins == {0.1: 8, -0.1: 0}.get(gain, found.contrast.wins)


def test_noise_leaves_a_claim_undecided_and_says_what_would_decide_it() -> None:
    found = verdict(BETTER, cells(noise=0.1, s1_1=0, s3_3=0.08))
    assert found.verdict == "undecided"
    assert found.reason == "neither it nor its opposite is shown at p < 0.05 (Holm)"
    assert "such sequences with 3 seeds" in found.needs


@pytest.mark.parametrize(("seeds", "sequences"), [(2, 8), (1, 8), (3, 5)])
def test_few_seeds_or_sequences_decide_nothing(seeds: int, sequences: int) -> None:
    found = verdict(BETTER, cells(seeds, sequences, s1_1=0, s3_3=0.3))
    assert (found.verdict, found.leaning) == ("undecided", "supported")
    assert found.needs == "at least 3 seeds and 6 sequences"
    assert found.contrast.estimate.mean == pytest.approx(0.3, abs=0.02)


def test_a_missing_sequence_is_left_out_and_a_missing_side_decides_nothing() -> None:
    known = cells(s1_1=0, s3_3=0.1)
    known["unsupervised/3-3"].iloc[1, 2] = np.nan
    found = verdict(BETTER, known)
    assert (found.verdict, found.contrast.estimate.sequences) == ("supported", 7)
    known["unsupervised/3-3"][:] = np.nan
    assert verdict(BETTER, known).reason == "no seed has all the records that it compares"


def test_holm_makes_a_family_stricter_than_one_claim() -> None:
    known = cells(noise=0.03, s1_1=0, s3_3=0.03)
    alone = verdict(BETTER, known)
    assert alone.verdict == "supported"
    others = [BETTER.model_copy(update={"id": f"b{index}"}) for index in range(19)]
    together = judge([BETTER, *others], Evidence(known), MARGIN)[0]
    assert together.p_for == pytest.approx(min(1, 20 * alone.p_for))
    assert together.verdict == "undecided"


def test_alike_needs_every_pair() -> None:
    claim = Claim(id="a", says="A.", kind="alike", plus=["unsupervised/*"])
    assert verdict(claim, cells(noise=0.005, s1_1=0, s3_3=0.002, s7_7=0)).verdict == "supported"
    found = verdict(claim, cells(noise=0.005, s1_1=0, s3_3=0, s7_7=0.1))
    assert (found.verdict, abs(round(found.contrast.estimate.mean, 1))) == ("contradicted", 0.1)
    assert "7-7" in found.contrast.label
    assert verdict(claim, cells(noise=0.05, s1_1=0, s3_3=0, s7_7=0)).verdict == "undecided"


def costs(**milliseconds: tuple[float, float]) -> pd.DataFrame:
    rows = {
        name.removeprefix("s").replace("_", "-"): {
            "gflops_per_frame": low,
            "parameters_total": 1000 * low,
            "milliseconds_per_frame_low": low,
            "milliseconds_per_frame_median": (low + high) / 2,
            "milliseconds_per_frame_high": high,
            "gpu_allocated_bytes": None,
        }
        for name, (low, high) in milliseconds.items()
    }
    return pd.DataFrame.from_dict(rows, "index", dtype=object)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict_", "reason"),
    [
        ((4, 5), (6, 7), "supported", ""),
        ((4, 6), (5, 7), "undecided", "as good, but not shown to cost less"),
        (
            (4, 5),
            (5.4, 6),
            "undecided",
            "as good, but not shown to cost less",
        ),  # less than another process may differ by
        ((6, 7), (4, 5), "undecided", "as good, but not shown to cost less"),
    ],
)
def test_as_good_for_less_needs_both(
    ours: tuple[float, float], theirs: tuple[float, float], verdict_: str, reason: str
) -> None:
    known = Evidence(cells(s1_1=0, s3_3=0), costs(s3_3=ours, s1_1=theirs))
    found = verdict(of_kind("as good for less"), known)
    assert (found.verdict, found.reason) == (verdict_, reason)


def test_as_good_for_less_needs_a_measured_cost() -> None:
    assert verdict(of_kind("as good for less"), cells(s1_1=0, s3_3=0)).reason == "as good; its cost was not measured"


def test_costs_grow_along_an_order_or_do_not() -> None:
    about = {"id": "a", "says": "A.", "kind": "costs more", "order": PLAIN}
    claim = Claim(**about, quantities=["parameters_total", "milliseconds_per_frame"])
    known = Evidence({}, costs(s1_1=(1, 2), s3_3=(3, 4), s7_7=(8, 9)))
    found = verdict(claim, known)
    assert found.verdict == "supported"
    assert (
        found.reason
        == "parameters: 1,000 for 1-1, 3,000 for 3-3, 8,000 for 7-7; ms a frame: 1.5 for 1-1, 3.5 for 3-3, 8.5 for 7-7"
    )
    assert verdict(claim.model_copy(update={"growing_steps": True}), known).verdict == "supported"
    level = Evidence({}, costs(s1_1=(1, 2), s3_3=(6, 7), s7_7=(8, 9)))
    assert verdict(claim.model_copy(update={"growing_steps": True}), level).verdict == "undecided"
    assert verdict(claim, Evidence({}, costs(s1_1=(1, 4), s3_3=(3, 5), s7_7=(8, 9)))).verdict == "undecided"
    assert verdict(claim, Evidence({}, costs(s1_1=(5, 6), s3_3=(3, 4), s7_7=(8, 9)))).verdict == "contradicted"
    times = claim.model_copy(update={"quantities": ["milliseconds_per_frame"]})
    for close in ((2.1, 2.2), (1.85, 1.9)):  # within a tenth of each other
        assert verdict(times, Evidence({}, costs(s1_1=(2, 2), s3_3=close, s7_7=(8, 9)))).verdict == "undecided"


def test_memory_of_a_gpu_is_undecided_until_one_has_run() -> None:
    claim = Claim(id="a", says="A.", kind="costs more", order=["3-3", "7-7"], quantities=["gpu_allocated_bytes"])
    found = verdict(claim, Evidence({}, costs(s3_3=(3, 4), s7_7=(8, 9))))
    assert (found.verdict, found.reason, found.needs) == ("undecided", "none measured", "a run on a GPU")


def test_the_best_configuration_beats_every_other() -> None:
    claim = Claim(id="a", says="A.", kind="best", plus=["grid/*/SF/0.25/0.001"])
    scores = cells(s1_1=0, s3_3=-0.1, s7_7=-0.2)
    names = ["SF/0.25/0.001", "SF/0.25/0.005", "none/0/0.001"]
    grid = {f"grid/3-7/{name}": frame for name, frame in zip(names, scores.values(), strict=True)}
    found = verdict(claim, grid)
    assert (found.verdict, found.contrast.label) == ("supported", "SF / 0.25 / 0.001 − SF / 0.25 / 0.005")
    worse = verdict(claim, dict(zip(grid, [*list(grid.values())[1:], grid["grid/3-7/SF/0.25/0.001"]], strict=True)))
    assert (worse.verdict, worse.contrast.label) == ("contradicted", "SF / 0.25 / 0.001 − none / 0 / 0.001")


def test_strata_are_looked_at_apart() -> None:
    known = cells(3, 12, s1_1=0, s3_3=0)
    attributes = {f"video-{number}": ["FM"] for number in range(0, 12, 2)}
    known["unsupervised/3-3"].iloc[:, ::2] += 0.2
    found = verdict(of_kind("better", more_where="FM"), Evidence(known, attributes=attributes))
    assert found.verdict == "supported"
    assert found.contrast.label == "(3-3 − 1-1 with FM) − (without)"
    assert found.contrast.estimate.mean == pytest.approx(0.2, abs=0.02)
    only = verdict(of_kind("better", where="FM"), Evidence(known, attributes=attributes))
    assert only.contrast.estimate.sequences == 6
    assert verdict(of_kind("better", where="LA"), Evidence(known, attributes=attributes)).contrast is None
    fewer = Evidence(known, attributes={"video-0": ["FM"], "video-1": ["FM"]})
    found = verdict(of_kind("better", more_where="FM"), fewer)
    assert found.reason == "2 of the 6 sequences that a verdict takes"


def test_stars_leave_controls_out() -> None:
    names = ["unsupervised/7-7", "unsupervised/7-7+still", "unsupervised/7-7@still", "semi-supervised/7-7"]
    assert matching(["unsupervised/*"], names) == ["unsupervised/7-7"]
    assert matching(["unsupervised/7-7+still", "*/7-7"], names) == [names[0], names[1], names[3]]


def settings(**changes: Any) -> Any:
    return parse_settings({"data": {"kind": "synthetic", "held_out": ["a"]}} | changes, "test")


def test_a_run_is_asked_what_its_setups_can_answer() -> None:
    plain = {claim.id for claim in asked_claims(settings())}
    assert {"three-frames", "fine-tuning", "best-configuration", "frozen-backbone", "less-memory"} <= plain
    assert not plain & {"frames-not-capacity", "strided"}
    small = [claim.id for claim in asked_claims(settings(setups=["1-1", "3-3"], tuning={"setups": []}))]
    assert small == ["three-frames", "semi-supervised-alike", "best-configuration", "fine-tuning"]
    family = ["fine-tuning", "three-frames"]
    assert [claim.id for claim in asked_claims(settings(claims={"family": family}))] == family
    assert "grid/3-7/SF/0.25/0.001" in cell_names(settings())


@pytest.mark.parametrize(
    ("family", "problem"),
    [(["three-cups"], "found 'three-cups'; expected some of"), (["strided"], "that this run has not")],
)
def test_a_family_that_cannot_be_asked_is_refused(family: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        asked_claims(settings(claims={"family": family}))


def test_a_users_file_adds_and_replaces_claims(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "- {id: mine, says: Mine., kind: alike, plus: [unsupervised/*]}\n"
        "- {id: strided, says: Mine too., kind: better, plus: [unsupervised/3-7], minus: [unsupervised/1-1]}\n"
    )
    claims = {claim.id: claim for claim in read_claims(str(path))}
    assert claims["strided"].says == "Mine too."
    assert len(claims) == len(read_claims()) + 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- {id: a, says: A., kind: better, plus: [unsupervised/3-3]}", "expected \\['minus', 'plus'\\]"),
        ("- {id: a, says: A., kind: grand, plus: [unsupervised/3-3]}", "0.kind"),
        (
            "- {id: a, says: A., kind: better, plus: [unsupervised/3-3], minus: [grid/3-3/SF/0/0.1]}",
            "cells of one form",
        ),
        ("{a: 1}", "list"),
        ("- [", "cannot be read as YAML"),
        ("- &a {id: a, says: A., kind: alike, plus: [unsupervised/*]}\n- *a", "more than once"),
    ],
)
def test_a_file_of_no_claims_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=problem) as error:
        read_claims(str(path))
    assert str(path) in str(error.value)
    with pytest.raises(UserError, match="missing"):
        read_claims(str(tmp_path / "missing.yaml"))
