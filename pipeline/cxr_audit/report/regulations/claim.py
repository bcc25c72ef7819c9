"""CLAIM 2024 Update (Tejani et al., Radiol Artif Intell 6(4):e240300): all 44 items, shortened."""

from __future__ import annotations

from cxr_audit.report.language import N_

# number -> (item, where in this run, the fact that it needs; None = a run cannot know it)
CLAIM: dict[int, tuple[str, str | None, str | None]] = {
    1: (N_("Identification as a study of AI methodology"), N_("title"), "always"),
    2: (N_("Summary of design, methods, results, conclusions"), None, None),
    3: (N_("Background, intended use and role of the AI approach"), N_("page 1"), "card"),
    4: (N_("Aims, objectives, hypotheses"), None, None),
    5: (N_("Prospective or retrospective study"), None, None),
    6: (N_("Study goal"), N_("section 5"), "criteria"),
    7: (N_("Data sources"), N_("annex B (training); section 2"), "card_data"),
    8: (N_("Inclusion and exclusion criteria"), N_("section 2"), "inclusion"),
    9: (N_("Data pre-processing"), N_("section 1; case.json: input.preprocessing"), "always"),
    10: (N_("Selection of data subsets"), N_("run.json: config.ingest"), "always"),
    11: (
        N_("De-identification methods"),
        N_("annex D; case.json: radiograph.attributes"),
        "always",
    ),
    12: (
        N_("How missing data were handled"),
        N_("section 4: not audited; undefined metrics by reason"),
        "always",
    ),
    13: (N_("Image acquisition protocol"), None, None),
    14: (N_("How the reference standard was obtained"), None, None),
    15: (N_("Rationale for the reference standard"), None, None),
    16: (N_("Source of reference standard annotations"), N_("section 2: labels"), "labels"),
    17: (N_("Annotation of test set"), None, None),
    18: (N_("Inter- and intra-rater variability"), N_("section 8: readers"), "readers"),
    19: (N_("How data were assigned to partitions"), None, None),
    20: (N_("Level at which partitions are disjoint"), None, None),
    21: (N_("Intended sample size"), None, None),
    22: (N_("Detailed description of model"), N_("section 1"), "always"),
    23: (
        N_("Software libraries, frameworks, packages"),
        N_("sbom.cdx.json; run.json: software.versions"),
        "always",
    ),
    24: (N_("Initialisation of model parameters"), None, None),
    25: (N_("Details of training approach"), N_("run.json: model.card.training"), "card_training"),
    26: (N_("Method of selecting the final model"), None, None),
    27: (N_("Ensembling techniques"), None, None),
    28: (N_("Metrics of model performance"), N_("section 6"), "labels"),
    29: (
        N_("Measures of significance and uncertainty"),
        N_("section 6; cohort.json: method"),
        "intervals",
    ),
    30: (N_("Robustness or sensitivity analysis"), N_("section 9: masking"), "masking"),
    31: (
        N_("Methods for explainability or interpretability"),
        N_("section 10; cases/*/report.pdf"),
        "maps",
    ),
    32: (
        N_("Evaluation on internal data"),
        N_("annex B: measured by its developer"),
        "card_measured",
    ),
    33: (N_("Testing on external data"), None, None),
    34: (N_("Clinical trial registration"), None, None),
    35: (N_("Numbers included and excluded"), N_("section 4; cases.csv"), "always"),
    36: (
        N_("Characteristics of cases in each partition"),
        N_("section 7: subgroups"),
        "subgroups",
    ),
    37: (
        N_("Performance metrics and statistical uncertainty"),
        N_("section 6; cohort.json"),
        "intervals",
    ),
    38: (
        N_("Estimates of performance and their precision"),
        N_("section 6; cohort.json"),
        "intervals",
    ),
    39: (N_("Failure analysis of incorrect results"), N_("section 8"), "wrong"),
    40: (N_("Study limitations"), N_("section 11"), "always"),
    41: (N_("Implications for practice"), None, None),
    42: (
        N_("Reference to the full protocol or technical details"),
        N_("run.json: config, software.versions"),
        "always",
    ),
    43: (N_("Availability of software, model and data"), None, None),
    44: (N_("Sources of funding; role of funders"), None, None),
}
