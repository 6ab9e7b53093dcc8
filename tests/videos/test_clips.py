"""Video files: every frame once, upright and in order; what is no whole video is named."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from slowfast_vos.errors import UserError
from slowfast_vos.videos.clips import open_clip, open_source
from slowfast_vos.videos.davis import Video

from video_files import noise, write_clip


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_file_gives_its_frames_in_order_and_again(tmp_path: Path, count: int) -> None:
    frames = noise(7)
    clip = open_clip(write_clip(tmp_path / "my clip: 1.mov", frames, rate=30))
    assert (clip.name, clip.rate, clip.length) == ("my clip: 1", Fraction(30), 7)
    assert list(islice(clip.stems(), 2)) == ["00000", "00001"]
    for _ in range(2):
        found = [frame.mul(255).permute(1, 2, 0).numpy() for frame in clip.iterate(count)]
        assert np.array_equal(found, frames)


def test_a_reader_that_stops_early_stops_the_decoder(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "clip.mov", noise(7)))
    frames = clip.iterate(3)
    next(frames)
    frames.close()
    assert len(list(clip.iterate(3))) == 7


@pytest.mark.parametrize(
    ("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)], ids=["90", "180", "270"]
)
def test_a_file_that_says_how_to_turn_it_is_upright(tmp_path: Path, matrix: tuple[int, ...], turns: int) -> None:
    frames = noise(2, 48, 64)
    data = bytearray(write_clip(tmp_path / "clip.mov", frames).read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # the matrix of the track's header, in 16.16 bits
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mov").write_bytes(data)
    found = list(open_clip(tmp_path / "turned.mov").pictures())
    assert np.array_equal(found, [np.rot90(frame, turns) for frame in frames])


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    parts = []
    for width in (64, 80):
        parts.append(tmp_path / f"{width}.mjpeg")
        with av.open(str(parts[-1]), "w") as file:
            stream = file.add_stream("mjpeg", rate=12)
            stream.height, stream.width, stream.pix_fmt = 48, width, "yuvj420p"
            for frame in noise(2, 48, width):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())
    path = tmp_path / "both.mjpeg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UserError, match=r"both\.mjpeg: found 80×48 pixels in frame 2; expected 64×48 pixels, as befo"):
        list(open_clip(path).iterate())


def test_a_file_that_is_cut_off_or_damaged_is_refused_where_it_breaks(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", noise(60), codec="mpeg4").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    clip = open_clip(tmp_path / "cut.mkv")
    frames = clip.iterate(2)
    assert len(list(islice(frames, 20))) == 20
    with pytest.raises(UserError, match=r"cut\.mkv: (found|cannot be decoded after) \d\d frames"):
        list(frames)
    data = bytearray(write_clip(tmp_path / "whole.mp4", noise(60), codec="mpeg4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + middle // 2] = bytes(range(256)) * (middle // 512) + bytes(middle // 2 % 256)
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(UserError, match=r"damaged\.mp4: (found|cannot be decoded after) [1-5]\d frames"):
        list(open_clip(tmp_path / "damaged.mp4").iterate())


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("No video.")
    whole = write_clip(tmp_path / "whole.mp4", noise(9), codec="mpeg4").read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])
    for name in ("empty.mp4", "words.mp4", "headless.mp4"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read; expected a video file or a folder of frames \("):
            open_source(tmp_path / name)
    with av.open(str(tmp_path / "sound.mka"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    with pytest.raises(UserError, match=r"sound\.mka: found no video in it; expected"):
        open_source(tmp_path / "sound.mka")
    Image.fromarray(noise(1)[0]).save(tmp_path / "00000.png")
    with pytest.raises(UserError, match=r"00000\.png: found a picture; expected a video file or a folder of frames"):
        open_source(tmp_path / "00000.png")
    with pytest.raises(UserError, match=r"gone\.mp4: missing; expected a video file or a folder"):
        open_source(tmp_path / "gone.mp4")
    with pytest.raises(UserError, match=r"thin\.mov: found 204×4 pixels; expected a frame whose sides differ"):
        open_source(write_clip(tmp_path / "thin.mov", noise(1, 4, 204)))
    folder = tmp_path / "folder"
    folder.mkdir()
    Image.fromarray(noise(1)[0]).save(folder / "00000.png")
    assert open_source(folder) == Video("folder", (folder / "00000.png",))
