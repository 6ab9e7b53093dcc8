"""Attempts that take their process with them: after two, the next one fails by itself, and the others go on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from slowfast_vos.errors import LostError
from slowfast_vos.jobs import finetune
from slowfast_vos.jobs.attempts import attempt
from slowfast_vos.jobs.failures import DiedError
from slowfast_vos.measuring.notes import read_note
from slowfast_vos.measuring.record import read_record

if TYPE_CHECKING:
    from conftest import Run

SETUP, SEED = "1-3", 63
LOST = RuntimeError("CUDA error: device-side assert triggered")
KILLED = """
import os, signal, sys
from pathlib import Path
from slowfast_vos.jobs.attempts import attempt

with attempt(Path(sys.argv[1]), []):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die(path: Path, error: BaseException = LOST, states: list[Path] | None = None) -> None:
    with pytest.raises(type(error)), attempt(path, states or []):
        raise error


def test_a_killed_process_counts(tmp_path: Path) -> None:
    path = tmp_path / "work" / "attempt"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
    with pytest.raises(DiedError, match="its process died 2 times without getting further"), attempt(path, []):
        pass
    with attempt(path, []):  # from the start again
        pass
    assert not path.exists()


@pytest.mark.parametrize("error", [LOST, LostError("no CUDA device")])
def test_a_lost_gpu_counts(tmp_path: Path, error: Exception) -> None:
    for _ in range(2):
        die(tmp_path / "attempt", error)
    die(tmp_path / "attempt", DiedError())


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("CUDA error: out of memory"), SystemExit(143)])
def test_an_error_of_its_own_and_a_stop_do_not_count(tmp_path: Path, error: BaseException) -> None:
    die(tmp_path / "attempt")
    die(tmp_path / "attempt", error)
    for _ in range(2):
        die(tmp_path / "attempt")
    die(tmp_path / "attempt", DiedError())


def test_an_attempt_that_got_further_is_the_first_of_its_kind(tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    for step in range(5):
        state.write_text(str(step))
        die(tmp_path / "attempt", states=[state])
    die(tmp_path / "attempt", states=[state])
    die(tmp_path / "attempt", DiedError(), [state])


def test_a_configuration_that_loses_the_gpu_each_time_is_a_failed_row_at_the_third(
    inside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = finetune.fine_tune

    def lose(*arguments: Any, **options: Any) -> Any:
        if arguments[3].lr == "0.0021":
            raise LOST
        return original(*arguments, **options)

    monkeypatch.setattr(finetune, "fine_tune", lose)
    # Within one run: a cluster tries again what did not fail by itself.
    monkeypatch.setenv("SLOWFAST_VOS_RUN", "one")
    parent, root = inside.results.parent(SETUP, SEED), inside.folder / "results" / "losing"
    shutil.copytree(parent, root / parent.relative_to(inside.results.root))
    changes = {"name": "losing", "grid": {"lr": ["0.0021", "0.003"], "freeze": ["BB_SF"]}}
    note = inside.folder / "logs" / "losing" / "grid" / SETUP / f"seed={SEED}.part=1-of-1.json"
    for _ in range(2):
        assert inside.verb("grid", "--setup", SETUP, **changes).exception is LOST
        found = read_note(note)
        assert (found.state, found.error) == ("stopped", "RuntimeError: CUDA error: device-side assert triggered")
    done = inside.verb("grid", "--setup", SETUP, **changes)
    assert done.exit_code == 0, done.output
    paths = [root / f"grid/{SETUP}/freeze=BB_SF/scale=0/lr={lr}/seed={SEED}.json" for lr in ("0.0021", "0.003")]
    lost, other = map(read_record, paths)
    assert not list(root.rglob("*.attempt"))
    shutil.rmtree(root)
    assert lost.error.startswith("its process died 2 times")
    assert other.status == "done"
