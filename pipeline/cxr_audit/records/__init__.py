"""What travels between the rooms: frozen dataclasses, checked at birth, arrays read-only.

An invalid record is refused (`ValueError`), never repaired. Arrays are (rows, columns), points
(row, column); suffixes `_mm`, `_px`; `_fraction` is in [0, 1]. What is undefined is None and has a
reason. Records without arrays are also the JSON of the run folder: `to_json` and `from_json`.
"""

from cxr_audit.records.base import (
    OLDEST_READABLE,
    SCHEMA_VERSION,
    Floats,
    Mask,
)
from cxr_audit.records.card import (
    Measured,
    ModelCard,
    OutputBin,
    Validation,
)
from cxr_audit.records.case import (
    AuditedCase,
    CaseRecord,
    CaseStatus,
    Fill,
    Flag,
    FlagsRecord,
    InputRecord,
    LogitBudget,
    Masking,
    Probes,
    StoppedCase,
    StoppedStatus,
    audited,
    stopped,
)
from cxr_audit.records.checks import (
    Check,
    CheckState,
    Trust,
    TrustState,
)
from cxr_audit.records.cohort import (
    QUANTILES,
    Bound,
    CohortRecord,
    CountedReason,
    CriterionResult,
    CriterionState,
    Distribution,
    Estimate,
    ReliabilityBin,
    Subgroup,
    SubgroupColumn,
    WrongCase,
)
from cxr_audit.records.comparison import (
    ChangedCase,
    ComparedRun,
    Comparison,
    Difference,
    PairedMetric,
    Transition,
)
from cxr_audit.records.grid import (
    GridAxis,
    GridGeometry,
)
from cxr_audit.records.json import (
    case_from_json,
    from_json,
    to_json,
)
from cxr_audit.records.maps import (
    ClassActivationMap,
    MapFacts,
    MapRecord,
    MapStatus,
    Measurements,
    Value,
)
from cxr_audit.records.model_input import (
    TOUCHES,
    ModelInput,
    Placement,
    Resize,
)
from cxr_audit.records.prediction import (
    Outcome,
    Prediction,
)
from cxr_audit.records.radiograph import (
    Decision,
    Radiograph,
    RadiographFacts,
    SourceFile,
    VoiTransform,
)
from cxr_audit.records.regions import (
    Region,
    RegionFacts,
    RegionsRecord,
)
from cxr_audit.records.run import (
    CascadeStage,
    CodeIdentity,
    Leg,
    ModelFacts,
    Parity,
    ProductionParity,
    RunRecord,
    RuntimeParity,
)
from cxr_audit.records.source import (
    Box,
    CaseSource,
    ServerInstance,
    ZipEntry,
)

__all__ = [
    "OLDEST_READABLE",
    "QUANTILES",
    "SCHEMA_VERSION",
    "TOUCHES",
    "AuditedCase",
    "Bound",
    "Box",
    "CascadeStage",
    "CaseRecord",
    "CaseSource",
    "CaseStatus",
    "ChangedCase",
    "Check",
    "CheckState",
    "ClassActivationMap",
    "CodeIdentity",
    "CohortRecord",
    "ComparedRun",
    "Comparison",
    "CountedReason",
    "CriterionResult",
    "CriterionState",
    "Decision",
    "Difference",
    "Distribution",
    "Estimate",
    "Fill",
    "Flag",
    "FlagsRecord",
    "Floats",
    "GridAxis",
    "GridGeometry",
    "InputRecord",
    "Leg",
    "LogitBudget",
    "MapFacts",
    "MapRecord",
    "MapStatus",
    "Mask",
    "Masking",
    "Measured",
    "Measurements",
    "ModelCard",
    "ModelFacts",
    "ModelInput",
    "Outcome",
    "OutputBin",
    "PairedMetric",
    "Parity",
    "Placement",
    "Prediction",
    "Probes",
    "ProductionParity",
    "Radiograph",
    "RadiographFacts",
    "Region",
    "RegionFacts",
    "RegionsRecord",
    "ReliabilityBin",
    "Resize",
    "RunRecord",
    "RuntimeParity",
    "ServerInstance",
    "SourceFile",
    "StoppedCase",
    "StoppedStatus",
    "Subgroup",
    "SubgroupColumn",
    "Transition",
    "Trust",
    "TrustState",
    "Validation",
    "Value",
    "VoiTransform",
    "WrongCase",
    "ZipEntry",
    "audited",
    "case_from_json",
    "from_json",
    "stopped",
    "to_json",
]
