"""The five setups and all others: how many frames the two pathways see, and the kernels that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slowfast_vos.errors import UserError


def temporal_kernels(frames: int) -> tuple[int, int, int]:
    """Kernel sizes over time of the three layers of a pathway that sees `frames` frames.

    Their valid convolutions take `frames` to 1: the kernels sum to `frames` + 2.
    """
    third, rest = divmod(frames, 3)
    return ((third, third + 1, third + 1), (third + 1,) * 3, (third + 1, third + 1, third + 2))[rest]


@dataclass(frozen=True)
class Setup:
    """How many frames the slow and the fast pathway see, `slow`-`fast` in the paper's notation.

    Raises:
        UserError: unless 1 ≤ slow ≤ fast and fast − slow is even, so that the slow window is the fast one's centre.
    """

    slow: int
    fast: int

    def __post_init__(self) -> None:
        if not 1 <= self.slow <= self.fast:
            raise UserError(
                f"setup {self}: found {self.slow} slow and {self.fast} fast frames; expected 1 ≤ slow ≤ fast"
            )
        if (self.fast - self.slow) % 2:
            raise UserError(
                f"setup {self}: fast − slow is {self.fast - self.slow}; expected an even number, "
                "so that the slow window lies in the centre of the fast one"
            )

    @classmethod
    def parse(cls, name: str) -> Setup:
        """Read a setup's name, such as "3-7"."""
        slow, dash, fast = str(name).partition("-")
        if not (dash and slow.isdecimal() and fast.isdecimal()):
            raise UserError(f'setup {name!r}: expected "slow-fast" in frames, such as "3-7"')
        return cls(int(slow), int(fast))

    def __str__(self) -> str:
        return f"{self.slow}-{self.fast}"

    @property
    def before(self) -> int:
        """Frames of the fast window that precede the centre frame."""
        return self.fast // 2

    @property
    def after(self) -> int:
        """Frames of the fast window that follow the centre frame."""
        return self.fast - 1 - self.before

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
