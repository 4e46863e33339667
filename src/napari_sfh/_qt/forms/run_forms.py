"""The explorer's forms: what to run on, and how. Values in and out; no work is done here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, FileEdit, PushButton

from napari_sfh._qt.forms.fields import (
    WEIGHTS,
    make_file_edit,
    make_form,
    make_note_label,
    make_number_edit,
    make_setting_control,
    narrow_combo_box,
    read_controls,
    read_path,
)
from napari_sfh.analysis.stellar_mass import parse_distance
from napari_sfh.config import FALLBACK_KINEMATICS, SETTINGS, parse_kinematics
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.instruments.files import load_instrument


def _scroll_to_word(line: Any, word: str, name: str) -> None:
    """Bring what tells a file from its like into sight: mosaics of one galaxy end alike."""
    if line.hasFocus():
        return  # somebody types
    at = name.lower().rfind(word.lower())
    if at >= 0:
        line.setCursorPosition(0)
        line.setCursorPosition(min(at + len(word) + 2, len(name)))


def _make_band_edit(band: str) -> FileEdit:
    """A field for the image of a band; whoever fills it in, the band's name in the file's is in sight."""
    edit = make_file_edit(band, f"Image in {band}; optional")
    line = edit.line_edit.native
    line.textChanged.connect(partial(_scroll_to_word, line, band))
    return edit


class DataForm:
    """Folder or files, and what their headers may not say."""

    def __init__(self) -> None:
        self._in_place_of_cube = False
        self.folder = make_file_edit("Folder", "Cube, mosaics and MAPS are found in it by their names", folder=True)
        self.cube = make_setting_control("cube")
        self.bands = {band: _make_band_edit(band) for band in load_instrument().band_names}
        self._all_bands = dict(self.bands)  # of all weights that were chosen
        self.maps = make_setting_control("maps")
        self.hdu = make_setting_control("hdu")
        self.redshift = make_setting_control("redshift")
        self.ebv_mw = make_setting_control("ebv_mw")
        self.psf = make_setting_control("psf_fwhm_arcsec")
        self.hst_psf = make_setting_control("hst_psf_fwhm_arcsec")
        self.lsf = make_setting_control("lsf")
        self.subtract_sky = make_setting_control("subtract_sky")
        self.align = make_setting_control("align")
        self.images = make_note_label()
        self.container = make_form(
            [self.folder, self.cube, *self.bands.values(), self.images, self.maps, *self._controls().values()]
        )

    def _controls(self) -> dict[str, Any]:
        """Controls of settings that are no files, by the settings' names."""
        return {
            "hdu": self.hdu,
            "redshift": self.redshift,
            "ebv_mw": self.ebv_mw,
            "psf_fwhm_arcsec": self.psf,
            "hst_psf_fwhm_arcsec": self.hst_psf,
            "lsf": self.lsf,
            "subtract_sky": self.subtract_sky,
            "align": self.align,
        }

    @property
    def has_input(self) -> bool:
        """True when there is something to run on."""
        return read_path(self.cube) is not None or (self._in_place_of_cube and bool(self.photometry))

    def clear_galaxy(self) -> list[str]:
        """Empty what was given for one galaxy; labels of the fields that held something."""
        own = [control for name, control in self._controls().items() if SETTINGS[name].by_galaxy and control.value]
        for control in own:
            control.value = ""
        return [str(control.label) for control in own]

    @property
    def photometry(self) -> dict[str, Path]:
        """The mosaics that are given, by band."""
        return {band: path for band, edit in self.bands.items() if (path := read_path(edit)) is not None}

    @property
    def cube_path(self) -> Path | None:
        """The cube that is given."""
        return read_path(self.cube)

    @property
    def chosen_hdu(self) -> str | None:
        """Which cube of its file is given; None: the first."""
        return self.hdu.value.strip() or None

    @property
    def maps_path(self) -> Path | None:
        """The MAPS file that is given."""
        return read_path(self.maps)

    def set_bands(self, bands: Sequence[str], in_place_of_cube: bool = False) -> None:
        """Ask for the images of other weights' bands; files that were given stay with their bands.

        Parameters
        ----------
        bands : sequence of str
        in_place_of_cube : bool
            The weights take bands alone, often dozens: their images come with a folder, and are told in one line.
        """
        if tuple(bands) == tuple(self.bands) and in_place_of_cube == self._in_place_of_cube:
            return
        self._in_place_of_cube = in_place_of_cube
        for control in (self.hst_psf, self.subtract_sky, self.align):
            control.visible = not in_place_of_cube  # of mosaics beside a cube
        place = self.container.index(next(iter(self.bands.values()))) if self.bands else 2
        for edit in self.bands.values():
            self.container.remove(edit)
        self._all_bands |= {band: _make_band_edit(band) for band in bands if band not in self._all_bands}
        self.bands = {band: self._all_bands[band] for band in bands}
        for k, edit in enumerate(self.bands.values()):
            self.container.insert(place + k, edit)
            edit.visible = not in_place_of_cube
        self._tell_images()

    def _tell_images(self) -> None:
        """Which images take the place of a cube."""
        found = list(self.photometry) if self._in_place_of_cube else []
        some = ", ".join(found if len(found) <= 4 else [*found[:2], "...", found[-1]])
        self.images.value = f"{len(found)} of {len(self.bands)} bands have an image in the folder: {some}"
        self.images.visible = bool(found)

    def fill_bands(self, photometry: Mapping[str, Path]) -> None:
        """Fill in images of some bands; the other files stay."""
        for band, path in photometry.items():
            self.bands[band].line_edit.value = str(path)
        self._tell_images()

    def set_files(self, cube: Path | None, photometry: Mapping[str, Path], maps: Path | None) -> None:
        """Fill in the files; bands that are missing are emptied."""
        for edit, path in [
            (self.cube, cube),
            (self.maps, maps),
            *((e, photometry.get(b)) for b, e in self._all_bands.items()),
        ]:
            edit.line_edit.value = "" if path is None else str(path)
        self._tell_images()

    def values(self) -> dict[str, Any]:
        """Keyword arguments of `decisions.configure_run`.

        Raises
        ------
        SfhInputError
            No cube, or a field that is not a number.
        """
        cube = read_path(self.cube)
        if not self.has_input:
            raise SfhInputError("Cube: no file is chosen; choose a galaxy folder or a MUSE cube first")
        return {
            "cube": cube,
            "photometry": {} if cube is not None and self._in_place_of_cube else self.photometry,
            "maps": self.maps_path,
            **read_controls(self._controls()),
        }


class BinningForm:
    """How spaxels are binned, and where their kinematics come from."""

    def __init__(self) -> None:
        self._with_spectrum, self._with_maps = True, False
        self.method = make_setting_control("binning", other="file")
        self.file = make_file_edit("Bin map", "FITS image with the bin of each spaxel, 0 = none")
        self.target_snr = make_setting_control("target_snr")
        self.kinematics = make_setting_control("kinematics", other="constant")
        v, sigma = parse_kinematics(FALLBACK_KINEMATICS)
        self.constants = make_number_edit("V, σ (km/s)", f"{v:g}, {sigma:g}", "Velocity and dispersion of every bin")
        self.container = make_form(
            [
                narrow_combo_box(self.method),
                self.file,
                self.target_snr,
                narrow_combo_box(self.kinematics),
                self.constants,
            ]
        )
        self.method.changed.connect(self._show_needed)
        self.kinematics.changed.connect(self._show_needed)
        self._show_needed()

    def set_spectrum(self, used: bool) -> None:
        """Ask for kinematics where the weights take a spectrum."""
        self._with_spectrum = used
        self._show_needed()

    def set_maps(self, given: bool) -> None:
        """Ask for no target S/N where automatic bins are those of a MAPS file."""
        if given != self._with_maps:
            self._with_maps = given
            self._show_needed()

    def _show_needed(self) -> None:
        self.file.visible = self.method.value == "file"
        self.kinematics.visible = self._with_spectrum
        own = ("vorbin", "powerbin") if self._with_maps else ("auto", "vorbin", "powerbin")
        self.target_snr.visible = self.method.value in own
        self.constants.visible = self._with_spectrum and self.kinematics.value == "constant"

    def reset(self) -> None:
        """The defaults."""
        for control, name in (
            (self.method, "binning"),
            (self.target_snr, "target_snr"),
            (self.kinematics, "kinematics"),
        ):
            control.value = SETTINGS[name].default

    def values(self) -> dict[str, Any]:
        """Keyword arguments of `decisions.configure_run`.

        Raises
        ------
        SfhInputError
            A bin map is asked for and not given, or V and sigma are no numbers.
        """
        method: str = self.method.value
        if method == "file":
            path = read_path(self.file)
            if path is None:
                raise SfhInputError("Bin map: no file is chosen; choose one or another method of binning")
            method = str(path)
        kinematics = self.kinematics.value
        if kinematics == "constant":
            kinematics = self.constants.value.strip() or FALLBACK_KINEMATICS
            parse_kinematics(kinematics)
        return {"binning": method, "target_snr": self.target_snr.value, "kinematics": kinematics}


class NetworkForm:
    """Which weights, on which device."""

    def __init__(self) -> None:
        self.model = ComboBox(
            label=SETTINGS["model"].label,
            choices=[(SETTINGS["model"].default,) * 2],
            value=SETTINGS["model"].default,
            tooltip=SETTINGS["model"].help,
        )
        self.file = make_file_edit(
            "or a file", "Weights that you trained: a .safetensors bundle; it wins over the list", kind=WEIGHTS
        )
        self.card = PushButton(text="Model card…", tooltip="What the weights were trained on, their figures and limits")
        self.device = make_setting_control("device")
        self.mask_lines = make_setting_control("mask_lines")
        self.draws = make_setting_control("draws")
        self.container = make_form(
            [narrow_combo_box(self.model), self.file, self.card, self.device, self.mask_lines, self.draws]
        )

    def chosen_device(self) -> str:
        """Name of the device."""
        name: str = self.device.value
        return name

    @property
    def has_file(self) -> bool:
        """Whether a file is given, which wins over the list."""
        return read_path(self.file) is not None

    @property
    def chosen_model(self) -> str:
        """Name or file of the weights."""
        path = read_path(self.file)
        return str(path) if path else self.model.value or "default"

    def choose_model(self, name: str) -> None:
        """Choose weights by their name, if they are at hand."""
        if name in self.model.choices and name != self.chosen_model:
            self.file.line_edit.value = ""
            self.model.value = name

    def choose_file(self, path: Path) -> None:
        """Choose weights by their file; those of the list are chosen there."""
        shipped = [name for name, file in list_bundles().items() if file.samefile(path)]
        if shipped:
            self.choose_model(shipped[0])
        else:
            self.file.line_edit.value = str(path)

    def set_models(self, names: list[str]) -> None:
        """List the weights at hand, the default first; keep the choice if it is still there."""
        chosen = self.model.value
        self.model.choices = names or ["default"]
        if chosen in self.model.choices:
            self.model.value = chosen

    def values(self) -> dict[str, Any]:
        """Keyword arguments of `decisions.configure_run`."""
        controls = {"device": self.device, "mask_lines": self.mask_lines, "draws": self.draws}
        return {"model": self.chosen_model, **read_controls(controls)}


class ExportForm:
    """What can be taken away."""

    def __init__(self) -> None:
        self.result = PushButton(text="Save result…", tooltip="One FITS file: maps, bins, SFHs, spectra, provenance")
        self.figure = PushButton(text="Save figure of the maps…", tooltip="PNG, PDF or SVG page of the four maps")
        self.table = PushButton(text="Save table of all bins…", tooltip="SFH and metallicity of every bin as ECSV")
        #: Shown under Maps; masses, gradients per kpc and scale bars are made with it.
        self.distance = make_number_edit(
            "Distance",
            "Mpc, or z=…",
            "Luminosity distance in Mpc, or a redshift as z=0.0024: for masses and kpc",
        )
        self.container = make_form([self.result, self.table, self.figure])

    @property
    def distance_mpc(self) -> float | None:
        """The distance in Mpc, None where the field is empty.

        Raises
        ------
        SfhInputError
            No number, or out of range.
        """
        return parse_distance(self.distance.value)

    def enable(self, has_result: bool) -> None:
        """What needs a result is usable with one only."""
        for button in (self.result, self.figure, self.table):
            button.enabled = has_result
