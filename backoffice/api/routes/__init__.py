"""One module for each area; each has a `router`, and nothing else has to know of it."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter


def routers() -> Iterator[APIRouter]:
    """Give the routers of all modules of this package, by name. Importing them registers kinds and handlers, too."""
    for module in sorted(iter_modules(__path__), key=lambda each: each.name):
        yield import_module(f"{__name__}.{module.name}").router
