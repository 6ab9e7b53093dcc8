"""Masks over frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from slowfast_vos.errors import UserError
from slowfast_vos.videos.overlay import PREDICTION, overlay, overlay_video

from video_files import noise


def test_overlay_colours_the_mask_alone() -> None:
    frame = np.full((40, 60, 3), 200, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 7
    drawn = overlay(frame, mask, 120, PREDICTION).astype(int)
    assert drawn.shape == (80, 120, 3)
    assert drawn[40, 60, 0] - drawn[40, 60, 1] > 50
    assert np.ptp(drawn[5, 5]) == 0


def test_an_overlay_is_a_file_that_browsers_play(tmp_path: Path) -> None:
    path, frame = tmp_path / "new" / "overlay.mp4", np.full((49, 65, 3), 120, np.uint8)
    masks = np.zeros((5, 49, 65), bool)
    masks[3, 10:40, 20:50] = True
    with overlay_video(path, Fraction(30000, 1001)) as add:
        for mask in masks:
            add(frame, mask)
        assert not path.exists()
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == (
            "h264",
            "yuv420p",
            Fraction(30000, 1001),
        )
        found = [one.to_ndarray(format="rgb24").astype(int) for one in file.decode(video=0)]
    assert [one.shape for one in found] == [(48, 64, 3)] * 5
    assert [int(one[25, 35, 0] - one[25, 35, 1]) > 40 for one in found] == [False, False, False, True, False]


def test_an_overlay_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), overlay_video(tmp_path / "overlay.mp4", Fraction(12)) as add:
        add(noise(1)[0], None)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), overlay_video(tmp_path / "file/o.mp4", Fraction(12)):
        pass
