"""WeasyPrint 70.0 -> the same bytes in less time, while `quick` is entered; another version is left as it is.

Three results that WeasyPrint throws away and makes again are kept: the computed styles of a template from one
document to the next, the lengths of a box of a style in a block of a size, and the shaped text from layout to drawing.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from xml.etree.ElementTree import Element

import pydyf
import weasyprint
from weasyprint.css import ComputedStyle, InitialStyle, StyleFor
from weasyprint.formatting_structure import boxes
from weasyprint.layout import percent
from weasyprint.text.ffi import pango
from weasyprint.text.line_break import Layout

KNOWN_VERSION = "70.0"
MOST_STYLES = 4000
MOST_SIZES = 50
SIDES = ("top", "right", "bottom", "left")
LENGTHS = (
    *(f"margin_{side}" for side in SIDES),
    *(f"padding_{side}" for side in SIDES),
    *(f"border_{side}_width" for side in SIDES),
    *(f"{limit}{axis}" for limit in ("", "min_", "max_") for axis in ("width", "height")),
)

_resolve_percentages = percent.resolve_percentages
_set_computed_styles = StyleFor.set_computed_styles
_set_text = Layout.set_text


def style_keeper(kept: dict[Any, ComputedStyle]) -> Any:
    """`StyleFor.set_computed_styles` with one computed style for all elements of all documents of a template that
    inherit from the same style and are given the same declarations."""

    def set_computed_styles(
        self: StyleFor, element: Any, parent: Any, root: Any = None, pseudo_type: str | None = None,
        base_url: str | None = None, target_collector: Any = None,
    ) -> None:
        if not isinstance(element, Element):  # a page
            _set_computed_styles(self, element, parent, root, pseudo_type, base_url, target_collector)
            return
        styles, cascaded = self.get_computed_styles(), self.get_cascaded_styles().get((element, pseudo_type), {})
        above = None if parent is None else styles[parent, None]
        # Declarations of a style sheet are told apart by identity (a style holds its own, none is reused); `lang` is
        # parsed for every document.
        key = (
            id(above),
            pseudo_type,
            tuple((name, weight, value if name == "lang" else id(value)) for name, (value, weight) in cascaded.items()),
        )
        style = kept.get(key)
        if style is None:
            if len(kept) >= MOST_STYLES:
                kept.clear()
            top = InitialStyle(self.font_config) if above is None else styles[root, None]
            style = kept[key] = ComputedStyle(
                above, cascaded, pseudo_type, top, base_url, self.font_config, self.initial_page_sizes
            )
        elif above is None or above.is_root_element:
            style.pop("overflow", None)  # moved from <html> or <body> to the page
        styles[element, pseudo_type] = style
        if target_collector and style["anchor"]:
            target_collector.collect_anchor(style["anchor"])

    return set_computed_styles


def resolve_percentages(box: Any, containing_block: Any) -> None:
    """`percent.resolve_percentages`, once a style and size of the containing block."""
    style = box.style
    if (
        isinstance(box, boxes.PageBox)
        or box.is_flex_item
        or box.is_grid_item
        or style["border_collapse"] == "collapse"
    ):
        _resolve_percentages(box, containing_block)
        return
    size = (
        (containing_block.width, containing_block.height)
        if isinstance(containing_block, boxes.Box)
        else containing_block
    )
    known = style.__dict__.setdefault("lengths", {})
    if size in known:
        box.__dict__.update(known[size])
        return
    _resolve_percentages(box, containing_block)
    if len(known) >= MOST_SIZES:
        known.clear()
    known[size] = {name: box.__dict__[name] for name in LENGTHS}


def deactivate(_layout: Layout) -> None:
    """Shaped text is kept until it is drawn."""


def reactivate(layout: Layout, style: Any) -> None:
    if layout.justification_spacing:
        layout.setup(style)
        layout.set_text(layout.text, justify=True)


def set_text(layout: Layout, text: str, justify: bool = False) -> None:
    """Drawing asks for one paragraph; asked for now, the text need not be shaped again."""
    _set_text(layout, text, justify)
    pango.pango_layout_set_single_paragraph_mode(layout.layout, layout.text.isprintable())


@contextmanager
def quick(kept: dict[Any, ComputedStyle]) -> Iterator[None]:
    """WeasyPrint in less time.

    Parameters
    ----------
    kept : computed styles of earlier documents of the same style sheets; empty at first
    """
    with ExitStack() as changed:
        if weasyprint.__version__ == KNOWN_VERSION:
            for owner, name, value in (
                (StyleFor, "set_computed_styles", style_keeper(kept)),
                (pydyf, "zlib", SimpleNamespace(compressobj=lambda level: zlib.compressobj(4))),
                (Layout, "deactivate", deactivate),
                (Layout, "reactivate", reactivate),
                (Layout, "set_text", set_text),
                *((module, "resolve_percentages", resolve_percentages) for module in _users()),
            ):
                changed.enter_context(patch.object(owner, name, value))
        yield


def _users() -> list[Any]:
    """The modules that have taken `resolve_percentages` from `percent`."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("weasyprint.layout.") and hasattr(module, "resolve_percentages")
    ]
