"""One page: terms, and methods with their sources."""

from __future__ import annotations

from cxr_audit.report.language import N_, _
from cxr_audit.report.words import Rows

TERMS = (
    (N_("Score"), N_("Output of the model for the target class, 0 to 1. Not a probability unless calibration was shown.")),
    (N_("Logit, log-odds"), N_("The score before its last step; 0 corresponds to a score of 0.5. Parts of it add up.")),
    (N_("Threshold"), N_("From this score on the model predicts the target class.")),
    (N_("Reference label"), N_("The class that the data state as true. It may be wrong.")),
    (N_("Map"), N_("Class activation map: how much each cell of the image adds to the score.")),
    (N_("Evidence"), N_("The positive part of the map. A share of evidence is a share of its sum.")),
    (N_("Relative to the area"), N_("Share of evidence divided by share of area; a map that is the same everywhere has 1.")),
    (N_("Control map"), N_("A map that ignores the model: edges, noise, centre. A real map should differ from it.")),
    (N_("Masking"), N_("A part of the model input is replaced, and the model is asked again.")),
    (N_("Flag"), N_("A rule about a case, with a limit fixed in the program, that was broken.")),
    (N_("Met, not met"), N_("The named end of the interval, or the estimate where no end is named, is on the right or on the wrong side of the limit.")),
    (N_("Undecided"), N_("The interval holds the limit: more cases are needed.")),
    (N_("Not examined"), N_("The run could not measure it. It is never counted as met.")),
    (N_("Sealed"), N_("Every later change of a file shows. Only a signature shows who sealed.")),
)  # fmt: skip
METHODS = (
    (N_("Sensitivity, specificity, predictive values"), N_("shares of labelled, audited cases at the threshold of the run")),
    (N_("AUC"), N_("Mann-Whitney statistic; equal scores count half")),
    (N_("Interval of a share, AUC and Brier score"), N_("score interval (form of Wilson, 1927) for an effective number of cases; that number comes from the variance over resampled patients (Korn and Graubard, 1998). It is not Wilson's interval of the cases.")),
    (N_("Interval of the calibration error"), N_("bias-corrected bootstrap over patients")),
    (N_("Calibration error"), N_("mean distance of output and observed share over ten bins of equal width")),
    (N_("Grad-CAM, LayerCAM and others"), N_("each map names its method; docs/vocabulary.md has the sources")),
    (N_("Randomisation"), N_("trained weights are replaced step by step; the map should change (Adebayo et al., NeurIPS 2018)")),
    (N_("Deletion, insertion, ROAD"), N_("the score after strongest cells are removed or revealed, against random order (Petsiuk et al., 2018; Rong et al., 2022)")),
    (N_("Dependence over the run"), N_("change of the score when markers, border or brightness are changed, against the spread of scores")),
    (N_("Cohen's kappa"), N_("agreement of two raters beyond chance; interval by its large-sample standard error (Fleiss et al., 1969)")),
)  # fmt: skip


def terms() -> Rows:
    """Terms and what they mean here."""
    return [(_(term), _(meaning)) for term, meaning in TERMS]


def methods() -> Rows:
    """Figures and how they are made."""
    return [(_(name), _(how)) for name, how in METHODS]
