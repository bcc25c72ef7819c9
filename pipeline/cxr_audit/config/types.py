"""What the keys of a config may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from cxr_audit.vocabulary import METHODS, QUALITY_CHECKS, Registry
from cxr_audit.vocabulary.checks import Action
from cxr_audit.vocabulary.depths import DEPTHS
from cxr_audit.vocabulary.names import criteria
from cxr_audit.vocabulary.nearest import nearest

REFERENCE = "reference"


def printable(text: str) -> str:
    """What is printed must show itself: no control character, and none that turns the direction of
    what follows.
    """
    if text.isspace() or not text.isprintable():
        raise ValueError("holds nothing but spaces, or a character that cannot be printed")
    return text


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(printable)]

Origin = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable)]

Words = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(printable)]


def _class_name(value: Any) -> Any:
    """A class name that YAML reads as a number becomes text."""
    if isinstance(value, bool):
        raise ValueError(
            "YAML reads this name as true or false: put the name of the class in quotes"
        )
    return str(value) if isinstance(value, int | float) else value


ClassName = Annotated[Name, BeforeValidator(_class_name)]


class Known:
    """A name of a table of the vocabulary, also of a row that another package has added.

    Parameters
    ----------
    table : where it must have a row.
    """

    def __init__(self, table: Registry[Any]) -> None:
        self._table = table

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.keys())}

    def keys(self) -> tuple[str, ...]:
        """The names that are known."""
        return self._table.keys()

    def _known(self, name: str) -> str:
        return str(self._table[name].key)


class CriterionName:
    """The JSON Schema of a metric that a criterion can name."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(criteria())}


Method = Annotated[str, Known(METHODS)]

DepthName = Annotated[str, Known(DEPTHS)]

QualityCheck = Annotated[str, Known(QUALITY_CHECKS)]


def by_default(action: Action) -> tuple[str, ...]:
    return tuple(check.key for check in QUALITY_CHECKS if check.action == action)


Share = Annotated[float, Field(ge=0, le=1)]

Percentile = Annotated[float, Field(ge=0, le=100)]

Year = Annotated[int, Field(ge=0, le=150)]

Count = Annotated[int, Field(ge=0)]

ViewPosition = Literal["PA", "AP", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"]


def perhaps(word: Any, known: Sequence[str]) -> str:
    """The known word that is meant, whatever its case; all of them where none is near."""
    near = nearest(str(word), known)
    return f". Perhaps you meant {near!r}" if near else f". Known: {', '.join(known)}"


def by_depth(field: str) -> str:
    """What the dial `run.depth` sets a key to, for its description."""
    values = [f"{depth.key} {getattr(depth, field)}" for depth in DEPTHS]
    return f"default by run.depth: {', '.join(values)}"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)
