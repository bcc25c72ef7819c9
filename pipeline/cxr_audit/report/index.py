"""Records of a run -> the plain words and finished numbers that `index.html.j2` sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from cxr_audit.records import (
    ANSWER_COLUMNS,
    MODEL_RATER,
    AuditedCase,
    CaseRecord,
    Prediction,
    ReadersRecord,
    RunRecord,
    StoppedCase,
    audited,
)
from cxr_audit.report.case_page import run_facts
from cxr_audit.report.case_page.alerts import find_cautions
from cxr_audit.report.colours import find_scale
from cxr_audit.report.language import N_, _, current, grouped, said
from cxr_audit.report.names import flag_title
from cxr_audit.report.words import (
    AGREEMENTS,
    BANNER,
    LOCATIONS,
    MAP_STATES,
    OUTCOMES,
    STATUSES,
    TIMES,
    TRUST_WORDS,
    View,
    number,
    percent,
    quoted,
    score,
    sentence,
)
from cxr_audit.vocabulary import FLAGS

ERRORS = ("false_positive", "false_negative")
LOWEST = "-Infinity"
"""What a row without a score is sorted by: below every number."""
LONGEST_CLASS = 20
COLUMNS = {
    "case": N_("Case"),
    "outcome": N_("Outcome"),
    "label": N_("Label"),
    "predicted": N_("Predicted"),
    "score": N_("Score, logit"),
    "lungs": N_("Lungs, ratio"),
    "focus": N_("High focus"),
    "trust": N_("Checks"),
    "flags": N_("Flags"),
    "warnings": N_("Warnings"),
}
"""Key in the address -> heading, in the order of the table."""


def index_view(
    cases: Sequence[CaseRecord], run: RunRecord, answers: ReadersRecord | None = None
) -> View:
    """Everything that `index.html.j2` prints; links are relative to the run folder.

    Parameters
    ----------
    cases, run : the records of the run.
    answers : of readers, where they were joined to the run.
    """
    done = audited(cases)
    has_documents = bool(run.config.get("report", {}).get("documents", True))
    rows = [_row(case, has_documents) for case in cases]
    statuses = Counter[str](case.status for case in cases)
    correct = [case.prediction.is_correct for case in done]
    correct = [answer for answer in correct if answer is not None]
    maps = [case.first_map for case in done if case.first_map]
    targets = [quoted(case.prediction.target_class) for case in done]
    return {
        "language": current().code,
        "banner": _(BANNER),
        "run": run_facts(run),
        "scale": find_scale(run, maps[0] if maps else None),
        "target": targets[0] if targets else None,
        "cases": rows,
        "num_cases": len(rows),
        "counts": [(sentence(_(words)), statuses[key]) for key, words in STATUSES.items()],
        "agreement": _agreement(correct),
        "readers": _readers(answers),
        "class_width": _class_width(rows),
        "columns": [(key, _(words)) for key, words in COLUMNS.items()],
        "filters": _filters(rows, done),
        "answers": {
            "columns": ANSWER_COLUMNS,
            "agreement": [(key, _(words)) for key, words in AGREEMENTS.items()],
            "location": [(key, _(words)) for key, words in LOCATIONS.items()],
            "labels": {key: _(words) for key, words in (AGREEMENTS | LOCATIONS).items()},
        },
    }


def _filters(rows: Sequence[View], done: Iterable[AuditedCase]) -> list[tuple[str, str, View]]:
    """Name, key in the address, and choices with their words."""
    outcomes = {row["outcome_key"]: row["outcome"] for row in rows}
    order = [key for key in (*OUTCOMES, *STATUSES) if key in outcomes]
    trust = _values(rows, "trust_name")
    review = {key: _(words) for key, words in AGREEMENTS.items()}
    return [
        (_("Outcome"), "outcome", {key: outcomes[key] for key in order}),
        (_("Label"), "label", _choices(rows, "label")),
        (_("Predicted"), "predicted", _choices(rows, "predicted")),
        (
            _("Explanation checks"),
            "trust",
            {key: _(words) for key, words in TRUST_WORDS.items() if key in trust},
        ),
        (_("Flag"), "flag", _flags(done)),
        (_("Reference label"), "agrees", {"same": _("agrees"), "differs": _("disagrees")}),
        (_("Your review"), "review", {"open": _("not reviewed"), **review}),
    ]


def _agreement(correct: Sequence[bool | None]) -> str | None:
    if not correct:
        return None
    values = {"num": grouped(correct.count(True)), "total": grouped(len(correct))}
    return _("{num} of {total}", **values)


def _readers(answers: ReadersRecord | None) -> list[tuple[str, str]]:
    """Each reader's agreement with the model, with the number of cases."""
    found = []
    for pair in answers.pairs if answers else ():
        if pair.second == MODEL_RATER and pair.num:
            values = {"num": grouped(pair.num_same), "total": grouped(pair.num)}
            words = _("{num} of {total}", **values)
            if pair.kappa is not None:
                words += ", " + _("kappa {kappa}", kappa=number(pair.kappa))
            found.append((_("Reader {name} and model", name=pair.first), words))
    return found


def _class_width(rows: Sequence[View]) -> int:
    """Width of a column of class names, in characters: of their longest word."""
    names = [name for row in rows for name in (row["label"], row["predicted"])]
    words = [len(word) for name in names for word in name.split()]
    return 5 + min(LONGEST_CLASS, max(words, default=0))


def _values(rows: Sequence[View], key: str) -> set[str]:
    return {row[key] for row in rows if row[key]}


def _choices(rows: Sequence[View], key: str) -> dict[str, str]:
    return {value: value for value in sorted(_values(rows, key))}


def _flags(cases: Iterable[AuditedCase]) -> dict[str, str]:
    """The flags that were raised, in the order of the vocabulary, then those it lacks."""
    raised = {name for case in cases for name in case.flags.names}
    keys = [key for key in FLAGS.keys() if key in raised]  # noqa: SIM118 - a registry
    keys += sorted(raised - set(keys))
    return {key: flag_title(key) for key in keys}


def _row(case: CaseRecord, has_documents: bool) -> View:
    """One row; `*_key` is what it is sorted by, below every number where there is none."""
    folder = f"cases/{quote(case.case_id, safe='')}"
    radiograph, marked = case.pictures.get("radiograph"), case.pictures.get("marked")
    row: View = {
        "case_id": case.case_id,
        "outcome": _outcome(case),
        "outcome_key": case.outcome or case.status,
        "reason": "",
        "label": case.label or "",
        "radiograph": f"{folder}/{quote(radiograph)}" if radiograph else None,
        "thumbnail": f"{folder}/{quote(radiograph)}" if radiograph else None,
        "marked": f"{folder}/{quote(marked)}" if marked else None,
        "pdf": f"{folder}/report.pdf" if has_documents else None,
        "json": f"{folder}/case.json",
        "num_cautions": len(find_cautions(case)),
    }
    if isinstance(case, StoppedCase):
        return row | NOTHING | {"reason": sentence(said(case.reason))}
    return row | _answer(case) | _map(case, folder, row["thumbnail"]) | _in_lungs(case)


# What a stopped case has none of.
NOTHING: View = {
    "predicted": "",
    "agrees": "",
    "note": "",
    "score": "",
    "logit": "",
    "score_key": LOWEST,
    "map": "",
    "high_focus": "",
    "high_focus_key": -1,
    "band": "",
    "lungs": "",
    "lungs_ratio": "",
    "lungs_key": -1,
    "lungs_missing": False,
    "trust": "",
    "trust_name": "",
    "trust_key": len(TRUST_WORDS),
    "flags": [],
    "flag_names": "",
}


def _outcome(case: CaseRecord) -> str:
    words = OUTCOMES[case.outcome] if case.outcome else STATUSES[case.status]
    return sentence(_(words))


def _answer(case: AuditedCase) -> View:
    prediction = case.prediction
    is_correct = prediction.is_correct
    is_hidden = is_correct is False and case.outcome not in ERRORS
    trust = case.trust.state if case.trust else "none"
    return {
        "label": case.label or prediction.expected or "",
        "predicted": prediction.predicted,
        "agrees": {True: "same", False: "differs", None: ""}[is_correct],
        "note": _("differs from the label") if is_hidden else "",
        "score": score(prediction.probability),
        "logit": number(prediction.logit),
        "score_key": _score_key(prediction),
        "trust": _(TRUST_WORDS[trust]),
        "trust_name": trust,
        "trust_key": list(TRUST_WORDS).index(trust),
        "flags": [flag_title(name) for name in case.flags.names],
        "flag_names": " ".join(case.flags.names),
    }


def _score_key(prediction: Prediction) -> float:
    """The logit, by which two scores that are 1 to the last bit still differ.

    With more classes than two it is not alone in what makes the score.
    """
    return prediction.logit if len(prediction.class_scores) <= 2 else prediction.probability


def _map(case: AuditedCase, folder: str, radiograph: str | None) -> View:
    first = case.first_map
    if first is None:
        return {key: NOTHING[key] for key in ("map", "high_focus", "high_focus_key", "band")}
    high_focus, band = first.metrics.number("high_focus_fraction"), first.metrics["focus_band"]
    status = first.facts.status
    return {
        "map": "" if status == "ok" else _(MAP_STATES[status][1]),
        "high_focus": "" if high_focus is None else percent(high_focus),
        "high_focus_key": -1 if high_focus is None else high_focus,
        "band": _(band) if isinstance(band, str) else "",
        "thumbnail": f"{folder}/{quote(first.picture)}" if first.picture else radiograph,
    }


def _in_lungs(case: AuditedCase) -> View:
    """The first map's share of evidence in the lungs, and its ratio to their area, the key."""
    lungs = case.in_region("lungs")
    share = lungs.number("relevance_mass_accuracy") if lungs else None
    ratio = lungs.number("enrichment") if lungs else None
    return {
        "lungs": "" if share is None else percent(share),
        "lungs_ratio": "" if ratio is None else f"{number(ratio)} {TIMES}",
        "lungs_key": -1 if ratio is None else ratio,
        "lungs_missing": "lungs" in case.regions.missing,
    }
