"""Scenarios, rules and policies as the command line names them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.environments.hospital.rules.rule_specs import RuleSpec, parse_rule
from grpo.errors import InputError
from service.files import read_json

if TYPE_CHECKING:
    from grpo.environments.hospital.scenario import Scenario
    from grpo.models.policy import Policy

FILE = ".json"


def read_scenario(name: str) -> Scenario:
    """Return a built-in scenario, or the one in a file.

    Raises:
        InputError: there is no such scenario, or the file holds none.
        GRPOError: the file holds no JSON.
        OSError: it cannot be read.
    """
    # Only here, after the kernels' folder is set.
    from grpo.environments.hospital.scenario import Scenario, load_scenario  # noqa: PLC0415

    return Scenario.parse(read_json(Path(name))) if name.endswith(FILE) else load_scenario(name)


def read_rule(name: str, **options: str | float | list[str] | None) -> RuleSpec:
    """Read a rule from its name and options, or from a file.

    Args:
        name: a kind of rule, or the path of a file that ends in .json.
        options: ``rates`` and ``credits`` as ``4,2,1``, ``base`` as a name, ``keep`` as a list of
            ``4:ed_space=2``, ``hours_per_step`` as a number; None where not given.

    Raises:
        InputError: below /rule, for what is wrong with it.
        GRPOError: the file holds no JSON.
        OSError: it cannot be read.
    """
    given = {field: option for field, option in options.items() if option not in (None, [])}
    if name.endswith(FILE):
        if given:
            raise InputError.single(
                f"/rule/{next(iter(given))}", "the file says all of the rule", given=name
            )
        return parse_rule(read_json(Path(name)))
    fields: dict[str, Any] = {
        field: _read_numbers(str(given[field]), field)
        for field in ("rates", "credits")
        if field in given
    }
    if "base" in given:
        fields = {"base": {"kind": given["base"], **fields}}
    if "keep" in given:
        fields["keep"] = _read_keep(given["keep"])
    if "hours_per_step" in given:
        fields["hours_per_step"] = given["hours_per_step"]
    return parse_rule({"kind": name, **fields})


def read_rules(names: str) -> list[RuleSpec]:
    """Read rules from their names or files, comma between.

    Raises:
        InputError: below /rule, for what is wrong with one.
    """
    return [read_rule(name.strip()) for name in names.split(",") if name.strip()]


def read_policies(paths: list[Path]) -> dict[str, Policy]:
    """Load trained policies by the names of their files.

    Raises:
        ModelError: a file is no policy.
        InputError: two files have one name.
        OSError: one cannot be read.
    """
    from grpo.models.serialization import load_policy  # noqa: PLC0415 - see above

    policies: dict[str, Policy] = {}
    for path in paths:
        if path.stem in policies:
            raise InputError.single("/policy", "two files have one name", given=path.stem)
        policies[path.stem] = load_policy(path.read_bytes())
    return policies


def _read_numbers(text: str, field: str) -> tuple[float, ...]:
    """Read numbers with commas between."""
    numbers = []
    for place, part in enumerate(text.split(",")):
        try:
            numbers.append(float(part))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise InputError.single(
                f"/rule/{field}/{place}", "is no number", given=part, allowed="such as 4,2,1"
            )
    return tuple(numbers)


def _read_keep(entries: Any) -> dict[str, dict[str, int]]:
    """Read what is kept free from ``ACUITY:POOL=UNITS``."""
    keep: dict[str, dict[str, int]] = {}
    for place, entry in enumerate(entries):
        name, colon, rest = str(entry).rpartition(":")
        pool, equals, units = rest.partition("=")
        if not (name and colon and pool and equals and units.isascii() and units.isdigit()):
            raise InputError.single(
                f"/rule/keep/{place}",
                "names an acuity or class, a pool and units",
                given=entry,
                allowed="such as 4:ed_space=2",
            )
        keep.setdefault(name, {})[pool] = int(units)
    return keep
