"""Prices that no API tells: a dated table that ships with the driver, and the person's own on top."""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price, Provenance
from peft_tui.domain.status import Observation
from peft_tui.paths import config_dir
from peft_tui.text import clean_line

FILE = "prices.toml"


def price_table(platform: str) -> dict[str, Price]:
    """Price by instance type.

    Raises:
        ConfigurationInvalid: the person's own file is not what it should be; the message names the line.
    """
    shipped = resources.files(f"peft_tui.drivers.{platform}").joinpath(FILE).read_text("utf-8")
    table = _read(shipped, platform, FILE)
    own = config_dir() / FILE
    try:
        table |= _read(own.read_text("utf-8"), platform, str(own))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(f"{own} cannot be read: {error}.", hint="Mend or remove it.") from error
    return table


def cited(price: Price | None) -> str:
    """Who says so and as of when, for what the platform does not tell itself."""
    return f"{price.source}, {price.as_of}" if price is not None else ""


def of_one_instance(seen: Observation, source: str) -> Price | None:
    """From what all of them cost now: an hour of a GPU is what a request takes a part of."""
    if seen.usd_per_hour is None or not seen.billed_instances:
        return None
    usd_per_hour = seen.usd_per_hour / Decimal(seen.billed_instances)
    return Price(usd_per_hour, source, seen.observed_at.date().isoformat(), Provenance.ESTIMATED)


def _read(text: str, platform: str, name: str | Path) -> dict[str, Price]:
    try:
        section: Any = tomllib.loads(text).get(platform, {})
        source, as_of = str(section.get("source", name)), str(section.get("as_of", "date not given"))
        return {
            sku: Price(_amount(sku, amount), source, as_of, Provenance.ESTIMATED)
            for sku, amount in section.get("usd_per_hour", {}).items()
        }
    except (AttributeError, ValueError) as error:
        raise ConfigurationInvalid(
            f"{name} is not a table of prices: {error}.",
            hint=f'It needs [{platform}.usd_per_hour] with lines such as gpu-t4 = "0.81".',
        ) from error


def _amount(sku: str, value: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"“{clean_line(value, 40)}” is no price of {clean_line(sku, 40)}")
    return amount
