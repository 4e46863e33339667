"""Star-formation histories of integral-field galaxies, in napari and without it.

The public names load on first use: importing the package loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Public name: module and name in it.
_PUBLIC = {
    "run": "pipeline.run_pipeline",
    "RunConfig": "config.RunConfig",
    "configure_run": "decisions.configure_run",
    "Progress": "types.Progress",
    "Cancelled": "errors.Cancelled",
    "SfhInputError": "errors.SfhInputError",
    "ComputeError": "errors.ComputeError",
    "read_cube": "io.cubes.read_cube",
    "read_mosaic": "io.mosaics.read_mosaic",
    "read_maps": "io.dap.read_maps",
    "read_result": "io.results.read_result",
    "write_result": "io.results.write_result",
    "load_bundle": "model.bundle.load_bundle",
    "list_bundles": "instruments.bundle_header.list_bundles",
    "Result": "types.Result",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, _, attribute = _PUBLIC[name].rpartition(".")
        return getattr(import_module(f"napari_sfh.{module}"), attribute)
    raise AttributeError(f"module 'napari_sfh' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
