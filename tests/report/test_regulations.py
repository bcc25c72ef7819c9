"""The rule of the regulatory map, and that its places exist."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing

import pytest
from cxr_audit.records import AuditedCase, CohortRecord, RunRecord, audited
from cxr_audit.report.regulations import (
    CLAIM,
    EVIDENCE,
    Evidence,
    claim_rows,
    regulatory_rows,
    state_of,
)
from cxr_audit.report.run_report.facts import supply

from tests.report.cases import a_case, a_failure
from tests.report.cohorts import described

ROOTS = {"run": RunRecord, "case": AuditedCase, "cohort": CohortRecord}
FACTS = sorted(
    {name for one in EVIDENCE for name in one.needs}
    | {fact for _, _, fact in CLAIM.values() if fact}
)
PLACES = [one.where for one in EVIDENCE] + [where for _, where, _ in CLAIM.values() if where]


@pytest.mark.parametrize(
    ("needs", "most", "held", "state"),
    [
        (("a", "b"), "supplied", {"a", "b"}, "supplied"),
        (("a", "b"), "supplied", {"b"}, "partly"),
        (("a", "b"), "supplied", set(), "not supplied"),
        (("a",), "partly", {"a"}, "partly"),
        (("a",), "partly", set(), "not supplied"),
        ((), "supplied", {"a", "b"}, "not supplied"),
    ],
)
def test_the_rule(needs: tuple[str, ...], most: str, held: set[str], state: str) -> None:
    one = Evidence("item", "source", (), "where", needs, most)  # type: ignore[arg-type]
    assert state_of(one, {name: name in held for name in "ab"}) == state


def test_every_fact_that_is_asked_for_is_known(run) -> None:
    records = [a_case("a", "P", 0.9)]
    facts = supply(audited(records), run, described(records))
    assert {name for one in EVIDENCE for name in one.needs} <= set(facts)
    assert {fact for _, _, fact in CLAIM.values() if fact} <= set(facts)
    with pytest.raises(KeyError):
        state_of(Evidence("item", "source", (), "where", ("unheard of",)), facts)


def test_without_labels_no_accuracy_is_supplied(run) -> None:
    records = [a_case("a", None, 0.9), a_failure("f")]
    states = {
        row["item"]: row
        for row in regulatory_rows(supply(audited(records), run, described(records)))
    }
    accuracy = states["Accuracy with its uncertainty, compared with limits set before"]
    assert (accuracy["state"], accuracy["where"]) == ("not supplied", None)
    assert states["Reference standard"]["state"] == "not supplied"
    assert states["Handling of files that could not be used"]["state"] == "supplied"


def test_what_no_run_can_supply_is_never_supplied() -> None:
    everything = {name: True for one in EVIDENCE for name in one.needs}
    states = {row["item"]: row["state"] for row in regulatory_rows(everything)}
    for item in (
        "Cybersecurity",
        "Logs of the system in operation",
        "Validation of the record system; protection of records while they are kept",
        "Signed and dated test report",
    ):
        assert states[item] == "not supplied"
    assert states["Hazards, and what was checked about each"] == "partly"
    assert states["Validity of the explanations"] == "supplied"


def test_what_was_not_checked_against_public_text_has_no_number() -> None:
    sources = [source for one in EVIDENCE for source in one.sources.split("; ")]
    unchecked = [
        source for source in sources if source.startswith(("ISO 14971", "ISO/TS 24971", "STARD-AI"))
    ]
    names = {"ISO 14971:2019", "ISO/TS 24971-2:2026", "STARD-AI"}
    assert {source.split(",")[0] for source in unchecked} == names
    assert not any(re.search(r"\d", source.partition(",")[2]) for source in unchecked)


def test_claim_has_its_44_items_and_fills_only_what_is_known() -> None:
    assert list(CLAIM) == list(range(1, 45))
    facts = dict.fromkeys(FACTS, False) | {"always": True}
    filled = {row["number"] for row in claim_rows(facts) if row["where"]}
    assert {9, 22, 23, 35} <= filled
    assert not filled & {4, 5, 14, 21, 28, 33, 34, 37, 44}


def test_annex_c_answers_what_annex_a_says_is_there() -> None:
    """Of every pair of facts, and with one missing: an item of CLAIM that a row of A names is answered where that row
    is supplied, wholly or in part, and A names none that no run can answer."""
    held = [set(pair) for pair in itertools.combinations_with_replacement(FACTS, 2)]
    held += [set(FACTS) - {name} for name in FACTS]
    for some in held:
        facts = {name: name in {*some, "always"} for name in FACTS}
        named, there = set(), set()
        for row in regulatory_rows(facts):
            numbers = {
                int(n)
                for part in re.findall(r"CLAIM ([^;]*)", row["sources"])
                for n in part.split(", ")
            }
            named |= numbers
            there |= numbers if row["state"] != "not supplied" else set()
        assert there == {row["number"] for row in claim_rows(facts) if row["where"]} & named
        assert {CLAIM[number][2] is not None for number in named} == {True}
    without_intervals = {name: name != "intervals" for name in FACTS}
    answers = {row["number"]: row["where"] for row in claim_rows(without_intervals)}
    assert (answers[28], answers[37]) == ("section 6", "partly: annex A")


def field_of(kind: type, path: str) -> bool:
    """Whether a record, or what it holds, has the field; inside a mapping any key may stand."""
    for name in path.split("."):
        candidates = [kind, *typing.get_args(kind)]
        if any(typing.get_origin(one) is dict or one is dict for one in candidates):
            return True
        holders = [one for one in candidates if dataclasses.is_dataclass(one)]
        found = [
            typing.get_type_hints(one)[name]
            for one in holders
            if name in typing.get_type_hints(one)
        ]
        if not found:
            return False
        kind = found[0]
    return True


def test_every_place_of_a_record_exists() -> None:
    named = [
        (file, path)
        for where in PLACES
        for file, paths in re.findall(r"\b(run|case|cohort)\.json: ([\w., ]+)", where)
        for path in re.split(r", ", paths.strip())
    ]
    assert len(named) > 25
    assert [one for one in named if not field_of(ROOTS[one[0]], one[1])] == []
    assert not field_of(RunRecord, "model.sha265")
