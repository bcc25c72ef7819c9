"""The whole config."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    model_validator,
)

from cxr_audit.config.acceptance import Acceptance, Cohort
from cxr_audit.config.explanation import Explain, Factors, Focus, Masking, Regions, Trust
from cxr_audit.config.export import Export
from cxr_audit.config.model import Classifier, Preprocess
from cxr_audit.config.output import Engine, Report
from cxr_audit.config.sources import Ingest, Privacy, Quality, Run
from cxr_audit.vocabulary.depths import DEFAULT_DEPTH, DEPTH_KEYS, DEPTHS

# Where, how and by whom a run is made and handed on, not what is asked of it.
PLACES = (
    *("run.output", "run.name", "privacy.key_file"),
    *("run.operator", "run.organisation", "run.host", "run.protocol"),
    *("engine.name", "engine.workers", "engine.auditors", "engine.batch_size"),
    *("engine.case_seconds", "engine.case_mib"),
    *(f"export.{key}" for key in Export.model_fields),
)


class AuditConfig(BaseModel):
    """A whole audit. `cxr-audit schema` prints this as JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="cxr-audit config")

    run: Run
    ingest: Ingest
    privacy: Privacy = Privacy()
    quality: Quality = Quality()
    preprocess: Preprocess
    classifier: Classifier
    explain: Explain = Explain()
    trust: Trust = Trust()
    regions: Regions = Regions()
    focus: Focus = Focus()
    masking: Masking = Masking()
    factors: Factors = Factors()
    cohort: Cohort = Cohort()
    acceptance: Acceptance = Acceptance()
    report: Report = Report()
    engine: Engine = Engine()
    export: Export = Export()

    @model_validator(mode="before")
    @classmethod
    def _as_the_depth_says(cls, values: Any) -> Any:
        """Give each key of `DEPTH_KEYS` that is not stated the value of `run.depth`."""
        run = values.get("run") if isinstance(values, dict) else None
        name = run.get("depth", DEFAULT_DEPTH) if isinstance(run, dict) else None
        if not isinstance(name, str) or name not in DEPTHS:
            return values  # the sections say what is wrong
        values = dict(values)
        for (section, key), field in DEPTH_KEYS.items():
            stated = values.get(section, {})
            if isinstance(stated, dict) and key not in stated:
                values[section] = {**stated, key: getattr(DEPTHS[name], field)}
        return values

    def resolved(self) -> dict[str, Any]:
        """Plain JSON values, every key present."""
        return self.model_dump(mode="json")

    def sha256(self) -> str:
        """Identity of what the config asks for: of all but `PLACES`."""
        settings: dict[str, dict[str, Any]] = {}
        for section, values in self.resolved().items():
            for key, value in values.items():
                if f"{section}.{key}" not in PLACES:
                    settings.setdefault(section, {})[key] = value
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
