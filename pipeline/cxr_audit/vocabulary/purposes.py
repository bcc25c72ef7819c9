"""What the audited network is asked for: every pass through it has one purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_audit.vocabulary.registry import Registry, Row

Scope = Literal["case", "sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose(Row):
    """A purpose of passes.

    Parameters
    ----------
    scope : "case" = asked of the cases of a run; "sample" = of a sample, once a model.
    """

    scope: Scope


PURPOSES = Registry(
    "purpose of passes",
    (
        Purpose(
            key="maps",
            label="output and maps",
            definition="The radiograph as it is: output and class activation maps.",
            scope="case",
        ),
        Purpose(
            key="brightness",
            label="brightness",
            definition="The image darker and brighter.",
            scope="case",
        ),
        Purpose(
            key="replaced",
            label="border and markers",
            definition="The border, and the markers, replaced by the run's mean radiograph.",
            scope="case",
        ),
        Purpose(
            key="stability",
            label="stability",
            definition="Small shifts, noise and reduced contrast.",
            scope="case",
        ),
        Purpose(
            key="masking",
            label="causal masking",
            definition="Lungs, all but the lungs, markers and border replaced by two fills.",
            scope="case",
        ),
        Purpose(
            key="factors",
            label="factors",
            definition="Each factor changed to both ends of its usual range; rows and columns of the image replaced.",
            scope="case",
        ),
        Purpose(
            key="faithfulness",
            label="deletion, insertion, ROAD",
            definition="Cells removed and revealed in the order of the map.",
            scope="sample",
        ),
        Purpose(
            key="randomisation",
            label="randomisation",
            definition="Maps with trained weights replaced by untrained ones.",
            scope="sample",
        ),
        Purpose(
            key="calibration",
            label="maps of the sample",
            definition="Output and maps of the sample, from which colour scales are taken.",
            scope="sample",
        ),
        Purpose(
            key="parity",
            label="parity with the model file",
            definition="The outputs of the file's own model.",
            scope="sample",
        ),
        Purpose(
            key="runtime",
            label="parity of the runtime",
            definition="Outputs and maps of the runtime compared with those of TensorFlow.",
            scope="sample",
        ),
        Purpose(
            key="production",
            label="parity with production",
            definition="The outputs beside those of the site's own pipeline.",
            scope="sample",
        ),
        Purpose(
            key="plain",
            label="plain passes",
            definition="A full batch, timed: the unit of cost; two calls are compared bit by bit.",
            scope="sample",
        ),
        Purpose(
            key="other",
            label="other",
            definition="Passes that no purpose was given for.",
            scope="case",
        ),
    ),
)
