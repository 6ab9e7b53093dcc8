"""Why a job failed: one line that says what to do; a configuration's failure is its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from slowfast_vos.errors import UserError
from slowfast_vos.jobs import finetune
from slowfast_vos.jobs.failures import failure_of_configuration
from slowfast_vos.measuring.record import read_record
from slowfast_vos.training.loop import DivergedError

if TYPE_CHECKING:
    from conftest import Run

SETUP, SEED = "1-3", 63
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB."
EXPLAINED = "out of GPU memory (CUDA out of memory); lower model.max_size or model.chunk_length; in training also "
EXPLAINED += "detector.batch_size, parent.frames_per_step or parent.feature_cache_gib"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DivergedError("grid: found a loss"), "grid: found a loss"),
        (torch.OutOfMemoryError(FULL), EXPLAINED),
        (RuntimeError("shapes\n differ"), "RuntimeError: shapes differ"),
    ],
)
def test_a_configurations_failure_is_one_line(error: Exception, reason: str) -> None:
    assert failure_of_configuration(error) == reason


@pytest.mark.parametrize("error", [UserError("a frame is missing"), RuntimeError("CUDA error: device-side assert")])
def test_what_concerns_all_configurations_is_raised_again(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        failure_of_configuration(error)
    assert raised.value is error


def test_a_configuration_that_crashes_is_a_failed_record_and_the_others_are_computed(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = finetune.fine_tune

    def crash(*arguments: Any, **options: Any) -> Any:
        if arguments[3].lr == "0.0021":
            raise RuntimeError("a bug")
        return original(*arguments, **options)

    monkeypatch.setattr(finetune, "fine_tune", crash)
    # A run of its own, with the parent of the other.
    parent, root = inside.results.parent(SETUP, SEED), inside.folder / "results" / "crashing"
    shutil.copytree(parent, root / parent.relative_to(inside.results.root))
    done = inside.verb("grid", "--setup", SETUP, name="crashing", grid={"lr": ["0.0021", "0.003"], "freeze": ["BB_SF"]})
    assert done.exit_code == 0, done.output
    paths = [root / f"grid/{SETUP}/freeze=BB_SF/scale=0/lr={lr}/seed={SEED}.json" for lr in ("0.0021", "0.003")]
    crashed, other = map(read_record, paths)
    shutil.rmtree(root)
    assert (crashed.status, crashed.error) == ("failed", "RuntimeError: a bug")
    assert other.status == "done"
    assert "Traceback" in done.stderr  # the log tells where


def test_a_gpu_that_is_full_ends_in_one_line_that_says_what_to_lower(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError(FULL)

    monkeypatch.setattr("slowfast_vos.jobs.train.train_detector", full)
    done = inside.verb("train-detector", name="full")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"error: {EXPLAINED}"
    assert "Traceback" not in done.stderr
