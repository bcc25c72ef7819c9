"""Checks: of the input (`quality`), and of the explanation and the model (`trust`, `cohort`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cxr_audit.vocabulary.registry import Registry, Row

Stage = Literal["picture", "lungs", "header", "run"]
Action = Literal["caution", "exclude", "fail"]
Scope = Literal["model", "case", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityCheck(Row):
    """A check of the input. The label names what is right; the definition what is measured.

    Parameters
    ----------
    stage : what it looks at: the grey values, the lungs found, the header, or the whole run.
    action : what happens by default to a radiograph that fails it.
    function : makes it; only in rows of other packages, and only of the stage "picture".
    """

    stage: Stage
    action: Action = "caution"
    function: Callable[..., Any] | None = None


QUALITY_CHECKS = Registry(
    "quality check",
    (
        QualityCheck(
            key="blank",
            label="not blank",
            definition="Span of the grey values, 1st to 99th percentile.",
            stage="picture",
            action="exclude",
        ),
        QualityCheck(
            key="contrast",
            label="contrast",
            definition="Span of the grey values inside the exposed field, 5th to 95th percentile.",
            stage="picture",
        ),
        QualityCheck(
            key="clipping",
            label="clipping",
            definition="Share of the image's middle that is completely black or white.",
            stage="picture",
        ),
        QualityCheck(
            key="collimation",
            label="collimation",
            definition="Share of the image that a uniform frame covers.",
            stage="picture",
        ),
        QualityCheck(
            key="inversion",
            label="inversion",
            definition="Where lungs are found: in the image or in its negative.",
            stage="lungs",
        ),
        QualityCheck(
            key="rotation",
            label="in-plane tilt",
            definition="Angle of the line between the lungs, or turn needed to find them, degrees.",
            stage="lungs",
        ),
        QualityCheck(
            key="crop",
            label="lungs complete",
            definition="Share of one image edge that lung covers.",
            stage="lungs",
        ),
        QualityCheck(
            key="not_a_chest",
            label="frontal chest",
            definition="Share of the image that looks like lung.",
            stage="lungs",
            action="exclude",
        ),
        QualityCheck(
            key="view",
            label="view",
            definition="The view that the file states.",
            stage="header",
            action="exclude",
        ),
        QualityCheck(
            key="age",
            label="age",
            definition="The age that the file states, as a band of ten years.",
            stage="header",
        ),
        QualityCheck(
            key="burned_in_annotation",
            label="no burned-in text",
            definition="Text in the pixels, by (0028,0301) and by outlines found.",
            stage="header",
        ),
        QualityCheck(
            key="image_type",
            label="image type",
            definition="What kind of image the file says it is.",
            stage="header",
        ),
        QualityCheck(
            key="duplicate_uid",
            label="no duplicate UID",
            definition="Whether an earlier case of the run has the same SOP Instance UID.",
            stage="run",
        ),
        QualityCheck(
            key="duplicate_pixels",
            label="no duplicate pixels",
            definition="Whether an earlier case of the run has the same pixels.",
            stage="run",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustCheck(Row):
    """A check of the explanation, or of what the model depends on.

    Parameters
    ----------
    scope : made once a model, for each case, or over the whole run.
    is_criterion : an acceptance criterion can name it.
    limit : the config's key of its limit.
    """

    scope: tuple[Scope, ...]
    is_criterion: bool = False
    limit: str = ""


TRUST_CHECKS = Registry(
    "check of the explanation",
    (
        TrustCheck(
            key="randomisation",
            label="randomisation",
            definition="Whether the map changes when the trained weights are replaced layer by "
            "layer.",
            source="Adebayo et al., NeurIPS 2018",
            scope=("model",),
            is_criterion=True,
        ),
        TrustCheck(
            key="output_variation",
            label="output variation",
            definition="Spread of the reported probability over the sample, 5th to 95th percentile.",
            scope=("model",),
            is_criterion=True,
        ),
        TrustCheck(
            key="map_variation",
            label="map variation",
            definition="Mean rank correlation between the maps of different radiographs.",
            scope=("model",),
            is_criterion=True,
        ),
        TrustCheck(
            key="deletion",
            label="deletion",
            definition="Log-odds lost by blurring the highest cells first, beyond a random order.",
            source="Petsiuk et al., BMVC 2018",
            scope=("model", "case"),
            is_criterion=True,
            limit="trust.gain",
        ),
        TrustCheck(
            key="insertion",
            label="insertion",
            definition="Log-odds gained by revealing the highest cells first, beyond a random order.",
            source="Petsiuk et al., BMVC 2018",
            scope=("model", "case"),
            is_criterion=True,
            limit="trust.gain",
        ),
        TrustCheck(
            key="road",
            label="ROAD",
            definition="Log-odds of removing the lowest cells minus removing the highest.",
            source="Rong et al., ICML 2022",
            scope=("model", "case"),
            is_criterion=True,
            limit="trust.gain",
        ),
        TrustCheck(
            key="stability",
            label="stability",
            definition="Mean rank correlation of the map under small changes of the input.",
            scope=("model", "case"),
            limit="trust.stability_mean",
        ),
        TrustCheck(
            key="worst_stability",
            label="worst stability",
            definition="Lowest rank correlation of the map under small changes of the input.",
            scope=("model", "case"),
            limit="trust.stability_worst",
        ),
        TrustCheck(
            key="brightness_stability",
            label="stability under brightness",
            definition="Lowest rank correlation of the map with those of the image darker and "
            "brighter.",
            scope=("case",),
            limit="trust.stability_brightness",
        ),
        TrustCheck(
            key="agreement",
            label="agreement",
            definition="Lowest rank correlation with the map of another method.",
            scope=("case",),
            limit="trust.agreement_lowest",
        ),
        TrustCheck(
            key="completeness",
            label="completeness",
            definition="What the cells and the bias leave of the logit.",
            scope=("case",),
        ),
        TrustCheck(
            key="marker_dependence",
            label="marker dependence",
            definition="Share of the cases with a marker that are flagged for it.",
            scope=("run",),
            is_criterion=True,
            limit="acceptance.dependence_marker_share",
        ),
        TrustCheck(
            key="border_dependence",
            label="border dependence",
            definition="Standard deviation of the logit's change with the border replaced by the "
            "run's mean radiograph, over that of the logit.",
            scope=("run",),
            is_criterion=True,
            limit="acceptance.dependence_border_spread",
        ),
        TrustCheck(
            key="exposure_dependence",
            label="brightness dependence",
            definition="Standard deviation of the logit over one image as it is, darker and "
            "brighter, over that between the images.",
            scope=("run",),
            is_criterion=True,
            limit="acceptance.dependence_exposure_spread",
        ),
    ),
)


def criteria_of_model() -> tuple[str, ...]:
    """Checks that an acceptance criterion can name."""
    return tuple(check.key for check in TRUST_CHECKS if check.is_criterion)


def checks_of_run() -> tuple[str, ...]:
    """Checks that are made over the whole run."""
    return tuple(check.key for check in TRUST_CHECKS if check.scope == ("run",))
