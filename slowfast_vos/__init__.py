"""slowfast-vos: SlowFast networks for video object segmentation, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN

__version__ = "0.2.0.dev0"
__all__ = ["SlowFastMaskRCNN", "__version__"]


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds; the Snakefile and the table commands do without it.
    if name == "SlowFastMaskRCNN":
        from slowfast_vos.model.slowfast_maskrcnn import SlowFastMaskRCNN

        return SlowFastMaskRCNN
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
