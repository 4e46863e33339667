"""Mosaics whose calibration is that of another filter, or that are empty where the cube is: the card is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from io_mocks import write_mosaic

from napari_sfh.errors import SfhInputError
from napari_sfh.io.mosaics import read_mosaic


def _mosaic(folder: Path, **cards: Any) -> Path:
    data = np.random.default_rng(0).normal(1.0, 0.1, (40, 40))
    return write_mosaic(folder / "hst_f275w_sci.fits", data, **cards)


@pytest.mark.parametrize(("cards", "words"), [
    ({"PHOTPLAM": 0.0}, r"PHOTPLAM .* is 0\.0"), ({"PHOTFLAM": 0.0}, r"PHOTFLAM \(it is 0\.0\)"),
    ({"PHOTFLAM": "unknown"}, "it is 'unknown'"),
])  # fmt: skip
def test_a_calibration_that_is_none_is_refused(cards: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=words):
        read_mosaic(_mosaic(tmp_path, **cards))


@pytest.mark.parametrize(("photflam", "value", "told"), [
    (3.3e-18, 3.3e-18, False), ("3.3D-18", 3.3e-18, False), (3.3e-17, 3.3e-17, True), (1.5e-19, 1.5e-19, True),
])  # fmt: skip
def test_a_photflam_that_is_not_the_filters_is_told(photflam: Any, value: float, told: bool, tmp_path: Path) -> None:
    mosaic = read_mosaic(_mosaic(tmp_path, PHOTFLAM=photflam))
    assert mosaic.photflam == pytest.approx(value)
    assert any("times that of UVIS F275W" in note for note in mosaic.notes) == told


@pytest.mark.parametrize(("cards", "told"), [({"PHOTPLAM": 8039.0}, True), ({"PHOTPLAM": 2720.0}, False)])
def test_a_pivot_wavelength_of_another_filter_is_told(cards: dict[str, Any], told: bool, tmp_path: Path) -> None:
    notes = read_mosaic(_mosaic(tmp_path, **cards)).notes
    assert any("PHOTPLAM = 8039" in note and "2704" in note for note in notes) == told


@pytest.mark.parametrize(("name", "cards", "words"), [
    ("hst_f275w_drc_wht.fits", {}, "weight map by its name"),
    ("hst_f275w_sci.fits", {"BSOFTEN": 100.0}, "BSOFTEN"),
])  # fmt: skip
def test_what_is_no_linear_image_is_refused(name: str, cards: dict[str, Any], words: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(1.0, 0.1, (40, 40))
    with pytest.raises(SfhInputError, match=words):
        read_mosaic(write_mosaic(tmp_path / name, data, **cards))


def test_an_image_of_zeros_is_told(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "hst_f275w_sci.fits", np.zeros((40, 40)), np.ones((40, 40)), "hst_f275w_wht.fits")
    assert any("pixels are 0" in note for note in read_mosaic(path).notes)
    assert not any("pixels are 0" in note for note in read_mosaic(_mosaic(tmp_path)).notes)
