"""What a key of the configuration may hold, and the base of its sections.

Rates and scales are strings, since they name paths and keys: "0.001" stays "0.001".
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from slowfast_vos.errors import UserError
from slowfast_vos.setups import Setup

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Folder = Annotated[str, Field(min_length=1)]


# As float() reads it, but for what it takes beside: 1_0, " 1" and other scripts' digits.
_RATE = r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def _number_in_quotes(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError(f'expected a number in quotes, such as "{value}", since it names paths')
    return value


def _rate(value: str) -> str:
    if not re.fullmatch(_RATE, value) or float(value) == float("inf"):
        raise ValueError("expected a number ≥ 0")
    return value


def _scale(value: str) -> str:
    if float(value) >= 1:
        raise ValueError("expected a number below 1, since a frame is scaled by 1 ± scale")
    return value


def _setup(value: str, tested: bool = False) -> str:
    try:
        setup = Setup.parse(value)
    except UserError as error:
        raise ValueError(str(error)) from error
    if setup.tested != tested:
        raise ValueError(
            'expected a trained setup, and "7-7@still" under tested' if setup.tested else 'expected "7-7@still"'
        )
    return str(setup)


def distinct(values: list[Any]) -> list[Any]:
    """The values, each of which may come once."""
    if len(set(values)) != len(values):
        raise ValueError("expected each value once")
    return values


def folder_name(value: str) -> str:
    if not value.strip(".") or set(value) & set("/\\\0"):
        raise ValueError("expected the name of a folder, such as 480p")
    return value


def _distinct_numbers(values: list[str]) -> list[str]:
    distinct([float(value) for value in values])  # "0.001" and "1e-3" would be two paths for one value
    return values


def _in_schema(**keywords: Any) -> Any:
    """What the JSON Schema says of a value that a validator checks."""
    return Field(json_schema_extra=keywords)


Rate = Annotated[
    str, BeforeValidator(_number_in_quotes), AfterValidator(_rate), _in_schema(pattern=f"^{_RATE}$", examples=["0.001"])
]
Scale = Annotated[Rate, AfterValidator(_scale)]
SetupName = Annotated[str, AfterValidator(_setup)]
TestedName = Annotated[str, AfterValidator(partial(_setup, tested=True))]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, numbers are finite, true is no 1, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_a_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) for one in values) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("expected no boolean")
        return value


def axis(kind: Any, **limits: Any) -> Any:
    """A non-empty list of distinct values; rates and scales differ as numbers."""
    differ = _distinct_numbers if kind in (Rate, Scale) else distinct
    return Annotated[list[kind], Field(min_length=1, **limits), AfterValidator(differ), _in_schema(uniqueItems=True)]
