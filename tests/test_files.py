"""Files are whole or absent."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, atomic_write, expect_writable, read_json, write_json, write_text


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with contextlib.suppress(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_behind_goes_with_the_next_atomic_write(tmp_path: Path) -> None:
    (tmp_path / ".file.txt.x1y2.txt").write_text("half")
    (tmp_path / ".file.text").write_text("another's")
    write_text(tmp_path / "file.txt", "≥ ü\n")
    assert (tmp_path / "file.txt").read_bytes() == "≥ ü\n".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.text", "file.txt"]


def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "masks"
    for content in ("old", "new"):
        (tmp_path / ".masks.partial").mkdir()
        (tmp_path / ".masks.partial" / "of-a-killed-writer").write_text("half")
        with atomic_folder(path) as folder:
            (folder / content).write_text(content)
        assert [file.name for file in path.iterdir()] == [content]
    with contextlib.suppress(KeyboardInterrupt), atomic_folder(path) as folder:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.rglob("*")] == ["masks", "new"]


@contextmanager
def small_files() -> Iterator[None]:
    """The system refuses files of more than 1,000 bytes, as a full disk does; pytest's own output too, so be brief."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_weights_that_find_no_room_leave_nothing_and_say_why(tmp_path: Path) -> None:
    import torch
    from slowfast_vos.model.checkpoints import save_checkpoint
    from slowfast_vos.training.loop import Resume, TrainingState

    model = torch.nn.Linear(100, 100)
    state = TrainingState(model, torch.optim.SGD(model.parameters()), 1, 1, resume=Resume(tmp_path / "state.pt", "key"))
    weights = tmp_path / "model.safetensors"
    for path, save in (
        (weights, lambda: save_checkpoint(weights, model, {})),
        (tmp_path / "state.pt", lambda: state.save(now=True)),
    ):
        with pytest.raises(UserError) as refused, small_files():
            save()
        assert str(refused.value) == f"{path}: cannot be written (File too large)"
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: cannot be written"):
        write_text(tmp_path / "folder", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_numbers_that_json_has_not_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"a": [-float("inf")]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"a": 1', b"[NaN]", b"[" * 100_000])
def test_a_file_that_is_no_json_or_missing_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"value\.json: cannot be read as JSON") as error:
        read_json(path)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UserError, match=r"gone\.json: missing; expected a JSON file"):
        read_json(tmp_path / "gone.json")


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match=r"pipe\.json: cannot be read \(no regular file\); expected a JSON file"):
        read_json(tmp_path / "pipe.json")


def test_a_folder_that_cannot_be_written_is_found_beforehand(tmp_path: Path) -> None:
    expect_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("a file")
    for folder in (tmp_path / "file", tmp_path / "file" / "results", Path("/proc/nothing")):
        with pytest.raises(UserError, match=rf"^{folder}: cannot be written \(.*\)$"):
            expect_writable(folder)
