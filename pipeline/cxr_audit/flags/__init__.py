"""A case and limits -> flags: what a reader has to know of this case, by rule, with its reason.

A rule that cannot be applied gives no flag but a reason, in `FlagsRecord.undefined`: never an
unspoken "no". Where the evidence lies is judged only where the target class is predicted: the
positive part of the map is the evidence for that class, and where it is not predicted there is
little of it. The limits are keys of the config's section `acceptance`; docs/flags.md derives their
defaults.
"""

from cxr_audit.flags.judge import flagged, judge

__all__ = ["flagged", "judge"]
