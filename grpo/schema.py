"""The one base of all declarative models: frozen, complete, without unknown fields."""

from __future__ import annotations

from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError

from grpo.errors import InputError

EXACT_TYPES = frozenset({"int", "float", "bool"})
KEPT = frozenset({"default", "metadata"})  # of a schema, not schemas themselves


def field_error(message: str, *location: str | int) -> PydanticCustomError:
    """Build the error of a rule that concerns several fields, to blame one of them.

    To be raised in a validator of a whole model: the pointer that a user reads is the model's own
    place followed by ``location``, e.g. ``("acuities", 0, "needs", "value", "nurse")``.
    """
    return PydanticCustomError("field", "{message}", {"message": message, "field": location})


def _make_exact(schema: Any) -> Any:
    """Return a copy of a core schema whose numbers and truth values are strict."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_make_exact, schema))
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if not isinstance(kind, str):  # a mapping of schemas by name, such as a model's fields
        return {name: _make_exact(part) for name, part in schema.items()}
    copy = {key: value if key in KEPT else _make_exact(value) for key, value in schema.items()}
    return {**copy, "strict": True} if kind in EXACT_TYPES else copy


class FrozenModel(BaseModel):
    """A value: immutable, no unknown fields, no NaN or infinity, valid from its construction on.

    Numbers are numbers: ``"100"``, ``true`` and, for an integer, ``100.0`` are refused, at any
    depth of a field. An integer is accepted for a float, and a JSON array for a tuple.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        """Let every number and truth value of the model be strict.

        Strictness of a whole model would also refuse lists for tuples and objects for models.
        """
        return cast(CoreSchema, _make_exact(handler(source)))

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate plain data (as from JSON); raise InputError naming every wrong field."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError.from_validation(error) from error
