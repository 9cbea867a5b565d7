"""Faults put into a rail's file on purpose, so that a test knows what reconciliation must find. Pure and seeded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from backoffice.payments.railfile import RailItem
from backoffice.rails.simulator import chance


class Plant(StrEnum):
    """What can be wrong with a file. Each makes exactly one difference."""

    MISSING = "missing"
    """A movement is left out: the ledger has it and the rail does not."""
    UNKNOWN = "unknown"
    """A movement that never was."""
    AMOUNT = "amount"
    """A movement with one unit more than it had."""
    TWICE = "twice"
    """A movement told again under another number."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What was done to which item; `reference` is the rail's."""

    plant: Plant
    reference: str
    payment: str
    amount_minor: int


def planted(
    items: Sequence[RailItem], wanted: Sequence[Plant], seed: int, name: str
) -> tuple[list[RailItem], list[Planted]]:
    """Give the items of a false file, and what is false in it; no payment is used twice, or two faults would be one."""
    order = sorted(items, key=lambda item: (chance(seed, "plant", item.rail_reference), item.rail_reference))
    false = {item.rail_reference: item for item in items}
    done: list[Planted] = []
    for number, plant in enumerate(wanted):
        if plant is Plant.UNKNOWN:
            if not items:
                continue
            made = replace(
                items[0], rail_reference=f"{name}-X{items[0].day:%y%m%d}{number:04d}",
                our_reference=f"unknown-{seed}-{items[0].day:%y%m%d}-{number}",
                amount_minor=-(100_000_007 + number), fee_minor=0,
            )  # fmt: skip
            false[made.rail_reference] = made
            done.append(Planted(plant, made.rail_reference, made.our_reference, made.amount_minor))
            continue
        order = [item for item in order if item.our_reference not in {each.payment for each in done}]
        if not order:
            continue
        item = order.pop()
        match plant:
            case Plant.MISSING:
                del false[item.rail_reference]
            case Plant.AMOUNT:
                false[item.rail_reference] = replace(item, amount_minor=item.amount_minor - 1)
            case _:
                again = replace(item, rail_reference=f"{name}-T{item.day:%y%m%d}{number:04d}")
                false[again.rail_reference] = again
        done.append(Planted(plant, item.rail_reference, item.our_reference, item.amount_minor))
    return list(false.values()), done
