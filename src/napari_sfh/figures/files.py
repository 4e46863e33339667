"""Figures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from napari_sfh.errors import ComputeError, SfhInputError

#: Kinds of file that can be written.
FIGURE_SUFFIXES: tuple[str, ...] = (".png", ".pdf", ".svg")


def save_figure(figure: Figure, path: Path | str, dpi: int = 200) -> Path:
    """Write a figure; the kind is that of the name's ending. Returns the path.

    Raises
    ------
    SfhInputError
        An ending other than `FIGURE_SUFFIXES`.
    ComputeError
        The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise SfhInputError(f"{path}: the name must end in one of {', '.join(FIGURE_SUFFIXES)}")
    try:
        figure.savefig(path, dpi=dpi)
    except OSError as error:
        raise ComputeError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    return path
