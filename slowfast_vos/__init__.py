"""slowfast-vos: SlowFast networks for video object segmentation, measured."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast_vos.jobs.segment import load_parent
    from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN

__version__ = "0.2.0.dev0"
__all__ = ["SlowFastMaskRCNN", "__version__", "load_parent"]
_LAZY = {"SlowFastMaskRCNN": "model.slowfast_maskrcnn", "load_parent": "jobs.segment"}


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds; the Snakefile and the table commands do without it.
    if name in _LAZY:
        return getattr(import_module(f"slowfast_vos.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
