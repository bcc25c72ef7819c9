"""Why a metric of a map is undefined."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {}
