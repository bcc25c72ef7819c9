"""What computed the answers, in words."""

from __future__ import annotations

import math

from cxr_audit.records import RunRecord
from cxr_audit.report.language import _, decimals, grouped

DIGITS = 4


def runtime_rows(run: RunRecord) -> list[tuple[str, str]]:
    """The runtime of the forward passes and how far it differs; none where TensorFlow was used."""
    parity = run.calibration.parity
    if parity is None or parity.runtime is None:
        return []
    found = parity.runtime
    # Rounded to the side that claims less.
    difference = math.ceil(max(found.largest_logit_difference, 10**-DIGITS) * 10**DIGITS)
    words = _(
        "{runtime}; {num} inputs: a logit differs from TensorFlow's by at most {difference}",
        runtime=found.runtime,
        num=grouped(found.num_inputs),
        difference=decimals(difference / 10**DIGITS, DIGITS),
    )
    if found.lowest_map_correlation is not None:
        correlation = math.floor(found.lowest_map_correlation * 10**DIGITS) / 10**DIGITS
        words += "; " + _(
            "rank correlation of maps at least {correlation}",
            correlation=decimals(correlation, DIGITS),
        )
    return [(_("Runtime"), words)]
