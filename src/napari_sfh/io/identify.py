"""What a file is, and which files of a folder make a galaxy: by name and header, as the archives ship them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from astropy.io import fits

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import BundleHeader, read_bundle_header
from napari_sfh.instruments.coverage import check_rest_range, describe_missing_range
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io import dap, fits_access, ngist
from napari_sfh.io.cleaning.companions import find_main_cubes, holds_product_word, name_derived_product
from napari_sfh.io.cube_psf import find_muse_psf_fwhm
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.mosaic_images.headers import find_filter_words, is_seen_by_other_cameras
from napari_sfh.io.mosaics import estimate_field_coverage, is_camera_substitute, read_mosaic
from napari_sfh.io.results import is_result_file
from napari_sfh.io.survey_maps import is_binned_cube
from napari_sfh.types import NO_MISFIT_FLAG, BinnedMaps, Cube, Mosaic, measure_pixel_arcsec

#: Kinds of file, with the words of `describe_file`.
KINDS: Mapping[str, str] = {
    "cube": "integral-field cube",
    "mosaic": "HST image",
    "weight": "weight map of an HST image",
    "derived": "made of an image, none of the galaxy itself",
    "maps": "DAP MAPS file",
    "result": "napari-sfh result",
    "ngist": "nGIST/GIST result table",
    "image": "image that is not needed",
    "truth": "true star-formation histories of a mock galaxy",
    "unknown": "not recognised",
}


@dataclass(frozen=True)
class FileInfo:
    """What a file is, without its data.

    ``details`` holds printable facts in the order in which a person wants them; ``problems`` says what is missing and
    what will be done about it, one line each.
    """

    kind: str  # one of KINDS
    path: Path
    details: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    band: str | None = None  # of a mosaic: one of the instrument's
    usable: bool = True  # False: the file is damaged or lacks something that a run cannot do without
    opened: Cube | Mosaic | BinnedMaps | None = field(
        default=None, repr=False, compare=False
    )  # so that it is read once


@dataclass(frozen=True)
class GalaxyFiles:
    """The files of a folder that make one galaxy."""

    folder: Path
    name: str
    cube: Path | None  # None: images in the bands of weights that need no spectrum
    mosaics: Mapping[str, Path]  # band (the instrument's, in order) to file
    maps: Path | None
    truth: Path | None  # of a mock galaxy
    problems: tuple[str, ...]  # what is missing, what was chosen and why, one line each
    described: tuple[FileInfo, ...] = field(default=(), repr=False, compare=False)  # cube, mosaics and MAPS in use


@fits_access.keep_fits_open()
def identify_file(path: str | Path, header: BundleHeader | None = None) -> FileInfo:
    """Say what a file is. Never raises for a bad file: what is wrong stands in ``problems``.

    Parameters
    ----------
    path : path
    header : BundleHeader, optional
        Of the weights for which it is looked at; default those that are used when none are named.

    Returns
    -------
    FileInfo
    """
    path = Path(path)
    kind = "unknown"
    try:
        with fits_access.open_fits(path) as hdus:
            kind = _classify_file(hdus, path)
        if kind == "derived":
            return FileInfo(kind, path, problems=(_describe_derived(path),))
        if kind not in _DESCRIBERS:
            return FileInfo(kind, path, usable=kind != "unknown")
        return _DESCRIBERS[kind](path, header or read_bundle_header())
    except SfhInputError as e:
        return FileInfo(kind, path, problems=(_without_path(str(e), path),), usable=False)


def _classify_file(hdus: fits.HDUList, path: Path) -> str:
    """Kind from the structure first, then from the name."""
    name = fits_access.strip_fits_suffix(path).lower()
    if is_result_file(hdus):
        return "result"
    if "truth" in re.split(r"[_\-.]", name):
        return "truth"
    if dap.is_maps_file(hdus):
        return "maps"
    if ngist.is_ngist_file(hdus):
        return "ngist"
    images = [h for h in hdus if fits_access.image_shape(h)]
    axes = {len(fits_access.image_shape(h)) for h in images}
    derived = bool(name_derived_product(path))
    if is_binned_cube(hdus):
        return "derived"
    if _holds_jwst_image(hdus):
        return "derived" if derived else "mosaic"
    if 3 in axes:
        return "cube"
    if 2 in axes:
        if re.search(r"(wht|weight)$", name):
            return "weight"
        header = fits_access.merge_headers(hdus[0].header, *(h.header for h in images))
        is_hst = fits_access.get_number_card(header, "PHOTFLAM") is not None or find_filter_words(header)
        if not is_hst and not _HST_NAME.search(name):
            return "image"
        return "derived" if derived else "mosaic"
    return "unknown"


def _describe_derived(path: Path) -> str:
    what = name_derived_product(path)
    if not what:
        return (
            "spectra of bins with their models (MaNGA's DAP): not used; give the cube of the DRP, or this with `cube`"
        )
    return f"{what} by its name: not used; if it is the galaxy's image, give it with `photometry`"


def _holds_jwst_image(hdus: fits.HDUList) -> bool:
    """An image of the JWST pipeline, which keeps a stack of exposures' numbers (CON) beside the image (SCI)."""
    science = next((h for h in hdus if h.name == "SCI"), None)
    camera = str(hdus[0].header.get("INSTRUME", "")).upper()
    return science is not None and len(fits_access.image_shape(science)) == 2 and camera in ("NIRCAM", "NIRISS", "MIRI")


#: Files made of an image that are told.
_MAX_TOLD = 4
_HST_NAME = re.compile(r"(?:^|[_\-])f\d{3}[wlmx]+(?:[_\-]|$)")


def _without_path(message: str, path: Path) -> str:
    return message.removeprefix(f"{path}: ")


def _describe_cube(path: Path, header: BundleHeader) -> FileInfo:
    cube = read_cube(path)
    fwhm, source = find_muse_psf_fwhm(cube.header, path)
    n, ny, nx = cube.shape
    step = float(np.median(np.diff(cube.wave_aa)))
    details = {
        "galaxy": cube.name,
        "size": f"{nx} x {ny} spaxels, {n} channels, {path.stat().st_size / 1e9:.3g} GB",
        "wavelengths": f"{cube.wave_aa[0]:.1f}-{cube.wave_aa[-1]:.1f} AA in air, step {step:.2f}",
        "spaxel": f"{cube.pixel_arcsec:.3f} arcsec",
        "unit": f"{cube.flux_scale:.3g} erg/s/cm2/AA",
        "errors": "variance image" if cube.has_variance else "none",
        "psf": f"{fwhm:.2f} arcsec at 6500 AA ({source})" if fwhm else "unknown",
        "redshift": f"{cube.redshift:.5f}" if cube.redshift is not None else "unknown",
    }
    problems = list(cube.notes)
    if fwhm is None:
        problems.append(f"PSF: {source}")
    problems += _redshift_problems(cube, header)
    return FileInfo("cube", path, details, tuple(problems), opened=cube)


def _redshift_problems(cube: Cube, header: BundleHeader) -> list[str]:
    """What the header's redshift means for a run."""
    if cube.redshift is None:
        return ["no redshift in the header: taken from MAPS, else measured from the spectra, or give `redshift`"]
    problems: list[str] = []
    instrument = header.instrument
    if instrument.spectrum is None:
        return problems
    try:
        check_rest_range(cube.wave_aa, cube.redshift, instrument.grid, header.min_coverage, cube.path)
    except SfhInputError as e:
        problems.append(_without_path(str(e), cube.path))
    else:
        if note := describe_missing_range(cube.wave_aa, cube.redshift, instrument.grid):
            problems.append(note)
    if cube.redshift > instrument.redshift_max:
        problems.append(
            f"redshift above {instrument.redshift_max:g}: bands sample other rest wavelengths than in training, flagged"
        )
    return problems


def _describe_mosaic(path: Path, header: BundleHeader, band: str | None = None) -> FileInfo:
    mosaic = read_mosaic(path, band, header.instrument)
    stands_in = " (stands in)" if is_camera_substitute(mosaic, header.instrument) else ""
    scale = measure_pixel_arcsec(mosaic.wcs)
    ny, nx = mosaic.shape
    details = {
        "band": f"{mosaic.band} ({mosaic.camera} {mosaic.filter_name}){stands_in}",
        "size": f"{nx} x {ny} pixels of {scale:.4f} arcsec",
        "psf": f"{mosaic.psf_fwhm_arcsec:.3f} arcsec, computed",
        "calibration": f"PHOTFLAM {mosaic.photflam:.4g} erg/s/cm2/AA per e-/s, pivot {mosaic.photplam_aa:.0f} AA",
        "weight map": mosaic.weight_path.name if mosaic.weight_path else "none",
    }
    return FileInfo("mosaic", path, details, mosaic.notes, band=mosaic.band, opened=mosaic)


def _describe_maps(path: Path, header: BundleHeader) -> FileInfo:
    lines = dap.list_line_names(path)
    maps = dap.read_maps(path)
    ny, nx = maps.bin_id.shape
    details = {
        "size": f"{nx} x {ny} spaxels, {maps.bin_id.max()} bins",
        "kinematics": f"V {_format_range(maps.v_kms)} km/s, sigma {_format_range(maps.sigma_kms)} km/s",
        "redshift": f"{maps.redshift:.5f}" if maps.redshift is not None else "unknown",
        "emission lines": ", ".join(lines) or "none",
    }
    problems = (
        ()
        if maps.redshift is not None
        else ("no REDSHIFT in PRIMARY: taken from the cube, else measured, or give `redshift`",)
    )
    return FileInfo("maps", path, details, problems, opened=maps)


def _format_range(values: Any) -> str:
    finite = values[np.isfinite(values)]
    return f"{np.min(finite):.0f}..{np.max(finite):.0f}" if finite.size else "none"


def _describe_result(path: Path, header: BundleHeader) -> FileInfo:
    with fits_access.open_fits(path) as hdus:
        h = hdus[0].header
        details = {
            "galaxy": str(h.get("OBJECT", "")),
            "bins": str(h.get("NBINS", "")),
            "redshift": f"{h.get('REDSHIFT', float('nan')):.5f}",
            "model": f"{h.get('MODEL', '')} ({str(h.get('MODELSHA', ''))[:12]})",
            **({} if h.get("MISFIT", True) else {"flags": NO_MISFIT_FLAG}),
            "written": f"{h.get('DATE', '')} by {h.get('CREATOR', '')} {h.get('VERSION', '')}",
        }
    return FileInfo("result", path, details)


_DESCRIBERS: Mapping[str, Callable[[Path, BundleHeader], FileInfo]] = {
    "cube": _describe_cube,
    "mosaic": _describe_mosaic,
    "maps": _describe_maps,
    "result": _describe_result,
}


def describe_file(info: FileInfo) -> list[str]:
    """Lines of text about a file for ``napari-sfh info`` and the viewer."""
    lines = [f"{info.path.name}: {KINDS[info.kind]}{'' if info.usable else ', cannot be used'}"]
    lines += [f"  {key}: {value}" for key, value in info.details.items()]
    lines += [f"  ! {problem}" for problem in info.problems]
    return lines


@check_arguments
def find_galaxy_files(folder: str | Path, header: BundleHeader | None = None) -> GalaxyFiles:
    """Find the cube, mosaics and MAPS of one galaxy in a folder.

    Parameters
    ----------
    folder : path
        Searched with its direct subfolders, because archives unpack into some.
    header : BundleHeader, optional
        Of the weights that are to be run: its bands are looked for. Default those that are used when none are named.

    Returns
    -------
    GalaxyFiles

    Raises
    ------
    SfhInputError
        No folder, no usable cube (nor images, where the weights take bands alone), or cubes of several galaxies.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SfhInputError(f"{folder}: no such folder; give the folder of one galaxy or `cube` FILE")
    header = header or read_bundle_header()
    files = _fits_files(folder)
    # Errors and masks of a cube are no cubes.
    infos = [identify_file(p, header) for p in files if not find_main_cubes(p, files)]
    problems: list[str] = [f"{i.path.name}: {p}" for i in infos if not i.usable for p in i.problems]
    derived = [f"{i.path.name}: {p}" for i in infos if i.kind == "derived" for p in i.problems]
    if header.instrument.spectrum is None:
        images = _find_band_images([i.path for i in infos], header.instrument.band_names)
        if images and not any(i.kind == "cube" for i in infos):
            return _describe_band_images(folder, images, header.instrument.band_names)
        unused = [i.path.name for i in infos if i.kind == "mosaic"]
        infos = [i for i in infos if i.kind != "mosaic"]
        problems = [p for p in problems if not p.startswith(tuple(f"{name}: " for name in unused))]
        if unused:
            problems.append(f"{len(unused)} images are not used: these weights cut their bands from the cube")
    infos = [i for i in infos if i.usable]
    infos = [_read_own_band(i, header, problems) for i in infos]
    if not problems and not any(i.kind == "cube" for i in infos):
        problems = _describe_no_cubes(infos)
    cube = _choose_cube([i for i in infos if i.kind == "cube"], folder, problems)
    opened = cast(Cube, cube.opened)
    mosaics = _choose_mosaics([i for i in infos if i.kind == "mosaic"], opened, header.instrument.band_names, problems)
    maps = _choose_maps([i for i in infos if i.kind == "maps"], opened, problems)
    truth = next((i.path for i in infos if i.kind == "truth"), None)
    problems += [*derived[:_MAX_TOLD], *list_missing_files(mosaics, maps, header.instrument)]
    problems += [f"{cube.path.name}: {p}" for p in cube.problems]
    by_path = {i.path: i for i in infos}
    described = tuple(by_path[path] for path in (cube.path, *mosaics.values(), maps) if path is not None)
    return GalaxyFiles(folder, cube.details["galaxy"], cube.path, mosaics, maps, truth, tuple(problems), described)


def _read_own_band(info: FileInfo, header: BundleHeader, problems: list[str]) -> FileInfo:
    """A file that is an image of a user's own or a survey's band by its FILTER or its name, as a mosaic of that band.

    One that cannot be read as such is said among the ``problems``, and stays what it was.
    """
    own = [band.name for band in header.instrument.bands if is_seen_by_other_cameras(band)]
    if info.kind != "image" or header.instrument.spectrum is None or not own or holds_product_word(info.path):
        return info
    band = next(iter(_find_band_images([info.path], own)), None)
    if band is None:
        return info
    try:
        return _describe_mosaic(info.path, header, band)
    except SfhInputError as error:
        problems.append(f"{info.path.name} is not used as an image of {band}: {_without_path(str(error), info.path)}")
        return info


def _find_band_images(paths: list[Path], bands: Sequence[str]) -> dict[str, Path]:
    """Images whose FILTER, or else whose name, tells one of the bands; the first by name."""
    found: dict[str, Path] = {}
    names = {band.upper(): band for band in bands}
    for path in (p for p in paths if not name_derived_product(p)):
        with suppress(SfhInputError), fits_access.open_fits(path) as hdus:
            images = [h for h in hdus if len(fits_access.image_shape(h)) == 2]
            if images:
                header = fits_access.merge_headers(hdus[0].header, images[0].header)
                card = str(header.get("FILTER", "")).strip()
                words = [card, *card.split()[:1], *re.split(r"[^A-Za-z0-9]+", path.name)]
                band = next((names[word.strip().upper()] for word in words if word.strip().upper() in names), None)
                if band is not None:
                    found.setdefault(band, path)
    return {band: found[band] for band in bands if band in found}


def _describe_band_images(folder: Path, images: Mapping[str, Path], bands: Sequence[str]) -> GalaxyFiles:
    """A folder of images in place of a cube."""
    missing = [band for band in bands if band not in images]
    problems = (f"no image of {', '.join(missing)}: the network runs without, and flags it",) if missing else ()
    return GalaxyFiles(folder, folder.resolve().name, None, images, None, None, problems)


def _fits_files(folder: Path) -> list[Path]:
    """FITS files of a folder and its direct subfolders, by name; hidden ones are left out, each file stands once.

    Raises
    ------
    SfhInputError
        The folder itself cannot be listed; subfolders that cannot are left out.
    """
    try:
        os.listdir(folder)
    except OSError as error:
        raise SfhInputError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    found = [p for pattern in ("*", "*/*") for p in sorted(folder.glob(pattern)) if fits_access.is_fits_name(p)]
    # Names with a dot in front are hidden: macOS writes ._NAME beside each file of a foreign disk.
    shown = [p for p in found if p.is_file() and not any(part[0] == "." for part in p.relative_to(folder).parts)]
    once = {p.resolve(): p for p in reversed(shown)}  # a link to a folder or file that is there already
    return sorted(once.values())


def holds_cube(folder: str | Path) -> bool:
    """Whether a folder has a file that is shaped as a cube: by structure alone, so that it is quick."""
    for path in _fits_files(Path(folder)):
        try:
            with fits_access.open_fits(path) as hdus:
                if _classify_file(hdus, path) == "cube":
                    return True
        except SfhInputError:
            continue
    return False


def list_missing_files(mosaics: Mapping[str, Path], maps: Path | None, instrument: Instrument) -> list[str]:
    """What a run lacks, and what is done about it, one line each.

    Parameters
    ----------
    mosaics : mapping of str to Path
        Band to image.
    maps : Path or None
    instrument : Instrument
        Of the weights.

    Returns
    -------
    list of str
    """
    if instrument.spectrum is None:
        return []  # bands are cut from the cube
    missing = [b for b in instrument.band_names if b not in mosaics]
    lacking = [f"no image of {', '.join(missing)}: the network runs without, and flags it"] if missing else []
    return lacking if maps is not None else [*lacking, "no MAPS file: bins and kinematics are made here"]


def _resolution_variant(path: Path) -> str:
    """Spatial version in a PHANGS name: ``native``, or the homogenised resolution such as ``0.92asec`` or ``150pc``."""
    found = re.search(r"(native|\d+(?:\.\d+)?(?:asec|pc))", path.name.lower())
    return found.group(1) if found else ""


def _describe_no_cubes(infos: list[FileInfo]) -> list[str]:
    """What a folder without a cube holds instead."""
    if not infos:
        return ["no FITS file in it or its direct subfolders"]
    kinds = {kind: [i.path.name for i in infos if i.kind == kind] for kind in dict.fromkeys(i.kind for i in infos)}
    held = [f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}: {KINDS[kind]}" for kind, names in kinds.items()]
    rows = "a cube has three axes: spectra in rows (RSS) must be made into one first"
    return [*held, rows] if {"image", "unknown"} & set(kinds) else held


def _choose_cube(cubes: list[FileInfo], folder: Path, problems: list[str]) -> FileInfo:
    """One cube: homogenised (its PSF is known and the same everywhere) before native."""
    if not cubes:
        why = f" ({'; '.join(problems[:3])})" if problems else ""
        raise SfhInputError(f"{folder}: no usable integral-field cube{why}; give `cube` FILE")
    derived = {c.path: name_derived_product(c.path) for c in cubes}
    names = {_normalise_galaxy_name(c.details["galaxy"]) for c in cubes if not derived[c.path]}
    if len(names) > 1:
        found = ", ".join(c.path.name for c in cubes)
        raise SfhInputError(
            f"{folder}: cubes of several galaxies ({found}); one folder per galaxy, or give `cube` FILE"
        )
    chosen = min(
        cubes,
        key=lambda c: (bool(derived[c.path]), _resolution_variant(c.path) in ("", "native"), *_rank_path(c.path)),
    )
    if len(cubes) > 1:
        name, others = _tell_apart(chosen, cubes)
        why = "homogenised to one PSF" if _resolution_variant(chosen.path) not in ("", "native") else "first by name"
        if not derived[chosen.path] and (by_name := sorted(set(filter(None, derived.values())))):
            why += f"; others are {', '.join(by_name)} by their names"
        problems.append(f"several cubes: {name} is used ({why}), not {others}; choose with `cube`")
    return chosen


def _normalise_galaxy_name(name: str) -> str:
    """Galaxy name without case, blanks and zero padding: NGC0628 = ngc628."""
    return re.sub(r"(?<=[a-z])0+(?=\d)", "", re.sub(r"[\s_\-]", "", name.lower()))


def _choose_mosaics(
    mosaics: list[FileInfo], cube: Cube, bands: tuple[str, ...], problems: list[str]
) -> dict[str, Path]:
    """One image per band: the trained camera and filter before a stand-in, then the first by name."""
    chosen: dict[str, Path] = {}
    covered = {m.path: estimate_field_coverage(cast(Mosaic, m.opened), cube) for m in mosaics}
    for path, share in covered.items():
        if share == 0:
            problems.append(f"{path.name} is not used: it does not overlap the cube {cube.path.name}")
        elif share < 0.99:
            problems.append(
                f"{path.name} covers {100 * share:.0f} % of the cube's field (empty borders count); bins outside run "
                "without this band"
            )
    for band in bands:
        images = [m for m in mosaics if m.band == band and covered[m.path] > 0]
        images.sort(key=lambda m: (_is_camera_substitute(m), *_rank_path(m.path)))
        if not images:
            continue
        chosen[band] = images[0].path
        if len(images) > 1:
            name, others = _tell_apart(images[0], images)
            problems.append(f"several images of {band}: {name} is used, not {others}")
        problems += [f"{images[0].path.name}: {p}" for p in images[0].problems]
    return chosen


def _rank_path(path: Path) -> tuple[str, int, str]:
    """First by name; of equal names the one that lies highest."""
    return path.name, len(path.parts), str(path)


def _tell_apart(chosen: FileInfo, files: list[FileInfo]) -> tuple[str, str]:
    """Names of the chosen file and of the others; with their folders where names alone are the same."""
    names = {f.path: f.path.name for f in files}
    if len(set(names.values())) < len(names):
        root = os.path.commonpath([f.path.parent for f in files])
        names = {path: os.path.relpath(path, root) for path in names}
    return names[chosen.path], ", ".join(names[f.path] for f in files if f is not chosen)


def _is_camera_substitute(info: FileInfo) -> bool:
    return "(stands in)" in info.details["band"]


def _choose_maps(maps: list[FileInfo], cube: Cube, problems: list[str]) -> Path | None:
    """The MAPS file on the cube's grid, made from the same version of the cube if there is one."""
    fitting = []
    for info in maps:
        try:
            dap.check_maps_on_cube(cast(BinnedMaps, info.opened), cube)
            fitting.append(info)
        except SfhInputError as e:
            problems.append(f"{info.path.name} is not used: {_without_path(str(e), info.path)}")
    if not fitting:
        return None
    variant = _resolution_variant(cube.path)
    chosen = min(fitting, key=lambda m: (_resolution_variant(m.path) != variant, *_rank_path(m.path)))
    if len(fitting) > 1:
        name, others = _tell_apart(chosen, fitting)
        problems.append(f"several MAPS files: {name} is used, not {others}; choose with `maps`")
    return chosen.path
