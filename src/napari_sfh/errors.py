"""The errors that the package raises on purpose, and `Cancelled`, by which a step that was asked to stop ends.

Every message of an error names the file (or field), the key and the remedy, in one line.
"""

from __future__ import annotations

from typing import Any


class SfhInputError(ValueError):
    """The input cannot be used: a file, a header card, an option. The command line exits with status 2.

    Examples
    --------
    >>> from napari_sfh import RunConfig
    >>> try:
    ...     RunConfig("cube.fits", redshift=3.0)
    ... except SfhInputError as error:
    ...     print(error)
    `redshift` 3.0: must lie between -0.01 and 1
    """


class ComputeError(Exception):
    """A computation failed (out of memory, disk full, a library's failure). Exit status 1.

    Not a ``RuntimeError``: napari's generator workers swallow those, so anything of that kind that can reach a
    worker (torch's out-of-memory error among them) is converted to this class.

    Examples
    --------
    >>> issubclass(ComputeError, RuntimeError)
    False
    """


class Cancelled(Exception):
    """A long step ended because its ``cancel`` event was set.

    Parameters
    ----------
    reached : object, optional
        What was finished before, of the type that the step returns (a `Result` of `napari_sfh.run`, a `Prediction` of
        `model.inference.predict_histories`); None where that would be nothing.

    Examples
    --------
    >>> import threading
    >>> import napari_sfh
    >>> cancel = threading.Event()
    >>> cancel.set()  # usually from another thread, or from ``progress``
    >>> try:
    ...     result = napari_sfh.run(napari_sfh.configure_run("NGC0628"), cancel=cancel)
    ... except Cancelled as stopped:
    ...     result = stopped.reached
    >>> result is None  # nothing was predicted yet
    True
    """

    def __init__(self, reached: Any = None) -> None:
        super().__init__("cancelled")
        self.reached = reached
