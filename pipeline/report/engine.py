"""WeasyPrint 70.0 -> the same page in less time, while `quick` is entered; another version is left as it is.

What WeasyPrint makes again for every document, or twice in one, is kept here: the computed styles of a template, the
lengths of a box of a style in a block of a size, and lines of shaped text. The rest are short cuts of small functions.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from xml.etree.ElementTree import Element

import pydyf
import weasyprint
from weasyprint.css.properties import Dimension
from weasyprint.css import ComputedStyle, InitialStyle, StyleFor
from weasyprint.formatting_structure import boxes
from weasyprint.draw import text as draw_text
from weasyprint.draw.color import get_color
from weasyprint.layout import background, inline, percent
from weasyprint.text import line_break
from weasyprint.text.ffi import pango
from weasyprint.text.line_break import Layout

KNOWN_VERSION = "70.0"
MOST_STYLES = 4000
MOST_LINES = 2000
MOST_SIZES = 50
SIDES = ("top", "right", "bottom", "left")
LENGTHS = (
    *(f"margin_{side}" for side in SIDES),
    *(f"padding_{side}" for side in SIDES),
    *(f"border_{side}_width" for side in SIDES),
    *(f"{limit}{axis}" for limit in ("", "min_", "max_") for axis in ("width", "height")),
)

NO_BACKGROUND = {"background": None} | dict.fromkeys(
    (f"border_{corner}_radius" for corner in ("top_left", "top_right", "bottom_right", "bottom_left")), (0, 0)
)

_resolve_percentages = percent.resolve_percentages
_set_text = Layout.set_text
_split_first_line = line_break.split_first_line
_draw_first_line = draw_text.draw_first_line
_layout_box_backgrounds = background.layout_box_backgrounds
_font_key = line_break._font_style_cache_key
_get_font_description = line_break.get_font_description
_is_in_normal_flow = boxes.Box.is_in_normal_flow
_to_bytes = pydyf._to_bytes


@dataclass
class Kept:
    styles: dict[Any, Any] = field(default_factory=dict)
    lines: dict[Any, Any] = field(default_factory=dict)

    def set_computed_styles(self) -> Any:
        """`StyleFor.set_computed_styles` with one computed style for all elements of all documents of a template that
        inherit from the same style and are given the same declarations."""

        def set_computed_styles(
            style_for: StyleFor,
            element: Any,
            parent: Any,
            root: Any = None,
            pseudo_type: str | None = None,
            base_url: str | None = None,
            target_collector: Any = None,
        ) -> None:
            styles = style_for.get_computed_styles()
            cascaded = style_for.get_cascaded_styles().get((element, pseudo_type), {})
            above = None if parent is None else styles[parent, None]
            # Declarations of a style sheet are told apart by identity (a style holds its own, none is reused); `lang` is
            # parsed for every document.
            key = (
                id(above),
                pseudo_type,
                isinstance(element, Element),
                tuple((name, value if name == "lang" or isinstance(value, Dimension) else id(value)) for name, (value, _) in cascaded.items()),
            )
            style = self.styles.get(key)
            if style is None:
                if len(self.styles) >= MOST_STYLES:
                    self.styles.clear()
                top = InitialStyle(style_for.font_config) if above is None else styles[root, None]
                style = self.styles[key] = ComputedStyle(
                    above, cascaded, pseudo_type, top, base_url, style_for.font_config, style_for.initial_page_sizes
                )
            elif above is None or above.is_root_element:
                style.pop("overflow", None)  # moved from <html> or <body> to the page
            styles[element, pseudo_type] = style
            if target_collector and style["anchor"]:
                target_collector.collect_anchor(style["anchor"])

        return set_computed_styles

    def split_first_line(self) -> Any:
        def split_first_line(
            text: str, style: Any, context: Any, max_width: Any, justification_spacing: float, is_line_start: bool = True,
            minimum: bool = False,
        ) -> Any:
            key = text, id(style), max_width, justification_spacing, is_line_start, minimum
            line, written, _ = self.lines.get(key, (None, None, None))
            if line is None or line[0].text != written:
                line = _split_first_line(text, style, context, max_width, justification_spacing, is_line_start, minimum)
                if len(self.lines) >= MOST_LINES:
                    self.lines.clear()
                self.lines[key] = line, line[0].text, style
            return line

        return split_first_line


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


def draw_first_line(stream: Any, textbox: Any, text_overflow: str, block_ellipsis: str, matrix: Any) -> Any:
    """`draw.text.draw_first_line`; a line that is kept is drawn once. Fonts collect the glyphs that they are to hold."""
    line = textbox.pango_layout
    if text_overflow == "ellipsis" or block_ellipsis != "none" or line.justification_spacing:
        return _draw_first_line(stream, textbox, text_overflow, block_ellipsis, matrix)
    if "drawn" in line.__dict__:
        operators, fonts = line.drawn
        stream.set_text_matrix(*matrix.values)
        stream.stream += operators
        for pango_font, widths, texts in fonts:
            font, _ = stream.add_font(pango_font)
            _add(font.widths, widths)
            _add(font.to_unicode, texts)
        return []
    known = {font: (font.widths, font.to_unicode) for font in stream._fonts.values()}
    for font in known:
        font.widths, font.to_unicode = {}, {}
    used: dict[Any, Any] = {}
    stream.add_font = lambda pango_font: used.setdefault(pango_font, type(stream).add_font(stream, pango_font))
    start = len(stream.stream) + 1
    emojis = _draw_first_line(stream, textbox, text_overflow, block_ellipsis, matrix)
    del stream.add_font
    fonts = [(pango_font, {**font.widths}, {**font.to_unicode}) for pango_font, (font, _) in used.items()]
    if not emojis and not any(0 in widths for _, widths, _ in fonts):  # 0: a character that no font has; is logged
        line.drawn = stream.stream[start:], fonts
    for font, (widths, texts) in known.items():
        _add(widths, font.widths)
        _add(texts, font.to_unicode)
        font.widths, font.to_unicode = widths, texts
    return emojis


def _add(known: dict[Any, Any], new: dict[Any, Any]) -> None:
    """What is known first stays, in its order."""
    for key, value in new.items():
        known.setdefault(key, value)


def layout_box_backgrounds(page: Any, box: Any, get_image: Any, layout_children: bool = True, style: Any = None) -> None:
    """`background.layout_box_backgrounds`; most boxes have neither a background nor rounded corners."""
    if style is not None or box is page or not isinstance(box, boxes.Box) or not _is_bare(box.style):
        _layout_box_backgrounds(page, box, get_image, layout_children, style)
        return
    box.__dict__.update(NO_BACKGROUND)
    for child in box.all_children():
        layout_box_backgrounds(page, child, get_image)


def _is_bare(style: Any) -> bool:
    if "is_bare" not in style.__dict__:
        style.is_bare = (
            style["border_image_source"][0] == style["mask_border_source"][0] == "none"
            and all(kind == "none" for kind, _ in style["background_image"])
            and get_color(style, "background_color").alpha == 0
            and not style["box_shadow"]
            and all((0, "px") in style[name] for name in NO_BACKGROUND if name != "background")
        )
    return style.is_bare


def font_key(style: Any, include_size: bool = False) -> Any:
    name = "font_size_key" if include_size else "font_key"
    if name not in style.__dict__:
        style.__dict__[name] = _font_key(style, include_size)
    return style.__dict__[name]


def get_font_description(style: Any) -> Any:
    if "font_description" not in style.__dict__:
        style.__dict__["font_description"] = _get_font_description(style)
    return style.__dict__["font_description"]


def is_in_normal_flow(box: Any) -> bool:
    style = box.style
    return (style["float"] == "none" and style["position"] in ("static", "relative")) or _is_in_normal_flow(box)


def to_bytes(item: Any) -> bytes:
    kind = type(item)
    if kind is bytes:
        return item
    if kind is float:
        return b"%d" % item if item.is_integer() else (b"%f" % item).rstrip(b"0")
    if kind is str:
        return item.encode("ascii")
    if kind is int:
        return b"%d" % item
    return _to_bytes(item)


SKIP=set()
@contextmanager
def quick(kept: Kept) -> Iterator[None]:
    """WeasyPrint in less time.

    Parameters
    ----------
    kept : computed styles of earlier documents of the same style sheets; empty at first
    """
    with ExitStack() as changed:
        if weasyprint.__version__ == KNOWN_VERSION and "ALL" not in SKIP:
            for owner, name, value in (
                (StyleFor, "set_computed_styles", kept.set_computed_styles()),
                (pydyf, "zlib", SimpleNamespace(compressobj=lambda level: zlib.compressobj(4))),
                (Layout, "deactivate", deactivate),
                (Layout, "reactivate", reactivate),
                (Layout, "set_text", set_text),
                (inline, "split_first_line", kept.split_first_line()),
                (line_break, "_font_style_cache_key", font_key),
                (line_break, "get_font_description", get_font_description),
                (boxes.Box, "is_in_normal_flow", is_in_normal_flow),
                (draw_text, "draw_first_line", draw_first_line),
                (background, "layout_box_backgrounds", layout_box_backgrounds),
                (pydyf, "_to_bytes", to_bytes),
                *((module, "resolve_percentages", resolve_percentages) for module in _users()),
            ):
                if name not in SKIP:
                    changed.enter_context(patch.object(owner, name, value))
        yield


def _users() -> list[Any]:
    """The modules that have taken `resolve_percentages` from `percent`."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("weasyprint.layout.") and hasattr(module, "resolve_percentages")
    ]
