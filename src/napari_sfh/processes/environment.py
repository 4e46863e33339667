"""What a process of this package finds around it."""

from __future__ import annotations

from collections.abc import MutableMapping

#: Threads of OpenBLAS, the linear algebra in NumPy's and SciPy's wheels; read when they are loaded.
ALGEBRA_THREADS = "OPENBLAS_NUM_THREADS"


def restrict_algebra_threads(environment: MutableMapping[str, str]) -> None:
    """Let a process that begins with this environment use one thread for linear algebra, unless a user says otherwise.

    Runs keep the cores busy with blocks of bins, and their matrices are small: OpenBLAS' threads would wait for each
    other without sleeping. PyTorch's are others.

    Parameters
    ----------
    environment : mutable mapping
        Names and values, such as ``os.environ`` before NumPy is loaded.

    Examples
    --------
    >>> environment = {}
    >>> restrict_algebra_threads(environment)
    >>> environment
    {'OPENBLAS_NUM_THREADS': '1'}
    """
    environment.setdefault(ALGEBRA_THREADS, "1")
