"""What a case can be flagged for. The rules are bound by key in `cxr_audit.flags`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cxr_audit.vocabulary.factors import moved_factors
from cxr_audit.vocabulary.registry import Registry, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRow(Row):
    """A flag; its label is a heading.

    Parameters
    ----------
    limits : the keys of the config's section `acceptance` that hold its limits.
    checks : the checks of the input that raise it, where it has no rule of its own.
    function : judges it; only in rows of other packages.
    factor : the factor that it is about; it is assessed only in cases that were asked for it.
    """

    limits: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    function: Callable[..., Any] | None = None
    factor: str | None = None


def _depends_on(key: str, label: str) -> FlagRow:
    return FlagRow(
        key=f"depends_on_{key}",
        label=f"Output depends on {label}",
        definition=f"The logit of this case changes by much over the usual range of: {label}.",
        limits=("flag_factor_spread",),
        factor=key,
    )


FLAGS = Registry(
    "flag",
    (
        FlagRow(
            key="outside_lungs",
            label="Little evidence in the lungs",
            definition="Most of the positive evidence lies outside the lungs, and they hold no more "
            "of it than control maps that do not use the classifier, or the contour lies outside.",
            limits=("flag_outside_lungs_controls", "flag_outside_lungs_contour"),
        ),
        FlagRow(
            key="marker",
            label="Output depends on a side marker or text",
            definition="Replacing a marker by the run's mean radiograph changes the logit, or much "
            "of the positive evidence lies there.",
            limits=("flag_marker_log_odds", "flag_region_share", "flag_region_enrichment"),
        ),
        FlagRow(
            key="border",
            label="Output depends on the image border",
            definition="Replacing the border by the run's mean radiograph changes the logit, or "
            "much of the positive evidence lies there.",
            limits=(
                "flag_border_log_odds",
                "flag_border_spread",
                "flag_region_share",
                "flag_region_enrichment",
            ),
        ),
        FlagRow(
            key="exposure",
            label="Output depends on image brightness",
            definition="The logit differs between the whole image darker and brighter.",
            limits=("flag_exposure_log_odds",),
        ),
        FlagRow(
            key="diffuse",
            label="Map is diffuse",
            definition="Most of the radiograph is above the threshold of high focus.",
            limits=("flag_diffuse_high_focus",),
        ),
        FlagRow(
            key="near_threshold",
            label="Output near the threshold",
            definition="The logit is close to that of the threshold.",
            limits=("flag_near_threshold_log_odds",),
        ),
        FlagRow(
            key="low_contrast_input",
            label="Low image contrast",
            definition="The input check of the contrast failed.",
            checks=("contrast",),
        ),
        FlagRow(
            key="out_of_population",
            label="Outside the model's population",
            definition="An input check of the view, the age or of what the image shows failed.",
            checks=("view", "age", "not_a_chest"),
        ),
        # The flag exposure is about brightness.
        *(_depends_on(row.key, row.label) for row in moved_factors() if row.key != "brightness"),
    ),
)
