"""The one place that calls pPXF (Cappellari 2023, MNRAS 526, 3273): for kinematics, for a bin, and for test spectra."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.jobs import limit_algebra_threads

#: What to do where pPXF cannot be imported.
NOT_INSTALLED = "pPXF is not installed: run  pip install ppxf  and start again"


def is_ppxf_installed() -> bool:
    """Whether pPXF can be imported."""
    return find_spec("ppxf") is not None


def run_ppxf(arguments: dict[str, Any], what: str) -> Any:
    """Run pPXF with keyword arguments on one core and return its object.

    Its matrices are so small that threads of the linear algebra cost more than they give.

    Parameters
    ----------
    arguments : dict
        Of ``ppxf.ppxf``.
    what : str
        Names the spectrum in an error.

    Raises
    ------
    SfhInputError
        pPXF is not installed.
    ComputeError
        It failed.
    """
    if not is_ppxf_installed():
        raise SfhInputError(NOT_INSTALLED)
    from ppxf.ppxf import ppxf

    try:
        with limit_algebra_threads():
            return ppxf(**arguments)
    except (AssertionError, ValueError, np.linalg.LinAlgError) as error:
        raise ComputeError(f"pPXF failed on {what}: {error}") from error
