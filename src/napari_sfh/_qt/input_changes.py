"""What follows when the user changes the galaxy's folder, its cube, or the weights in the forms."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import Any

from napari_sfh._qt.forms.fields import connect_whole_text
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import read_bundle_header


class InputChanges:
    """Listens to the forms *Data* and *Network*.

    Parameters
    ----------
    explorer : Explorer
        Kept by a weak proxy.
    """

    def __init__(self, explorer: Any) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        connect_whole_text(explorer.data.folder.line_edit, self._folder_changed)
        connect_whole_text(explorer.data.cube.line_edit, self._cube_changed)
        explorer.data.hdu.native.editingFinished.connect(make_weak_slot(self._hdu_changed))
        explorer.network.model.changed.connect(self._weights_changed)
        explorer.network.file.line_edit.changed.connect(self._weights_changed)

    def _folder_changed(self, text: str) -> None:
        explorer = self._explorer
        folder = Path(text.strip()).expanduser()
        if not text.strip() or explorer.job.running:
            return
        if folder.is_dir() and not explorer.files.may_open():
            with explorer.data.folder.line_edit.changed.blocked():
                explorer.data.folder.line_edit.value = str(explorer.presenter.folder or "")
        elif folder.is_dir():
            explorer.open_folder(folder)
        else:
            explorer.presenter.forget_files(folder)
            explorer.tell_error(SfhInputError(f"{folder}: no such folder"))

    def _cube_changed(self, text: str) -> None:
        explorer = self._explorer
        explorer.refresh()
        cube = Path(text.strip()).expanduser()
        if text.strip() and not cube.exists():
            explorer.tell_error(SfhInputError(f"cube: no such file: {cube}; check the path"))
        if text.strip() and cube.is_file() and not explorer.job.running and explorer.files.may_open():
            # What was chosen among the cubes of another file is not sought in this one.
            hdu = explorer.data.chosen_hdu if explorer.presenter.owns(cube) else None
            explorer.start(partial(tasks.open_galaxy, cube=cube, hdu=hdu), explorer.presenter.show_white)

    def _hdu_changed(self, _: object = None) -> None:
        """Show the cube that was chosen among those of a file."""
        explorer = self._explorer
        if explorer.data.cube_path is not None and explorer.data.chosen_hdu != explorer.presenter.hdu:
            self._cube_changed(explorer.data.cube.line_edit.value)

    def _weights_changed(self, _: object = None) -> None:
        """The bands that are asked for are those of the weights."""
        explorer = self._explorer
        try:
            instrument = read_bundle_header(explorer.network.chosen_model).instrument
        except SfhInputError:
            return  # a run says what is wrong with them
        with_spectrum, before = instrument.spectrum is not None, tuple(explorer.data.bands)
        explorer.data.set_bands(instrument.band_names, in_place_of_cube=not with_spectrum)
        explorer.binning.set_spectrum(with_spectrum)
        explorer.network.mask_lines.visible = with_spectrum
        explorer.align_forms()
        explorer.guard.protect_fields(explorer.data.container.native)
        explorer.refresh()
        if (
            explorer.data.folder.line_edit.value.strip()
            and tuple(explorer.data.bands) != before
            and not explorer.files.restoring
        ):
            explorer.when_ready(explorer.presenter.seek_bands)
