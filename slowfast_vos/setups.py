"""The five setups, their controls and all others: how many frames the two pathways see, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from slowfast_vos.errors import UserError

# What a control does to the module; `wide` may name the setup whose parameters it matches.
CONTROLS = ("none", "still", "shuffled", "strided", "wide")
TESTED = ("still", "shuffled")
WIDE_AS = "7-7"
MAX_FRAMES = 255  # of a window; the layers of a longer one fill any memory


def temporal_kernels(frames: int) -> tuple[int, int, int]:
    """Kernel sizes over time of the three layers of a pathway that sees `frames` frames.

    Their valid convolutions take `frames` to 1: the kernels sum to `frames` + 2.
    """
    third, rest = divmod(frames, 3)
    return ((third, third + 1, third + 1), (third + 1,) * 3, (third + 1, third + 1, third + 2))[rest]


@dataclass(frozen=True)
class Setup:
    """How many frames the slow and the fast pathway see, `slow`-`fast` in the paper's notation, and maybe a control.

    Controls tell what an effect is due to: `none` has no module at all; `still` sees the centre frame in place of
    every other; `shuffled` sees the other frames of the window in random order; `strided` spreads the slow frames
    over the fast window, as SlowFast does, instead of taking its centre; `wide` has inner channels for as many
    parameters as setup 7-7, `wide3-7` for as many as 3-7. A control may act at test time alone: `7-7@still` has the
    weights of 7-7.

    Raises:
        UserError: unless 1 ≤ slow ≤ fast ≤ 255 and fast − slow is even: the slow window is the centre of the fast one;
            or the control is unknown, or cannot be.
    """

    slow: int
    fast: int
    control: str = ""
    tested: bool = False  # at test time alone

    def __post_init__(self) -> None:
        for frames in (self.slow, self.fast):
            if not isinstance(frames, Integral) or isinstance(frames, bool):
                raise UserError(f"setup {self}: found {frames!r} frames; expected a whole number")
        if not 1 <= self.slow <= self.fast:
            raise UserError(
                f"setup {self}: found {self.slow} slow and {self.fast} fast frames; expected 1 ≤ slow ≤ fast"
            )
        if self.fast > MAX_FRAMES:
            raise UserError(f"setup {self}: found {self.fast} fast frames; expected at most {MAX_FRAMES}")
        if (self.fast - self.slow) % 2:
            raise UserError(
                f"setup {self}: fast − slow is {self.fast - self.slow}; expected an even number, "
                "so that the slow window lies in the centre of the fast one"
            )
        self._check_control()

    def _check_control(self) -> None:
        known = self.control in ("", *CONTROLS) or (self.wide_as is not None and not self.wide_as.control)
        if not known:
            raise UserError(f"setup {self}: found control {self.control!r}; expected one of {', '.join(CONTROLS)}")
        if self.tested and self.control not in TESTED:
            raise UserError(
                f"setup {self}: found control {self.control!r} at test time; expected one of {', '.join(TESTED)}"
            )
        if self.control == "strided" and (self.slow < 2 or (self.fast - 1) % (self.slow - 1)):
            raise UserError(
                f"setup {self}: {self.slow} slow frames cannot be spread evenly over {self.fast}; "
                "expected fast − 1 to be a multiple of slow − 1, such as 3-7+strided"
            )

    @classmethod
    def parse(cls, name: str) -> Setup:
        """Read a setup's name, such as "3-7", "7-7+still" or "7-7@still"."""
        found = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})(?:([+@])(.+))?", str(name))
        if not found:
            raise UserError(f'setup {name!r}: expected "slow-fast" in frames, such as "3-7", or "slow-fast+control"')
        return cls(int(found[1]), int(found[2]), found[4] or "", found[3] == "@")

    def __str__(self) -> str:
        mark = "@" if self.tested else "+"
        return f"{self.slow}-{self.fast}" + (f"{mark}{self.control}" if self.control else "")

    @property
    def trained(self) -> str:
        """The name of the setup that has the weights."""
        return self.plain if self.tested else str(self)

    @property
    def plain(self) -> str:
        """The name of the setup that a control varies: its own, without one."""
        return f"{self.slow}-{self.fast}"

    @property
    def wide_as(self) -> Setup | None:
        """The setup whose parameters a `wide` control matches."""
        return Setup.parse(self.control.removeprefix("wide") or WIDE_AS) if str(self.control)[:4] == "wide" else None

    @property
    def seen(self) -> int:
        """Frames of the video that a window covers: `fast`, but one where neighbours are not looked at."""
        return 1 if self.control in ("none", "still") else self.fast

    @property
    def before(self) -> int:
        """Frames of the window that precede the centre frame."""
        return self.seen // 2

    @property
    def after(self) -> int:
        """Frames of the window that follow the centre frame."""
        return self.seen - 1 - self.before

    def window(self, centres: Sequence[int], length: int) -> range:
        """Frames of a video of `length` that the windows of consecutive centre frames cover."""
        return range(max(centres[0] - self.before, 0), min(centres[-1] + self.after + 1, length))

    def mirrored_window(self, length: int) -> list[int]:
        """Frames of the window of frame 0 of a video of `length`: those that follow, mirrored in time on the left.

        For seven frames `[3, 2, 1, 0, 1, 2, 3]`; in a shorter video its last frame stands for those beyond.
        """
        return [min(abs(offset), length - 1) for offset in range(-self.before, self.after + 1)]

    @property
    def slow_kernels(self) -> tuple[int, int, int]:
        """Temporal kernels of the slow pathway."""
        return temporal_kernels(self.slow)

    @property
    def fast_kernels(self) -> tuple[int, int, int]:
        """Temporal kernels of the fast pathway."""
        return temporal_kernels(self.fast)

    @property
    def fuse_kernels(self) -> tuple[int, int]:
        """Temporal kernels of the two fast→slow connections: what is left of the difference at their depth."""
        slow, fast = self.slow_kernels, self.fast_kernels
        first = self.fast - self.slow - (fast[0] - slow[0]) + 1
        return first, first - (fast[1] - slow[1])
