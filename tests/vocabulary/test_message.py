"""A message is a code with values; words are made from its row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cxr_audit.vocabulary import MESSAGES, Filler, Message, Plural, fill, message, placeholders
from cxr_audit.vocabulary.message import percent

ROWS = {
    "test.plain": "nothing to fill",
    "test.share": "{share:percent} at {region:name}, {value:.2f} against {limit:g}",
    "test.outer": "first {reason}, then {names}",
    "test.many": Plural("one case", "{num} cases"),
}


@pytest.fixture(autouse=True)
def rows() -> Iterator[None]:
    MESSAGES.update(ROWS)
    yield
    for code in ROWS:
        del MESSAGES[code]


def test_a_message_is_filled() -> None:
    filled = message("test.share", share=0.254, region="lungs", value=1.0, limit=0.5)
    assert str(filled) == "25 % at lungs, 1.00 against 0.5"
    assert filled.values == {"share": 0.254, "region": "lungs", "value": 1.0, "limit": 0.5}


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.0, "0 %"),
        (0.004, "<1 %"),
        (0.5, "50 %"),
        (0.996, ">99 %"),
        (1.0, "100 %"),
    ],
)
def test_a_percentage_is_never_rounded_to_none_or_all(fraction: float, words: str) -> None:
    assert percent(fraction) == words


def test_a_number_is_written_as_the_language_does_it() -> None:
    german = Filler(number=lambda text: text.replace(".", ","), name={"lungs": "Lungen"}.get)
    values = {"share": 0.254, "region": "lungs", "value": 1.5, "limit": 0.5}
    template = ROWS["test.share"]
    assert fill(template, values, german) == "25 % at Lungen, 1,50 against 0,5"


def test_a_message_inside_a_message_and_a_list_of_names() -> None:
    outer = message("test.outer", reason=message("test.plain"), names=["a", "b"])
    assert str(outer) == "first nothing to fill, then a, b"
    several = message("test.outer", reason=[message("test.plain"), message("test.plain")], names=[])
    assert str(several) == "first nothing to fill; nothing to fill, then "


@pytest.mark.parametrize(("num", "words"), [(1, "one case"), (0, "0 cases"), (2, "2 cases")])
def test_a_count_decides_the_form(num: int, words: str) -> None:
    assert str(message("test.many", num=num)) == words


@pytest.mark.parametrize(
    ("code", "values"),
    [("test.none", {}), ("test.share", {"share": 1.0}), ("test.plain", {"more": 1})],
    ids=["no row", "value missing", "value without a place"],
)
def test_what_does_not_fit_its_row_is_refused(code: str, values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=code):
        message(code, **values)


def test_messages_are_equal_and_hashable_by_what_they_say() -> None:
    assert {message("test.plain"), message("test.plain")} == {
        Message("test.plain", {}, "nothing to fill")
    }


def test_every_row_is_a_sentence_with_named_places() -> None:
    for code, template in MESSAGES.items():
        assert "." in code
        assert all(name.isidentifier() for name in placeholders(template)), code
