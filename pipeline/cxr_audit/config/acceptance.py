"""Sections on what a run has to show."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from cxr_audit.config.types import CriterionName, Name, Section, perhaps
from cxr_audit.records import Bound, Outcome
from cxr_audit.vocabulary import RUN_METRICS
from cxr_audit.vocabulary.checks import criteria_of_model
from cxr_audit.vocabulary.names import case_yes_or_no, criteria

PRIVATE_COLUMNS = (
    *("caseid", "path", "patientid", "patientname", "patientbirthdate", "accessionnumber"),
    *("sopinstanceuid", "studyinstanceuid", "seriesinstanceuid"),
)


class Cohort(Section):
    """Performance of the whole run, with 95 % intervals from resampled patients."""

    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="share of the target class for the predictive values; default: the run's own",
    )
    subgroups: tuple[Name, ...] = Field(
        ("ViewPosition", "PatientSex", "PatientAge"),
        description=(
            "DICOM attributes that ingestion allows, and manifest columns; their values are printed"
        ),
    )
    min_cases: Annotated[int, Field(ge=1)] = Field(
        20,
        description=(
            "labelled cases below which a subgroup is not shown; a share of 20 is known to "
            "within 0.20"
        ),
    )
    rounds: Annotated[int, Field(ge=200, le=100_000)] = Field(
        2000, description="times that patients are resampled"
    )

    @field_validator("subgroups")
    @classmethod
    def _name_no_patient(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if re.sub(r"[\W_]", "", name.lower()) in PRIVATE_COLUMNS:
                raise ValueError(f"{name!r} names patients")
        return columns


class Criterion(Section):
    """One thing that a run has to show."""

    metric: Annotated[Name, CriterionName()] = Field(
        description=(
            "a metric of the run; a number of each case, or what is true or false of it; or "
            "a check of the model, which has no limit here"
        )
    )
    cases: Literal["all", Outcome] = Field(
        "all",
        description=(
            "which cases a share is of: all | true_positive | false_positive | true_negative | ..."
        ),
    )
    above: FiniteFloat | None = Field(
        None, description="a case counts where its number is above this"
    )
    below: FiniteFloat | None = Field(
        None, description="a case counts where its number is below this"
    )
    bound: Bound | None = Field(
        None,
        description=(
            "what is compared with the limit: estimate, or the lower or upper end of its "
            "95 % interval; default: the less favourable end (of failed and excluded: the "
            "estimate)"
        ),
    )
    at_least: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="limit of a metric of the run"
    )
    at_most: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="limit of a metric of the run"
    )
    share_at_least: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="limit of the share, of the cases whose number is defined",
    )
    share_at_most: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="limit of the share, of the cases whose number is defined",
    )

    @field_validator("metric")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in criteria():
            raise ValueError(f"unknown metric{perhaps(name, criteria())}")
        return name

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Criterion:
        given = {key for key in type(self).model_fields if getattr(self, key) is not None}
        given -= {"metric", "bound"}
        if self.cases == "all":
            given.discard("cases")
        if self.metric in criteria_of_model():
            if given:
                raise ValueError(f"{self.metric} is passed or not: give no limit and no cases")
        elif self.metric in RUN_METRICS:
            if len(given) != 1 or not given <= {"at_least", "at_most"}:
                raise ValueError(
                    f"{self.metric} is one number of the run: "
                    "give either at_least or at_most, no more"
                )
        else:
            self._fits_each_case(given)
        return self

    def _fits_each_case(self, given: set[str]) -> None:
        """Refuse keys that do not fit a metric of each case; `given` are those that are set."""
        shares = given & {"share_at_least", "share_at_most"}
        if len(shares) != 1 or given & {"at_least", "at_most"}:
            raise ValueError(
                f"{self.metric} is of each case: give either share_at_least or share_at_most"
            )
        num_limits = len(given & {"above", "below"})
        if self.metric in case_yes_or_no():
            if num_limits != 0:
                raise ValueError(f"{self.metric} is yes or no: give neither above nor below")
        elif num_limits != 1:
            raise ValueError(f"{self.metric} is a number: give either above or below")
        if self.metric in ("failed", "excluded") and self.cases != "all":
            raise ValueError(f"{self.metric} cases have no outcome: leave cases out")


class Acceptance(Section):
    """Limits of the flags, and criteria for the run; exit code 6 if a criterion is not met."""

    flag_outside_lungs_controls: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1.0,
        description=(
            "outside_lungs: most of the evidence lies outside the lungs, and they hold at "
            "most so many times what the control maps centre or edges have there;"
        ),
    )
    flag_outside_lungs_contour: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25,
        description="or less than this share of the contour, and not the map's maximum",
    )
    flag_marker_log_odds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.5,
        description=(
            "marker: replaced by the run's mean radiograph, it moves the logit by this or more;"
        ),
    )
    flag_border_log_odds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.7,
        description=(
            "border: replaced by the run's mean radiograph, it moves the logit by this or more"
        ),
    )
    flag_border_spread: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.35, description="and by so much of the standard deviation of the run's logits;"
    )
    flag_region_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="marker, border: or this share of the positive evidence lies there,"
    )
    flag_region_enrichment: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1.5, description="and so many times the share of the area"
    )
    flag_exposure_log_odds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        1.5, description="exposure: the logit differs by this or more between darker and brighter"
    )
    flag_diffuse_high_focus: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="diffuse: more of the radiograph is above focus.high_focus_threshold"
    )
    flag_near_threshold_log_odds: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1.0, description="near_threshold: the logit is less than this from the threshold's"
    )
    flag_factor_spread: Annotated[FiniteFloat, Field(gt=0)] = Field(
        2.5,
        description="depends_on_...: over the factor's usual range the logit changes by this or "
        "more, in its standard deviations within a label",
    )
    dependence_marker_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3, description="marker_dependence: more of the cases with a marker are flagged for it"
    )
    dependence_border_spread: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.63,
        description="border_dependence: the change by the border spreads by more, in standard "
        "deviations of the logit",
    )
    dependence_exposure_spread: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.62,
        description="exposure_dependence: over one image darker and brighter the logit spreads by "
        "more, in standard deviations of the logit between images",
    )
    factor_spread: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.9,
        description="factors: change of the logit over the factor's usual range, in its standard "
        "deviations within a label, times the root of the share that the factor explains",
    )
    factor_marker: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.6,
        description="factors: change of the logit with the markers replaced, where there are some",
    )
    factor_place: Annotated[float, Field(gt=0, le=2)] = Field(
        0.42,
        description="factors: share of the logit's variance within a label that a place brings",
    )
    factor_low_level: Annotated[float, Field(gt=0, le=1)] = Field(
        0.58,
        description="factors: share of the logit within a label that generic statistics predict",
    )
    criteria: tuple[Criterion, ...] = Field(
        (),
        description=(
            "a list of {metric: auc, bound: lower, at_least: 0.9} (or at_most: ), or of "
            "{metric: lungs_enrichment, cases: true_positive, above: 1.5, share_at_least: "
            "0.8} (or below: , share_at_most: )"
        ),
    )
