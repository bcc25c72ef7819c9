"""Records and pictures -> case PDF, run report and index. Only here: Jinja2, WeasyPrint, Babel.

`pictures` is NumPy and OpenCV only; `Renderer` is looked up late, so that a worker that draws
overlays does not pay for WeasyPrint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxr_audit.report.contours import marked, outlines
from cxr_audit.report.pictures import (
    colour_bar_stops,
    display,
    encode_jpeg,
    encode_png,
    is_faint,
    overlay,
)

if TYPE_CHECKING:
    from cxr_audit.report.documents import Renderer

__all__ = [
    "Renderer",
    "colour_bar_stops",
    "display",
    "encode_jpeg",
    "encode_png",
    "is_faint",
    "marked",
    "outlines",
    "overlay",
]


def __getattr__(name: str) -> Any:
    if name == "Renderer":
        from cxr_audit.report.documents import Renderer

        return Renderer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
