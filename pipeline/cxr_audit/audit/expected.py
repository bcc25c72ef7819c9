"""How many passes of the audited network a run will ask, by purpose, before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from cxr_audit.audit.plan import sample
from cxr_audit.config import AuditConfig
from cxr_audit.factors import BANDS
from cxr_audit.preprocess import SHIFTS
from cxr_audit.records import CaseSource, Fill
from cxr_audit.vocabulary import MASKING_NUMBERS
from cxr_audit.vocabulary.factors import moved_factors

if TYPE_CHECKING:
    from cxr_audit.trust.checks import Checks

PARITY_CASES = 16
PLAIN_CALLS = 2
"""Full batches of plain passes that are timed."""

CHANGES = 2 * len(moved_factors()) + 2 * BANDS
"""Inputs of a case that is asked for its factors, at most."""
REPLACED = ("border", "markers")


@dataclass(frozen=True, slots=True)
class ExpectedPasses:
    """The passes of one purpose.

    Parameters
    ----------
    purpose : a key of `vocabulary.PURPOSES`.
    num_cases : that are asked.
    num : passes of all of them, at most: a case without a marker asks fewer.
    """

    purpose: str
    num_cases: int
    num: int


def expected_passes(
    config: AuditConfig, checks: Checks, sources: list[CaseSource]
) -> list[ExpectedPasses]:
    """The passes that a run of these cases will ask.

    Where checks of a sample may decide at the first look, it is the number until then.
    """
    explainer = checks.explainer
    num_cases = len(sources)
    a_case = explainer.passes_a_case
    num_sampled = min(config.trust.sample, num_cases)
    num_probed = len(sample(sources, config.masking.probes))
    num_factored = len(sample(sources, config.factors.cases))
    num_masked = len(sample(sources, config.masking.cases))
    expected = [
        ExpectedPasses("maps", num_cases, num_cases * a_case),
        ExpectedPasses("brightness", num_probed, num_probed * len(SHIFTS)),
        ExpectedPasses("replaced", num_probed, num_probed * len(REPLACED)),
        ExpectedPasses(
            "masking", num_masked, num_masked * len(MASKING_NUMBERS) * len(get_args(Fill))
        ),
        ExpectedPasses("factors", num_factored, num_factored * CHANGES),
        ExpectedPasses("calibration", num_sampled, num_sampled * a_case),
        ExpectedPasses("parity", min(PARITY_CASES, num_sampled), min(PARITY_CASES, num_sampled)),
        ExpectedPasses("plain", 0, PLAIN_CALLS * config.engine.batch_size),
    ]
    of_checks = checks.num_inputs(num_cases)
    looked_at = checks.num_looked_at(num_cases)
    for purpose, num in of_checks.items():
        is_of_cases = purpose == "stability" and config.trust.stability == "all"
        expected.append(ExpectedPasses(purpose, num_cases if is_of_cases else looked_at, num))
    return [row for row in expected if row.num]
