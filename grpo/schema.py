"""The one base of all declarative models: frozen, complete, without unknown fields."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from grpo.errors import InputError


class FrozenModel(BaseModel):
    """A value: immutable, no unknown fields, no NaN or infinity, valid from its construction on."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate plain data (as from JSON); raise InputError naming every wrong field."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError.from_validation(error) from error
