"""Figures as files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.atomic import write_atomically

#: Kinds of file that can be written.
FIGURE_SUFFIXES: tuple[str, ...] = (".png", ".pdf", ".svg")


@check_arguments
def save_figure(figure: Figure, path: Path | str, dpi: int = 200) -> Path:
    """Write a figure; the kind is that of the name's ending. Returns the path.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        One of the endings `FIGURE_SUFFIXES`.
    dpi : int
        Pixels per inch of a raster image.

    Returns
    -------
    Path

    Raises
    ------
    SfhInputError
        An ending other than `FIGURE_SUFFIXES`, pixels per inch that cannot be, or a folder that does not exist or
        cannot be written.
    ComputeError
        Writing failed, for example because the disk is full, or drawing, because Matplotlib was told to use a LaTeX
        that is not there.
    """
    path = Path(path)
    if not 1 <= dpi <= 10_000:
        raise SfhInputError(f"`dpi` {dpi}: must lie between 1 and 10000 pixels per inch")
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise SfhInputError(f"{path}: the name must end in one of {', '.join(FIGURE_SUFFIXES)}")
    with write_atomically(path) as part:
        part.write_bytes(render_figure(figure, path, dpi))
    return path


def render_figure(figure: Figure, path: Path, dpi: int) -> bytes:
    """What `save_figure` writes to a path.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Its ending tells the kind of file.
    dpi : int
        Pixels per inch of a raster image.

    Raises
    ------
    ComputeError
        As `save_figure`.
    """
    content = BytesIO()
    try:
        figure.savefig(content, format=path.suffix[1:].lower(), dpi=dpi)
    except (RuntimeError, ValueError) as e:
        why = (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
        raise ComputeError(
            f"{path}: the page cannot be drawn ({why}); set MATPLOTLIBRC=/dev/null, or mend your matplotlibrc"
        ) from e
    return content.getvalue()
