"""LoRA Advisor: how to serve LoRA adapters on your device, for your traffic, at what cost, and why.

The names below are loaded when first used, so that `import advisor` and the command line start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from advisor.api import explain as explain
    from advisor.api import recommend as recommend
    from advisor.api import simulate as simulate
    from advisor.profile import load_profile as load_profile
    from advisor.spec.scenario import load_scenario as load_scenario
    from advisor.trace import load_trace as load_trace

__version__ = "0.1.0"

_EXPORTS: Final = {
    "explain": "advisor.api",
    "load_profile": "advisor.profile",
    "load_scenario": "advisor.spec.scenario",
    "load_trace": "advisor.trace",
    "recommend": "advisor.api",
    "simulate": "advisor.api",
}
"""Public name -> the module that defines it.

A new name goes here, into `__all__` and into the imports for type checkers above. No module of this package
may have the name of an export: importing it would put the module in the export's place.
"""

__all__ = ["__version__", "explain", "load_profile", "load_scenario", "load_trace", "recommend", "simulate"]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names alone."""
    return sorted(__all__)
