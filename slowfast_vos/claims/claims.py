"""Claims as data: what is said, and the contrast of a run's cells that decides it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from slowfast_vos.config import Settings
from slowfast_vos.dag import TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.files import parse_yaml
from slowfast_vos.paths import Results
from slowfast_vos.sections import Section

Kind = Literal["better", "no better", "alike", "as good for less", "best", "costs more"]
# What each kind of accuracy claim compares: whether it has cells on both sides.
TWO_SIDED = {"better": True, "no better": True, "as good for less": True, "alike": False, "best": False}
Cells = Annotated[list[str], Field(min_length=1)]


class Claim(Section):
    """A claim about a run.

    Attributes:
        id: its name in tables.
        says: the claim, one sentence.
        source: whose claim it is.
        kind: `better`: the mean of `plus` is above that of `minus`; `no better`: it is not, or by less than the
            margin; `alike`: any two of `plus` differ by less than the margin; `as good for less`: `plus` is not worse
            than `minus` by the margin, and costs less; `best`: no other configuration of the grid is better than
            `plus`; `costs more`: each of `quantities` grows along `order`.
        plus, minus: cells `TASK/SETUP`, `tuning/SETUP/BACKBONE/RATE` or `grid/SETUP/FREEZE/SCALE/RATE`; `*` is every
            value, without the controls. The mean over all cells that match counts.
        where: only sequences with this attribute.
        more_where: the contrast is larger on sequences with this attribute than on the others.
        quantities: fields of a cost record.
        order: setups, from the cheapest.
        growing_steps: each step along the order is larger than the one before.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    says: str
    source: str = "authors"
    kind: Kind
    plus: Cells | None = None
    minus: Cells | None = None
    where: str | None = None
    more_where: str | None = None
    quantities: Cells | None = None
    order: Annotated[list[str], Field(min_length=2)] | None = None
    growing_steps: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        needed = {"quantities", "order"} if self.kind == "costs more" else {"plus"}
        needed |= {"minus"} if TWO_SIDED.get(self.kind) else set()
        found = {key for key in ("plus", "minus", "quantities", "order") if getattr(self, key) is not None}
        if found == needed and len({name.count("/") for name in [*(self.plus or ()), *(self.minus or ())]}) > 1:
            raise ValueError("plus and minus: expected cells of one form, such as TASK/SETUP")
        if found != needed:
            raise ValueError(f"kind {self.kind!r}: found {sorted(found)}; expected {sorted(needed)}")
        return self


def matching(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The cells that match any of some patterns."""
    names = list(names)
    return [name for name in names if any(_matches(pattern, name) for pattern in patterns)]


def _matches(pattern: str, name: str) -> bool:
    wanted, found = pattern.split("/"), name.split("/")
    return len(wanted) == len(found) and all(
        part == other or (part == "*" and not set(other) & set("+@")) for part, other in zip(wanted, found, strict=True)
    )


def cell_names(settings: Settings) -> list[str]:
    """Every cell that a run will have: what is asked is declared before the run, and no failure changes it."""
    results = Results(settings)
    names = [(task, setup) for task in TASKS for setup in settings.setups]
    names += [(TASKS[0], setup) for setup in settings.tested]
    names += [("tuning", *point) for point in results.tunings()]
    names += [("grid", setup, *point) for setup in settings.setups for point in results.configurations()]
    return ["/".join(name) for name in names]


def asked_claims(settings: Settings) -> list[Claim]:
    """The run's family: the claims that its setups can speak of, or those that its configuration names.

    Raises:
        UserError: the user's file is no list of claims, or a named claim is unknown or cannot be asked.
    """
    claims = {claim.id: claim for claim in read_claims(settings.claims.file)}
    names = cell_names(settings)
    possible = [name for name, claim in claims.items() if _possible(claim, names, settings.setups)]
    family = settings.claims.family
    for name in family or ():
        if name not in claims:
            raise UserError(f"claims.family: found {name!r}; expected some of {sorted(claims)}")
        if name not in possible:
            raise UserError(f"claims.family: {name!r} compares setups or configurations that this run has not")
    return [claims[name] for name in family or possible]


def _possible(claim: Claim, names: Sequence[str], setups: Sequence[str]) -> bool:
    if claim.order is not None:
        return set(claim.order) <= set(setups)
    sides = [matching(side, names) for side in (claim.plus, claim.minus) if side is not None]
    return all(sides) and (claim.kind != "alike" or len(sides[0]) > 1)


def read_claims(extra: str | None = None) -> list[Claim]:
    """The claims of the package, and those of a user's file, which may replace some by their ids.

    Raises:
        UserError: the file is missing, or is no list of claims.
    """
    claims = _parse(files("slowfast_vos.claims").joinpath("claims.yaml").read_text(encoding="utf-8"), "claims.yaml")
    if extra is None:
        return claims
    try:
        text = Path(extra).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"claims.file: {extra} cannot be read ({error}); expected a YAML list of claims") from None
    own = _parse(text, extra)
    return [claim for claim in claims if claim.id not in {one.id for one in own}] + own


def _parse(text: str, source: str) -> list[Claim]:
    try:
        claims = TypeAdapter(list[Claim]).validate_python(parse_yaml(text, source))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{source}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    ids = [claim.id for claim in claims]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise UserError(f"{source}: found {sorted(twice)} more than once; expected each id once")
    return claims
