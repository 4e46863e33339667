"""Weight maps of mosaics: in the same file, or beside it by name."""

from __future__ import annotations

from pathlib import Path

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.image_reader import ImageReader


def list_weight_map_names(path: Path) -> list[str]:
    """Lower-case names that the weight map of a science image may have, best first, without suffix."""
    name = fits_access.strip_fits_suffix(path).lower()
    swaps = [
        (("exp-drc-sci", "err-drc-wht"),),
        (("exp_drc_sci", "err_drc_wht"),),
        (("drc-sci", "drc-wht"),),
        (("drc_sci", "drc_wht"),),
        (("drz-sci", "drz-wht"),),
        (("drz_sci", "drz_wht"),),
        (("sci", "wht"),),
        (("sci", "weight"),),
        (("image", "invvar"),),  # Legacy Surveys
    ]
    names = [name.replace(old, new) for ((old, new),) in swaps if old in name]
    return list(
        dict.fromkeys(
            [*names, f"{name}_wht", f"{name}-wht", f"{name}_weight", f"{name}.weight", f"{name}_ivar", f"{name}_invvar"]
        )
    )


def find_weight_map_file(path: Path) -> Path | None:
    """The weight map beside a science image, by its name; None where there is none."""
    beside = {
        fits_access.strip_fits_suffix(p).lower(): p
        for p in sorted(path.parent.iterdir() if path.parent.is_dir() else ())
        if fits_access.is_fits_name(p) and p != path
    }
    return next((beside[n] for n in list_weight_map_names(path) if n in beside), None)


def open_weight_map(path: Path, inside: int | None, shape: tuple[int, ...]) -> tuple[Path | None, ImageReader | None]:
    """Weight map of a science image: in the same file, else beside it by name.

    Parameters
    ----------
    path : Path
        The science image.
    inside : int or None
        HDU of a weight map in the same file.
    shape : tuple of int
        Of the science image.

    Returns
    -------
    path, reader
        None where there is none.

    Raises
    ------
    SfhInputError
        It has another shape.
    """
    if inside is not None:
        return path, ImageReader(path, inside, 2)
    found = find_weight_map_file(path)
    if found is None:
        return None, None
    with fits_access.open_fits(found) as hdus:
        index = next((i for i, h in enumerate(hdus) if fits_access.image_shape(h) == shape), None)
    if index is None:
        raise SfhInputError(
            f"{found}: the weight map has another shape than {path.name} {shape}; give the pair of one drizzle"
        )
    return found, ImageReader(found, index, 2)
