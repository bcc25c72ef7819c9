"""Records as JSON, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cxr_audit.errors import ConfigError
from cxr_audit.records.base import OLDEST_READABLE, SCHEMA_VERSION
from cxr_audit.records.case import AuditedCase, CaseRecord, StoppedCase
from cxr_audit.records.cohort import CohortRecord
from cxr_audit.records.older import upgraded
from cxr_audit.records.run import RunRecord

Record = TypeVar("Record")


def to_json(record: Any) -> bytes:
    """A record as indented UTF-8 JSON with a final newline; the same record gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=2) + b"\n"


def from_json(data: bytes, kind: type[Record]) -> Record:
    """A record back from JSON, also from that of an older schema.

    Raises
    ------
    ValueError : the JSON is not one of these records; the message names the field.
    ConfigError : its schema version is not read here.
    """
    try:
        content = msgspec.json.decode(data)
        return msgspec.convert(_current(content, kind.__name__), kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def case_from_json(data: bytes) -> CaseRecord:
    """The record of a case, audited or stopped; see `from_json`."""
    try:
        content = _current(msgspec.json.decode(data), "CaseRecord")
        if isinstance(content, dict) and content.get("status") == "ok":
            return msgspec.convert(content, AuditedCase)
        return msgspec.convert(content, StoppedCase)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a record of a case: {error}") from error


def _current(content: Any, kind: str) -> Any:
    """The content as the present schema has it."""
    if not isinstance(content, dict):
        return content
    version = content.get("schema_version", SCHEMA_VERSION)
    if version == SCHEMA_VERSION:
        return content
    if isinstance(version, int) and OLDEST_READABLE <= version < SCHEMA_VERSION:
        return upgraded(content, kind)
    age = "newer" if isinstance(version, int) and version > SCHEMA_VERSION else "older"
    raise ConfigError(
        f"a {kind} of schema version {version} is {age} than what is read here: "
        f"{OLDEST_READABLE} to {SCHEMA_VERSION}",
        "use the cxr-audit that wrote it: run.json names it under software",
    )


def json_schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a record.

    Parameters
    ----------
    kind : case (audited or stopped), cohort or run.
    """
    kinds: dict[str, tuple[Any, ...]] = {
        "case": (AuditedCase, StoppedCase),
        "cohort": (CohortRecord,),
        "run": (RunRecord,),
    }
    schemas, components = msgspec.json.schema_components(kinds[kind], ref_template="#/$defs/{name}")
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"cxr-audit {kind}, schema version {SCHEMA_VERSION}",
        **schema,
        "$defs": components,
    }
