"""Evidence that regulations ask for: a table of data.

A clause number stands here only where it was checked against public text: Regulation (EU) 2024/1689
(AI Act) Articles 9 to 15 and Annex IV; Regulation (EU) 2017/745 (MDR) Annex II, 1.1, 5, 6.1; 21 CFR
11.10, 11.50, 11.70; FDA, Health Canada, MHRA: Good Machine Learning Practice, ten principles
(2021); FDA draft guidance "Artificial Intelligence-Enabled Device Software Functions" (January
2025); IEC 62304:2006, 8.1.2, as manufacturers quote it in public. Named without a number, their
text not being public or not found: ISO 14971:2019; ISO/TS 24971-2:2026 (published in June 2026);
STARD-AI (Sounderajah et al., Nature Medicine, 2025).

A folder of evidence supplies neither the validation of the system that made it nor its keeping
(21 CFR 11.10(a) and (c)), and no log of the AI system in operation (AI Act, Article 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_audit.report.language import N_

Supply = Literal["supplied", "partly", "not supplied"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A piece of evidence.

    Parameters
    ----------
    item : what it is.
    sources : who asks for it.
    claim : items of the CLAIM checklist that ask for it.
    where : where a run has it.
    needs : facts of `run_report.facts.supply`.
    most : what a run can supply at best.
    """

    item: str
    sources: str
    claim: tuple[int, ...]
    where: str
    needs: tuple[str, ...]
    most: Supply = "supplied"


EVIDENCE = (
    Evidence(
        item=N_("Intended use and population of the model"),
        sources=(
            "AI Act Annex IV 1(a), Art. 13(3)(b)(i); MDR Annex II 1.1(a), (c); FDA 2025 draft V"
        ),
        claim=(3,),
        where=N_("page 1, annex B"),
        needs=("card",),
        most="partly",
    ),
    Evidence(
        item=N_("Which model was audited, by its hash"),
        sources="AI Act Annex IV 1(a); FDA 2025 draft IX; STARD-AI",
        claim=(),
        where=N_("section 1; run.json: model.sha256"),
        needs=("always", "pinned"),
    ),
    Evidence(
        item=N_("Architecture and how the output is read"),
        sources="AI Act Annex IV 2(b), (c); FDA 2025 draft IX",
        claim=(22,),
        where=N_("section 1; run.json: model"),
        needs=("always",),
        most="partly",
    ),
    Evidence(
        item=N_("Training data and training"),
        sources="AI Act Art. 10(2), Annex IV 2(d); FDA 2025 draft VIII, IX; GMLP 3, 6",
        claim=(7, 25),
        where=N_("annex B; run.json: model.card"),
        needs=("card_training", "card_data"),
        most="partly",
    ),
    Evidence(
        item=N_("Training and test data are independent"),
        sources="GMLP 4; STARD-AI",
        claim=(),
        where=N_("run.json: model.card.data.sha256; case.json: hashes.file_hmac"),
        needs=("card_sha256", "patients"),
        most="partly",
    ),
    Evidence(
        item=N_("Test data: size, origin, characteristics"),
        sources="AI Act Art. 10(3), Annex IV 2(g); FDA 2025 draft VIII; GMLP 3; STARD-AI",
        claim=(7, 35, 36),
        where=N_("sections 2 and 7; cases.csv"),
        needs=("audited", "labels", "subgroups"),
        most="partly",
    ),
    Evidence(
        item=N_("Reference standard"),
        sources="GMLP 5; STARD-AI",
        claim=(16,),
        where=N_("section 2: labels"),
        needs=("labels",),
        most="partly",
    ),
    Evidence(
        item=N_("Handling of files that could not be used"),
        sources="STARD-AI; FDA 2025 draft VIII",
        claim=(12, 35),
        where=N_("section 4; cases.csv: status, reason"),
        needs=("always",),
    ),
    Evidence(
        item=N_("Accuracy with its uncertainty, compared with limits set before"),
        sources="AI Act Art. 9(8), 15(1), 15(3), Annex IV 2(g); FDA 2025 draft X, app. C; STARD-AI",
        claim=(28, 29, 37, 38),
        where=N_("sections 3, 5 and 6; cohort.json: metrics, acceptance"),
        needs=("labels", "intervals", "criteria"),
    ),
    Evidence(
        item=N_("Why these performance metrics are appropriate"),
        sources="AI Act Annex IV 4",
        claim=(),
        where=N_("section 14: methods; the choice for the intended use is the submitter's"),
        needs=("labels", "criteria"),
        most="partly",
    ),
    Evidence(
        item=N_("Calibration of the output"),
        sources="FDA 2025 draft X",
        claim=(28,),
        where=N_("section 7; cohort.json: reliability"),
        needs=("calibration",),
    ),
    Evidence(
        item=N_("Accuracy for groups of persons"),
        sources=(
            "AI Act Art. 10(2)(f), 13(3)(b)(v), Annex IV 3; FDA 2025 draft X; GMLP 3, 8; STARD-AI"
        ),
        claim=(),
        where=N_("section 7; cohort.json: subgroups"),
        needs=("labels", "subgroups"),
    ),
    Evidence(
        item=N_("Repeatability of the output"),
        sources="AI Act Art. 15(1); FDA 2025 draft app. C",
        claim=(),
        where=N_("annex D; run.json: model.is_deterministic"),
        needs=("repeated",),
        most="partly",
    ),
    Evidence(
        item=N_("Analysis of errors"),
        sources="AI Act Annex IV 3; FDA 2025 draft X",
        claim=(39,),
        where=N_("section 8; cohort.json: false_positives, false_negatives"),
        needs=("labels", "wrong"),
    ),
    Evidence(
        item=N_("Robustness, shortcuts and sensitivity of the output"),
        sources="AI Act Art. 15(4); GMLP 8",
        claim=(30,),
        where=N_("section 9; case.json: maps, flags, probes"),
        needs=("regions", "flags", "masking"),
        most="partly",
    ),
    Evidence(
        item=N_("Means to interpret the output, case by case"),
        sources="AI Act Art. 13(1), 13(3)(b)(vii), Annex IV 2(e); FDA 2025 draft VI; GMLP 9",
        claim=(31,),
        where=N_("cases/*/report.pdf, map.npz, case.json"),
        needs=("maps", "documents"),
    ),
    Evidence(
        item=N_("Validity of the explanations"),
        sources="AI Act Art. 13(3)(b)(iv)",
        claim=(31,),
        where=N_("section 10; run.json: calibration.checks; case.json: trust"),
        needs=("model_checks", "trust"),
    ),
    Evidence(
        item=N_("Known limits of the model"),
        sources="AI Act Art. 13(3)(b), Annex IV 3; FDA 2025 draft VI",
        claim=(),
        where=N_("page 1; run.json: model.card.limits"),
        needs=("card_limits",),
    ),
    Evidence(
        item=N_("Fitness of the input data"),
        sources="AI Act Art. 13(3)(b)(vi), Annex IV 3; FDA 2025 draft VIII",
        claim=(9,),
        where=N_("section 4; case.json: quality, radiograph.decisions, input"),
        needs=("always", "quality"),
    ),
    Evidence(
        item=N_("Hazards, and what was checked about each"),
        sources=(
            "ISO 14971:2019, risk analysis; ISO/TS 24971-2:2026; AI Act Art. 9(2)(a); FDA 2025 draft VII; MDR Annex II 5"
        ),
        claim=(),
        where=N_("annex D"),
        needs=("always",),
        most="partly",
    ),
    Evidence(
        item=N_("Automatic records of what was done"),
        sources="21 CFR 11.10(e)",
        claim=(),
        where=N_(
            "events.jsonl: UTC, each line with the hash of the one before; no log of operators"
        ),
        needs=("always",),
        most="partly",
    ),
    Evidence(
        item=N_("Logs of the system in operation"),
        sources="AI Act Art. 12",
        claim=(),
        where="",
        needs=(),
    ),
    Evidence(
        item=N_("Validation of the record system; protection of records while they are kept"),
        sources="21 CFR 11.10(a), (c)",
        claim=(),
        where="",
        needs=(),
    ),
    Evidence(
        item=N_("Records that show alteration; copies for people and machines"),
        sources="21 CFR 11.10(b)",
        claim=(),
        where=N_("SHA256SUMS; cxr-audit verify RUN; PDF/A-3a and JSON"),
        needs=("always", "documents"),
    ),
    Evidence(
        item=N_("Software of unknown provenance: names and versions"),
        sources="IEC 62304:2006 8.1.2; AI Act Annex IV 1(c)",
        claim=(23,),
        where=N_("sbom.cdx.json; run.json: software.versions"),
        needs=("always",),
        most="partly",
    ),
    Evidence(
        item=N_("Software verification and validation of the device"),
        sources="MDR Annex II 6.1(b); IEC 62304; GMLP 2",
        claim=(),
        where=N_("this report: the test of the model only"),
        needs=("audited",),
        most="partly",
    ),
    Evidence(
        item=N_("Baseline for post-deployment monitoring"),
        sources=(
            "AI Act Art. 9(2)(c), Annex IV 9; FDA 2025 draft XI; GMLP 10; ISO 14971:2019, "
            "post-production"
        ),
        claim=(),
        where=N_("annex E"),
        needs=("audited",),
        most="partly",
    ),
    Evidence(
        item=N_("Human-AI performance"),
        sources="GMLP 7; AI Act Art. 14; FDA 2025 draft app. D",
        claim=(18,),
        where=N_("section 8: readers; readers.json"),
        needs=("readers",),
        most="partly",
    ),
    Evidence(
        item=N_("Benefit-risk analysis, clinical evaluation"),
        sources="MDR Annex II 5, 6.1; ISO 14971:2019",
        claim=(),
        where="",
        needs=(),
    ),
    Evidence(
        item=N_("Cybersecurity"),
        sources="AI Act Art. 15, Annex IV 2(h); FDA 2025 draft XII",
        claim=(),
        where="",
        needs=(),
    ),
    Evidence(
        item=N_("Signed and dated test report"),
        sources="AI Act Annex IV 2(g); 21 CFR 11.50, 11.70",
        claim=(),
        where="",
        needs=(),
    ),
)
