"""WeasyPrint 70.0 -> the same page in half the time, while `quick` is entered. Only to be imported with that version.

WeasyPrint makes many things again for every document of a template, some twice in one. Kept here are the computed
styles of a template, the lengths of a box of a style in a block of a size, and lines of text, shaped and drawn. The
rest are short cuts of small functions that are called ten thousand times a document. Every one gives what the function
that it stands for gives; only the compression is another.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from xml.etree.ElementTree import Element

import pydyf  # type: ignore[import-untyped]
from weasyprint.css import ComputedStyle, InitialStyle, StyleFor
from weasyprint.css.properties import Dimension
from weasyprint.draw import text
from weasyprint.draw.color import get_color
from weasyprint.formatting_structure.boxes import Box, LineBox, PageBox
from weasyprint.layout import background, inline, percent
from weasyprint.text import line_break
from weasyprint.text.ffi import pango
from weasyprint.text.line_break import Layout

COMPRESSION = 4  # zlib's 9, which pydyf asks for, takes eight times as long and saves 3 %
MOST_KEPT, MOST_SIZES = 6000, 50  # with one more, all are dropped
SIDES = ("top", "right", "bottom", "left")
LENGTHS = (
    *(f"margin_{side}" for side in SIDES),
    *(f"padding_{side}" for side in SIDES),
    *(f"border_{side}_width" for side in SIDES),
    *(f"{limit}{axis}" for limit in ("", "min_", "max_") for axis in ("width", "height")),
)
CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")
BARE = {"background": None} | {f"border_{corner}_radius": (0, 0) for corner in CORNERS}

_plain = SimpleNamespace(
    avoid_collisions=inline.avoid_collisions,
    draw_first_line=text.draw_first_line,
    font_key=line_break._font_style_cache_key,
    is_in_normal_flow=Box.is_in_normal_flow,
    layout_box_backgrounds=background.layout_box_backgrounds,
    resolve_percentages=percent.resolve_percentages,
    set_text=Layout.set_text,
    split_first_line=line_break.split_first_line,
    strut=line_break.strut,
    to_bytes=pydyf._to_bytes,
)


@contextmanager
def quick(kept: dict[Any, Any]) -> Iterator[None]:
    """Within, this process's WeasyPrint takes less time.

    Parameters
    ----------
    kept : styles and lines of earlier documents of the same style sheets and fonts; empty at first
    """
    with ExitStack() as stood_for:
        for owner, name, quicker in (
            (StyleFor, "set_computed_styles", _set_computed_styles(kept)),
            (inline, "split_first_line", _split_first_line(kept)),
            (inline, "avoid_collisions", _avoid_collisions),
            (inline, "strut", _strut),
            *(
                (module, "resolve_percentages", _resolve_percentages)
                for module in _modules("resolve_percentages")
            ),
            (Layout, "deactivate", _deactivate),
            (Layout, "reactivate", _reactivate),
            (Layout, "set_text", _set_text),
            (text, "draw_first_line", _draw_first_line),
            (background, "layout_box_backgrounds", _layout_box_backgrounds),
            (line_break, "_font_style_cache_key", _font_key),
            (Box, "is_in_normal_flow", _is_in_normal_flow),
            (pydyf, "_to_bytes", _to_bytes),
            (
                pydyf,
                "zlib",
                SimpleNamespace(compressobj=lambda level: zlib.compressobj(COMPRESSION)),
            ),
        ):
            stood_for.enter_context(patch.object(owner, name, quicker))
        yield


def _modules(name: str) -> list[Any]:
    """The modules of WeasyPrint's layout that have imported a function."""
    return [
        one
        for key, one in sorted(sys.modules.items())
        if key.startswith("weasyprint.layout.") and name in dir(one)
    ]


def _keep(known: dict[Any, Any], key: Any, value: Any, most: int) -> Any:
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value


def _once(style: Any, name: str, make: Callable[[], Any]) -> Any:
    """What follows from a style, kept as an attribute of it; a copy of the style, to be changed, begins without."""
    if name not in style.__dict__:
        setattr(style, name, make())
    return style.__dict__[name]


def _set_computed_styles(kept: dict[Any, Any]) -> Any:
    """One style for all elements that inherit from the same style and are given the same declarations."""

    def set_computed_styles(
        style_for: Any,
        element: Any,
        parent: Any,
        root: Any = None,
        pseudo_type: str | None = None,
        base_url: str | None = None,
        target_collector: Any = None,
    ) -> None:
        styles, page_sizes = style_for.get_computed_styles(), style_for.initial_page_sizes
        cascaded = style_for.get_cascaded_styles().get((element, pseudo_type), {})
        above = None if parent is None else styles[parent, None]
        # The style sheets' values are told apart by identity: a kept style holds its own. `lang` and style attributes
        # are parsed for every document.
        given = tuple(
            (name, value if name == "lang" or isinstance(value, Dimension) else id(value))
            for name, (value, _) in cascaded.items()
        )
        key = id(above), pseudo_type, isinstance(element, Element), given
        style = kept.get(key)
        if style is None:
            top = InitialStyle(style_for.font_config) if above is None else styles[root, None]
            new = ComputedStyle(
                above, cascaded, pseudo_type, top, base_url, style_for.font_config, page_sizes
            )
            style = _keep(kept, key, new, MOST_KEPT)
        elif above is None or above.is_root_element:
            style.pop("overflow", None)  # was moved from <html> or <body> to the page
        styles[element, pseudo_type] = style
        if target_collector and style["anchor"]:
            target_collector.collect_anchor(style["anchor"])

    return set_computed_styles


def _split_first_line(kept: dict[Any, Any]) -> Any:
    def split_first_line(
        text: str,
        style: Any,
        context: Any,
        max_width: Any,
        justification_spacing: float,
        is_line_start: bool = True,
        minimum: bool = False,
    ) -> Any:
        key = text, id(style), max_width, justification_spacing, is_line_start, minimum
        line, written, _ = kept.get(key, (None, None, None))
        if (
            line is None or line[0].text != written
        ):  # drawing with an ellipsis writes it into the line
            line = _plain.split_first_line(
                text, style, context, max_width, justification_spacing, is_line_start, minimum
            )
            _keep(kept, key, (line, line[0].text, style), MOST_KEPT)
        return line

    return split_first_line


def _avoid_collisions(context: Any, box: Any, block: Any, outer: bool = True) -> Any:
    """A line asks three times, and most have no float beside them."""
    if (
        context.excluded_shapes
        or outer
        or not isinstance(box, LineBox)
        or block.style["direction"] != "ltr"
    ):
        return _plain.avoid_collisions(context, box, block, outer)
    return block.content_box_x(), box.position_y, block.width - box.margin_left - box.margin_right


def _strut(style: Any) -> Any:
    return _once(style, "strut", lambda: _plain.strut(style))


def _resolve_percentages(box: Any, containing_block: Any) -> None:
    style, block = box.style, containing_block
    if (
        isinstance(box, PageBox)
        or box.is_flex_item
        or box.is_grid_item
        or style["border_collapse"] == "collapse"
    ):
        _plain.resolve_percentages(box, block)
        return
    size = (block.width, block.height) if isinstance(block, Box) else block
    known = _once(style, "lengths", dict)
    if size not in known:
        _plain.resolve_percentages(box, block)
        _keep(known, size, {name: box.__dict__[name] for name in LENGTHS}, MOST_SIZES)
    box.__dict__.update(known[size])


def _deactivate(_line: Any) -> None:
    """Shaped text is kept for drawing."""


def _reactivate(line: Any, style: Any) -> None:
    if line.justification_spacing:
        line.setup(style)
        line.set_text(line.text, justify=True)


def _set_text(line: Any, text: str, justify: bool = False) -> None:
    """Drawing asks for one paragraph: asked for at once, where it is one, the text is not shaped again."""
    _plain.set_text(line, text, justify)
    pango.pango_layout_set_single_paragraph_mode(line.layout, line.text.isprintable())


def _draw_first_line(
    stream: Any, textbox: Any, text_overflow: str, block_ellipsis: str, matrix: Any
) -> Any:
    """A line that is kept is drawn once. The fonts of a document collect the glyphs that they are to hold."""
    line = textbox.pango_layout
    if text_overflow == "ellipsis" or block_ellipsis != "none" or line.justification_spacing:
        return _plain.draw_first_line(stream, textbox, text_overflow, block_ellipsis, matrix)
    if "drawn" in line.__dict__:
        operators, glyphs = line.drawn
        stream.set_text_matrix(*matrix.values)
        stream.stream += operators
        for pango_font, *found in glyphs:
            font, _ = stream.add_font(pango_font)
            _collect(font, font.widths, font.to_unicode, *found)
        return []
    known = {font: (font.widths, font.to_unicode) for font in stream._fonts.values()}
    for font in known:
        font.widths, font.to_unicode = {}, {}
    used: dict[Any, Any] = {}
    stream.add_font = lambda pango_font: used.setdefault(
        pango_font, type(stream).add_font(stream, pango_font)
    )
    start = len(stream.stream) + 1  # after the matrix
    emojis = _plain.draw_first_line(stream, textbox, text_overflow, block_ellipsis, matrix)
    del stream.add_font
    if not emojis and not any(
        0 in font.widths for font, _ in used.values()
    ):  # 0: no font has it, which is logged
        glyphs = [
            (pango_font, {**font.widths}, {**font.to_unicode})
            for pango_font, (font, _) in used.items()
        ]
        line.drawn = stream.stream[start:], glyphs
    for font, collected in known.items():
        _collect(font, *collected, font.widths, font.to_unicode)
    return emojis


def _collect(font: Any, widths: Any, texts: Any, new_widths: Any, new_texts: Any) -> None:
    """Glyphs in the order in which they were first drawn."""
    font.widths, font.to_unicode = widths, texts
    for known, new in ((widths, new_widths), (texts, new_texts)):
        for glyph, value in new.items():
            known.setdefault(glyph, value)


def _layout_box_backgrounds(
    page: Any, box: Any, get_image: Any, layout_children: bool = True, style: Any = None
) -> None:
    """Most boxes have neither a background nor rounded corners."""
    if style is not None or box is page or not isinstance(box, Box) or not _is_bare(box.style):
        _plain.layout_box_backgrounds(page, box, get_image, layout_children, style)
        return
    box.__dict__.update(BARE)
    for child in box.all_children():
        _layout_box_backgrounds(page, child, get_image)


def _is_bare(style: Any) -> Any:
    return _once(
        style,
        "is_bare",
        lambda: (
            style["border_image_source"][0] == style["mask_border_source"][0] == "none"
            and all(kind == "none" for kind, _ in style["background_image"])
            and get_color(style, "background_color").alpha == 0
            and not style["box_shadow"]
            and all((0, "px") in style[f"border_{corner}_radius"] for corner in CORNERS)
        ),
    )


def _font_key(style: Any, include_size: bool = False) -> Any:
    name = "font_size_key" if include_size else "font_key"
    return _once(style, name, lambda: _plain.font_key(style, include_size))


def _is_in_normal_flow(box: Any) -> bool:
    style = box.style
    is_usual = style["float"] == "none" and style["position"] in ("static", "relative")
    return is_usual or _plain.is_in_normal_flow(box)


def _to_bytes(item: Any) -> bytes:
    kind = type(item)
    if kind is bytes:
        return item  # type: ignore[no-any-return]
    if kind is float:
        return b"%d" % item if item.is_integer() else (b"%f" % item).rstrip(b"0")
    if kind is str:
        return item.encode("ascii")  # type: ignore[no-any-return]
    return b"%d" % item if kind is int else _plain.to_bytes(item)
