"""Star-formation histories of integral-field galaxies, in napari and without it.

The public names load on first use: importing the package loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "RunConfig": "pipeline",
    "run_pipeline": "pipeline",
    "read_cube": "io.muse",
    "read_mosaic": "io.hst",
    "read_maps": "io.dap",
    "read_result": "io.results",
    "write_result": "io.results",
    "load_bundle": "model.bundle",
    "list_bundles": "model.bundle",
    "Result": "types",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"napari_sfh.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'napari_sfh' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
