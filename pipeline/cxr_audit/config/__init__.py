"""An audit config: YAML -> one frozen, validated object.

One section a room, one level deep. Unknown keys are refused with the nearest known one, and all
problems are reported at once with file, line and key. Relative paths are relative to the config's
folder. The only room that knows pydantic and YAML.
"""

from cxr_audit.config.acceptance import Acceptance, Cohort, Criterion
from cxr_audit.config.audit import PLACES, AuditConfig
from cxr_audit.config.explanation import Explain, Focus, Masking, Regions, Trust
from cxr_audit.config.export import Export
from cxr_audit.config.load import MEASURING, config_of, json_schema, load_config, measured_by
from cxr_audit.config.model import Card, Classifier, Preprocess, Validation
from cxr_audit.config.output import Engine, Report
from cxr_audit.config.sources import Ingest, Privacy, Quality, Run
from cxr_audit.config.starter import commented, starter
from cxr_audit.config.types import REFERENCE, QualityCheck

__all__ = [
    "MEASURING",
    "PLACES",
    "REFERENCE",
    "Acceptance",
    "AuditConfig",
    "Card",
    "Classifier",
    "Cohort",
    "Criterion",
    "Engine",
    "Explain",
    "Export",
    "Focus",
    "Ingest",
    "Masking",
    "Preprocess",
    "Privacy",
    "Quality",
    "QualityCheck",
    "Regions",
    "Report",
    "Run",
    "Trust",
    "Validation",
    "commented",
    "config_of",
    "json_schema",
    "load_config",
    "measured_by",
    "starter",
]
