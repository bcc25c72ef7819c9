"""What a run's own records hold -> which regulatory evidence it supplies, a model card, the CLAIM checklist.

A table of data and one rule: an item is supplied where all facts that it needs are there, partly supplied where some
are, else not supplied; an item that a run can never supply whole is partly supplied at most. A clause number stands
here only where it was checked against public text: Regulation (EU) 2024/1689 (AI Act) Articles 9 to 15 and Annex IV;
Regulation (EU) 2017/745 (MDR) Annex II, 1.1, 5, 6.1; 21 CFR 11.10, 11.50, 11.70; FDA, Health Canada, MHRA: Good
Machine Learning Practice, ten principles (2021); FDA draft guidance "Artificial Intelligence-Enabled Device Software
Functions" (January 2025); IEC 62304:2006, 8.1.2, as manufacturers quote it in public; CLAIM 2024 Update (Tejani et al.,
Radiol Artif Intell 6(4):e240300), all 44 items. Named without a number, their text not being public or not found:
ISO 14971:2019; STARD-AI (Sounderajah et al., Nature Medicine, 2025).
Supplied is a place where to look, no finding of conformity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cxr_audit.glossary import OF_RUN
from cxr_audit.records import CohortRecord, RunRecord
from cxr_audit.report.words import View, in_brackets, quoted, score

Supply = Literal["supplied", "partly", "not supplied"]
SUBMITTER = "to be filled by the submitter"


@dataclass(frozen=True, slots=True)
class Evidence:
    """`needs` are facts of `summary.supply`; `most` is what a run can supply at best."""

    item: str
    sources: str
    where: str
    needs: tuple[str, ...]
    most: Supply = "supplied"


EVIDENCE = (
    Evidence(
        "Intended use and population of the model",
        "AI Act Annex IV 1(a), Art. 13(3)(b)(i); MDR Annex II 1.1(a), (c); FDA 2025 draft V; CLAIM 3",
        "section 1, annex B",
        ("card",),
        "partly",
    ),
    Evidence(
        "Which model was audited, to the bit",
        "AI Act Annex IV 1(a); FDA 2025 draft IX; STARD-AI",
        "section 3; run.json: model.sha256",
        ("always", "pinned"),
    ),
    Evidence(
        "Architecture and how the output is read",
        "AI Act Annex IV 2(b), (c); FDA 2025 draft IX; CLAIM 22",
        "section 3; run.json: model",
        ("always",),
        "partly",
    ),
    Evidence(
        "Training data and training",
        "AI Act Art. 10(2), Annex IV 2(d); FDA 2025 draft VIII, IX; GMLP 3, 6; CLAIM 7, 25",
        "annex B; run.json: model.card",
        ("card_training", "card_data"),
        "partly",
    ),
    Evidence(
        "Training and test data are independent",
        "GMLP 4; STARD-AI",
        "run.json: model.card.data_sha256; case.json: file_sha256",
        ("card_sha256", "patients"),
        "partly",
    ),
    Evidence(
        "Test data: size, origin, characteristics",
        "AI Act Art. 10(3), Annex IV 2(g); FDA 2025 draft VIII; GMLP 3; CLAIM 7, 35, 36; STARD-AI",
        "sections 1 and 4; cases.csv",
        ("audited", "labels", "subgroups"),
        "partly",
    ),
    Evidence(
        "Reference standard",
        "GMLP 5; CLAIM 16; STARD-AI",
        "section 1: labels",
        ("labels",),
        "partly",
    ),
    Evidence(
        "Handling of files that could not be used",
        "CLAIM 12, 35; STARD-AI; FDA 2025 draft VIII",
        "section 4; cases.csv: status, reason",
        ("always",),
    ),
    Evidence(
        "Accuracy with its uncertainty, against limits set before",
        "AI Act Art. 9(8), 15(1), 15(3), Annex IV 2(g); FDA 2025 draft X, app. C; CLAIM 28, 29, 37, 38; STARD-AI",
        "acceptance, section 4; cohort.json: metrics, acceptance",
        ("labels", "intervals", "criteria"),
    ),
    Evidence(
        "Calibration of the output",
        "CLAIM 28; FDA 2025 draft X",
        "section 4; cohort.json: reliability",
        ("calibration",),
    ),
    Evidence(
        "Accuracy for groups of persons",
        "AI Act Art. 10(2)(f), 13(3)(b)(v), Annex IV 3; FDA 2025 draft X; GMLP 3, 8; STARD-AI",
        "section 4; cohort.json: subgroups",
        ("labels", "subgroups"),
    ),
    Evidence(
        "Repeatability of the output",
        "AI Act Art. 15(1); FDA 2025 draft app. C",
        "section 2; run.json: model.is_deterministic",
        ("repeated",),
        "partly",
    ),
    Evidence(
        "Analysis of errors",
        "AI Act Annex IV 3; CLAIM 39; FDA 2025 draft X",
        "section 4; cohort.json: false_positives, false_negatives",
        ("labels", "wrong"),
    ),
    Evidence(
        "Robustness, shortcuts and sensitivity of the output",
        "AI Act Art. 15(4); CLAIM 30; GMLP 8",
        "sections 2 and 4; case.json: region_focus, flags, masking",
        ("regions", "flags", "masking"),
        "partly",
    ),
    Evidence(
        "Means to interpret the output, case by case",
        "AI Act Art. 13(1), 13(3)(b)(vii), Annex IV 2(e); FDA 2025 draft VI; GMLP 9; CLAIM 31",
        "cases/*/report.pdf, map.npz, case.json",
        ("maps", "documents"),
    ),
    Evidence(
        "Validity of the explanations",
        "CLAIM 31; AI Act Art. 13(3)(b)(iv)",
        "section 4; run.json: checks; case.json: trust",
        ("model_checks", "trust"),
    ),
    Evidence(
        "Known limits of the model",
        "AI Act Art. 13(3)(b), Annex IV 3; FDA 2025 draft VI",
        "section 1; run.json: model.card.limits",
        ("card_limits",),
    ),
    Evidence(
        "Fitness of the input data",
        "AI Act Art. 13(3)(b)(vi), Annex IV 3; FDA 2025 draft VIII; CLAIM 9",
        "section 4; case.json: quality, radiograph.decisions, preprocessing",
        ("always", "quality"),
    ),
    Evidence(
        "Hazards, and what was checked about each",
        "ISO 14971:2019, risk analysis; AI Act Art. 9(2)(a); FDA 2025 draft VII; MDR Annex II 5",
        "section 2",
        ("always",),
        "partly",
    ),
    Evidence(
        "Automatic records of what was done",
        "AI Act Art. 12(1); 21 CFR 11.10(e)",
        "events.jsonl: UTC, each line with the hash of the one before; no log of operators",
        ("always",),
        "partly",
    ),
    Evidence(
        "Records that show alteration; copies for people and machines",
        "21 CFR 11.10(a), (b), (c)",
        "SHA256SUMS; cxr-audit verify RUN; PDF/A-3a and JSON",
        ("always", "documents"),
    ),
    Evidence(
        "Software of unknown provenance: names and versions",
        "IEC 62304:2006 8.1.2; CLAIM 23; AI Act Annex IV 1(c)",
        "sbom.cdx.json; run.json: versions",
        ("always",),
        "partly",
    ),
    Evidence(
        "Software verification and validation of the device",
        "MDR Annex II 6.1(b); IEC 62304; GMLP 2",
        "this report covers the model's test only",
        ("audited",),
        "partly",
    ),
    Evidence(
        "Baseline for monitoring after release",
        "AI Act Art. 9(2)(c), Annex IV 9; FDA 2025 draft XI; GMLP 10; ISO 14971:2019, post-production",
        "section 6",
        ("audited",),
        "partly",
    ),
    Evidence(
        "Performance of people working with the model",
        "GMLP 7; AI Act Art. 14; FDA 2025 draft app. D",
        "",
        (),
    ),
    Evidence(
        "Benefit-risk analysis, clinical evaluation", "MDR Annex II 5, 6.1; ISO 14971:2019", "", ()
    ),
    Evidence("Cybersecurity", "AI Act Art. 15, Annex IV 2(h); FDA 2025 draft XII", "", ()),
    Evidence("Signed and dated test report", "AI Act Annex IV 2(g); 21 CFR 11.50, 11.70", "", ()),
)


def state_of(one: Evidence, facts: Mapping[str, bool]) -> Supply:
    """Whether a run supplies an item, by its own records. An unknown fact is a `KeyError`."""
    held = [facts[name] for name in one.needs]
    if not any(held):
        return "not supplied"
    return one.most if all(held) else "partly"


def regulatory_rows(facts: Mapping[str, bool]) -> list[View]:
    """The table of annex A; a place only where there is something."""
    rows = []
    for one in EVIDENCE:
        state = state_of(one, facts)
        where = None if state == "not supplied" else one.where
        rows.append({"item": one.item, "state": state, "where": where, "sources": one.sources})
    return rows


# ---- model card


def model_card_rows(run: RunRecord, cohort: CohortRecord) -> list[View]:
    """The model card, pre-filled: Mitchell et al., FAT* 2019, in the order of the FDA's example (2025 draft, app. E).
    What the model brought stands in quotation marks."""
    model, card = run.model, run.model.card
    measured: dict[str, list[str]] = {}
    for one in card.measured if card else ():
        measured.setdefault(f"{one.data}, {one.num_cases:,} cases", []).append(
            f"{one.what} {score(one.value)}" + in_brackets(one.interval_95)
        )
    here = []
    for key in ("auc", "sensitivity", "specificity", "ece", "brier"):
        found = cohort.metrics[key]
        if found.value is not None:
            here.append(f"{OF_RUN[key].name} {score(found.value)}{in_brackets(found.interval_95)}")
    cases = (
        ", ".join(f"{part} {count:,}" for part, count in sorted(card.num_cases.items()))
        if card
        else None
    )
    rows: list[tuple[str, str | None]] = [
        ("Model", f"{model.name}, SHA-256 {model.sha256}"),
        ("Architecture", f"{model.parameters:,} parameters; {model.head}"),
        ("Developer, version, date, contact, regulatory status", None),
        ("Intended use", quoted(card.intended_use) if card else None),
        ("Intended users, place in the workflow, degree of automation", None),
        ("Population", quoted(card.population) if card else None),
        (
            "Input",
            f"{' × '.join(map(str, model.input_shape))}"
            + (f"; {quoted(card.input)}" if card else ""),
        ),
        (
            "Output",
            f"{model.output_activation} over {', '.join(str(quoted(name)) for name in model.class_names)}",
        ),
        (
            f"Measured in this run: {sum(cohort.outcomes.values()):,} labelled cases",
            "; ".join(here) or "nothing: no audited case has a label",
        ),
        *(
            (f"Measured by its developer: {of}", "; ".join(figures))
            for of, figures in measured.items()
        ),
        (
            "Limits",
            " ".join(str(quoted(text)) for text in card.limits) if card and card.limits else None,
        ),
        ("Risks, human oversight, ethical considerations", None),
        (
            "Training data",
            f"{quoted(card.data)}; licence {quoted(card.data_licence) or 'not stated'}"
            if card and card.data
            else None,
        ),
        ("Cases in the data", cases or None),
    ]
    return [
        {"name": name, "value": value or SUBMITTER, "is_open": value is None}
        for name, value in rows
    ]


# ---- CLAIM 2024

# number -> (item, where in this run, the fact that it needs; None = a run cannot know it)
CLAIM: dict[int, tuple[str, str | None, str | None]] = {
    1: ("Identification as a study of AI methodology", "title", "always"),
    2: ("Summary of design, methods, results, conclusions", None, None),
    3: ("Background, intended use and role of the AI approach", "section 1", "card"),
    4: ("Aims, objectives, hypotheses", None, None),
    5: ("Prospective or retrospective study", None, None),
    6: ("Study goal", "acceptance", "criteria"),
    7: ("Data sources", "annex B (training); section 1", "card_data"),
    8: ("Inclusion and exclusion criteria", None, None),
    9: ("Data pre-processing", "section 3; case.json: preprocessing", "always"),
    10: ("Selection of data subsets", "run.json: config.ingest", "always"),
    11: ("De-identification methods", "section 2; case.json: radiograph.attributes", "always"),
    12: (
        "How missing data were handled",
        "section 4: not audited; undefined metrics by reason",
        "always",
    ),
    13: ("Image acquisition protocol", None, None),
    14: ("How the reference standard was obtained", None, None),
    15: ("Rationale for the reference standard", None, None),
    16: ("Source of reference standard annotations", "section 1: labels", "labels"),
    17: ("Annotation of test set", None, None),
    18: ("Inter- and intra-rater variability", None, None),
    19: ("How data were assigned to partitions", None, None),
    20: ("Level at which partitions are disjoint", None, None),
    21: ("Intended sample size", None, None),
    22: ("Detailed description of model", "section 3", "always"),
    23: ("Software libraries, frameworks, packages", "sbom.cdx.json; run.json: versions", "always"),
    24: ("Initialisation of model parameters", None, None),
    25: ("Details of training approach", "run.json: model.card.training", "card_training"),
    26: ("Method of selecting the final model", None, None),
    27: ("Ensembling techniques", None, None),
    28: ("Metrics of model performance", "section 4", "labels"),
    29: ("Measures of significance and uncertainty", "section 4; cohort.json: method", "intervals"),
    30: ("Robustness or sensitivity analysis", "section 4: masking", "masking"),
    31: ("Methods for explainability or interpretability", "section 4; cases/*/report.pdf", "maps"),
    32: ("Evaluation on internal data", "annex B: measured by its developer", "card_measured"),
    33: ("Testing on external data", None, None),
    34: ("Clinical trial registration", None, None),
    35: ("Numbers included and excluded", "at a glance; cases.csv", "always"),
    36: ("Characteristics of cases in each partition", "section 4: subgroups", "subgroups"),
    37: ("Performance metrics and statistical uncertainty", "section 4; cohort.json", "intervals"),
    38: ("Estimates of performance and their precision", "section 4; cohort.json", "intervals"),
    39: ("Failure analysis of incorrect results", "section 4: errors", "wrong"),
    40: ("Study limitations", "section 5", "always"),
    41: ("Implications for practice", None, None),
    42: (
        "Reference to the full protocol or technical details",
        "run.json: config, versions",
        "always",
    ),
    43: ("Availability of software, model and data", None, None),
    44: ("Sources of funding; role of funders", None, None),
}


def claim_rows(facts: Mapping[str, bool]) -> list[View]:
    """The CLAIM 2024 checklist with what this run answers; in part, where annex A says so of what a row asks for."""
    held = [
        number
        for one in EVIDENCE
        if state_of(one, facts) != "not supplied"
        for number in claimed(one)
    ]
    return [
        {
            "number": place,
            "item": item,
            "where": where
            if fact and facts[fact]
            else "partly: annex A"
            if place in held
            else None,
        }
        for place, (item, where, fact) in CLAIM.items()
    ]


def claimed(one: Evidence) -> list[int]:
    """The items of CLAIM that ask for a piece of evidence."""
    named = re.search(r"CLAIM ([\d, ]+)", one.sources)
    return [int(number) for number in named[1].split(",")] if named else []
