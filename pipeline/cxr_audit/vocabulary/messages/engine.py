"""Why the process that worked on a case was lost."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "engine.died": (
        "the process that worked on this case ended unexpectedly (exit code {code}), twice"
    ),
    "engine.died_of_signal": (
        "the process that worked on this case was ended by signal {signal}, twice"
    ),
    "engine.too_slow": "the case was not finished within {seconds:g} s, twice",
    "engine.too_large": "the case needed more than {mib:.0f} MiB of memory, twice",
    "engine.raise_seconds": "to allow more time, raise engine.case_seconds and run with --resume",
    "engine.raise_mib": "to allow more memory, raise engine.case_mib and run with --resume",
    "engine.lower_workers": (
        "the machine may be short of memory: set engine.workers or engine.batch_size lower, "
        "then run with --resume"
    ),
}
