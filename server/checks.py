"""The checks that hold orders to their limits: compiled and given to the engine before the port opens."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine import Engine, risk
from engine.risk.checks import NUMBERS_PER_CHECK
from server.settings import Settings, SettingsError
from server.wire.encode_limits import name_checks


def files_of(settings: Settings) -> list[Path]:
    """Files with own checks, in the order in which they are asked; SettingsError for one that is not there."""
    files = [Path(text.strip()) for text in settings.risk_checks.split(",") if text.strip()]
    for file in files:
        if not file.is_file():
            raise SettingsError(f"risk_checks: {file} is not a file")
    return files


def cache_of(settings: Settings) -> Path:
    """Directory of the compiled kernels."""
    return settings.risk_cache or settings.data_dir / "kernels"


def numbers_of(loaded: Sequence[risk.Check]) -> Iterator[int]:
    """Yield the numbers of all refusals that own checks may give, and 1000 × place for one that gave no verdict."""
    for place, each in enumerate(loaded, start=1):
        yield place * NUMBERS_PER_CHECK
        yield from (place * NUMBERS_PER_CHECK + reason for reason in each.reasons)


def attach(engine: Engine, settings: Settings) -> None:
    """Compile, or take from the cache, the kernel and the own checks, and give them to the engine.

    Raises SettingsError for a check that is no good.
    """
    try:
        loaded = risk.load_checks(files_of(settings))
        risk.warm(cache_of(settings))
        risk.attach(engine)
        name_checks({number: risk.describe(number) for number in numbers_of(loaded)})
    except risk.CheckError as error:
        raise SettingsError(f"risk_checks: {error}") from None
