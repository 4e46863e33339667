"""Errors and masks in files of their own beside a cube, known by their names.

KCWI's ``*_vcubes.fits`` (variance) and ``*_mcubes.fits`` (mask) beside ``*_icubes.fits``; ``NAME_var.fits``,
``NAME_err.fits``, ``NAME_mask.fits`` and the like beside ``NAME.fits``, ``NAME_flux.fits`` or ``NAME_cube.fits``.
Also: which files are made for or of an image of a galaxy, such as its PSF or a model, and are none themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from astropy.io import fits

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.cube_images import ERROR_KINDS, CubeImages, MaskPlace

#: Last words of the names of such files, and what they hold: a kind of error, or a mask.
_WORDS = {
    "var": "variance", "variance": "variance", "stat": "variance", "vari": "variance",
    "err": "sigma", "error": "sigma", "errors": "sigma", "sigma": "sigma", "unc": "sigma", "uncert": "sigma",
    "rms": "sigma", "ivar": "inverse", "invvar": "inverse",
    "mask": "mask", "dq": "mask", "badpix": "mask", "bpm": "mask", "flags": "mask",
    "goodpix": "good", "goodmask": "good",
}  # fmt: skip
_ERROR_WORDS = ("variance", "sigma", "inverse")
_COMPANION = re.compile(rf"^(?P<stem>.+)[-_.](?P<word>{'|'.join(_WORDS)})(?P<cube>[-_.]?cube)?$")
_KCWI = re.compile(r"^(?P<stem>.+[-_])(?P<kind>[vm])(?P<rest>cube[a-z]?.*)$")
_KCWI_KINDS = {"v": "variance", "m": "mask"}
#: First or last words of the names of files that are made for or of an image, and what they are.
_PRODUCTS = {
    "a PSF": ("psf", "psfs", "epsf", "kernel"),
    "a model": ("model", "models", "galfit", "bestfit", "fit"),
    "residuals": ("residual", "residuals", "resid", "res", "unsharp", "subtracted"),
    "a sky or background": ("sky", "bkg", "background", "bg"),
    "a mask or segmentation": (
        "mask", "masks", "starmask", "starmasks", "segm", "seg", "segmap", "segmentation", "dq", "flags", "flag",
        "badpix", "bpm",
    ),
    "errors": ("err", "errs", "error", "errors", "sigma", "rms", "unc", "uncert", "noise", "var", "variance", "ivar"),
    "weights or exposure times": (
        "wht", "whts", "weight", "weights", "wgt", "ctx", "con", "exptime", "exptimes", "expmap", "exposure",
        "coverage",
    ),
    "signal to noise": ("snr", "sn", "s2n"),
}  # fmt: skip
#: Words of further files that the Legacy Surveys and others put beside an image.
_SURVEY_PRODUCTS = ("invvar", "maskbits", "depth", "galdepth", "psfdepth", "psfsize", "chi2", "nexp", "blobmodel")
#: Last words of the names of cubes that companions go without.
_FLUX_WORDS = ("flux", "sci", "data", "cube", "signal")


def name_derived_product(path: Path) -> str:
    """What a file is, where its name says that it is made for or of an image of a galaxy; else nothing.

    Examples
    --------
    >>> name_derived_product(Path("ngc0628_f555w_psf.fits"))
    'a PSF'
    """
    words = [word for word in re.split(r"[-_.]", fits_access.strip_fits_suffix(path).lower()) if word]
    ends = {words[0], words[-1]} if len(words) > 1 else set()
    return next((what for what, names in _PRODUCTS.items() if ends & set(names)), "")


def holds_product_word(path: Path) -> bool:
    """Whether a word anywhere in a file's name is that of a file made for an image, as surveys put the band last.

    Examples
    --------
    >>> holds_product_word(Path("legacysurvey-0001m002-invvar-r.fits.fz"))
    True
    """
    words = {word for word in re.split(r"[-_.]", fits_access.strip_fits_suffix(path).lower()) if word}
    return bool(words & {*_SURVEY_PRODUCTS, *(name for names in _PRODUCTS.values() for name in names)})


def find_main_cubes(path: Path, others: Iterable[Path]) -> list[Path]:
    """The cubes whose errors or mask a file is by its name; empty for a file of another name.

    Parameters
    ----------
    path : Path
        Of the file.
    others : iterable of Path
        Files of its folder.
    """
    theirs = fits_access.strip_fits_suffix(path).lower()
    if not (_COMPANION.match(theirs) or _KCWI.match(theirs)):  # most files: those of a large folder need no comparison
        return []
    return [other for other in others if other != path and _list_companions(other, [path])]


def add_companion_images(images: CubeImages, path: Path) -> CubeImages:
    """The images of a cube with the errors and masks of files beside it, where its own file has none.

    Parameters
    ----------
    images : CubeImages
        Of the cube's own file.
    path : Path
        Of that file.
    """
    for beside, kind in _list_companions(path, _list_folder(path)):
        is_known = bool(images.masks) if kind in ("mask", "good") else images.error is not None
        if is_known:
            continue
        try:
            images = _add_file(images, beside, kind)
        except SfhInputError as error:  # a damaged neighbour stops no cube
            images = replace(images, notes=(*images.notes, f"{beside.name} is not used: {error}"))
    return images


def find_companion_files(path: Path) -> list[Path]:
    """Files beside a cube that hold its errors or its mask by their names."""
    return [file for file, _ in _list_companions(path, _list_folder(path))]


def list_error_files(path: Path) -> list[tuple[Path, str]]:
    """Files beside a spectrum that hold its errors by their names, and the kind: variance, sigma or inverse variance.

    Parameters
    ----------
    path : Path
        Of the spectrum: besides the names that cubes' errors have, LEGA-C's ``wht1d`` beside ``spec1d`` (inverse
        variances).
    """
    files = _list_folder(path)
    weights = path.name.replace("spec1d", "wht1d")
    named = [(file, "inverse") for file in files if weights != path.name and file.name == weights]
    return named + [(file, kind) for file, kind in _list_companions(path, files) if kind in _ERROR_WORDS]


def _list_folder(path: Path) -> list[Path]:
    files = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted(p for p in files if fits_access.is_fits_name(p))


def _list_companions(path: Path, files: Iterable[Path]) -> list[tuple[Path, str]]:
    """Files that belong to a cube by their names, and what they hold."""
    name = fits_access.strip_fits_suffix(path).lower()
    stem, _, last = name.rpartition(re.sub(r"[^-_.]", "", name)[-1:] or "_")
    stems = {name, stem} if last in _FLUX_WORDS else {name}
    found = []
    for file in files:
        theirs = fits_access.strip_fits_suffix(file).lower()
        word, kcwi = _COMPANION.match(theirs), _KCWI.match(theirs)
        if word and theirs != name and word["stem"] in stems:
            found.append((file, _WORDS[word["word"]]))
        elif kcwi and name == f"{kcwi['stem']}i{kcwi['rest']}":
            found.append((file, _KCWI_KINDS[kcwi["kind"]]))
    return found


def _add_file(images: CubeImages, path: Path, kind: str) -> CubeImages:
    """The images with those of one file beside the cube's, or a note why it is not used."""
    with fits_access.open_fits(path) as hdus:
        fitting = {i: hdu for i, hdu in enumerate(hdus) if fits_access.image_shape(hdu) == images.shape}
        named = (
            [i for i, hdu in fitting.items() if hdu.name.upper() in ERROR_KINDS] if kind not in ("mask", "good") else []
        )
        if not any(len(fits_access.image_shape(hdu)) == 3 for hdu in hdus):
            return images  # maps of something else
        if len(fitting) != 1 and len(named) != 1:
            shapes = f"it holds {fits_access.describe_hdus(hdus)}, the cube has the shape {images.shape}"
            return replace(images, notes=(*images.notes, f"{path.name} is not used: {shapes}"))
        index = next(iter(named or fitting))
        header: fits.Header = hdus[index].header.copy()
        kind = ERROR_KINDS.get(hdus[index].name.upper(), kind) if kind not in ("mask", "good") else kind
    if kind in ("mask", "good"):
        return replace(images, masks=(MaskPlace(index, f"{path.name} beside the cube", path, kind == "good"),))
    notes = (*images.notes, f"{path.name} beside the cube is used: errors ({kind})")
    return replace(
        images, error=index, error_name=path.name, error_kind=kind, error_path=path, error_header=header, notes=notes
    )
