"""The geometry of the layers: analytic rotations, and astropy's own RA/Dec."""

from __future__ import annotations

import numpy as np
import pytest
from smooth_result import PIXEL_ARCSEC, ROTATION_DEG, make_wcs
from window_acts import native_canvas, open_explorer

from napari_sfh.analysis.sky_coordinates import SkyGrid

SHAPE = (40, 30)


@pytest.fixture
def sky() -> SkyGrid:
    return SkyGrid.of(make_wcs(SHAPE), SHAPE)


def test_centre_of_the_field_is_the_origin(sky: SkyGrid) -> None:
    assert sky.to_world(np.array([[19.5, 14.5]])) == pytest.approx(np.zeros((1, 2)), abs=1e-9)


def test_linear_part_is_the_rotation_of_the_cube(sky: SkyGrid) -> None:
    a = np.radians(ROTATION_DEG)
    expected = PIXEL_ARCSEC * np.array([[np.cos(a), np.sin(a)], [np.sin(a), -np.cos(a)]])
    assert sky.matrix[:2, :2] == pytest.approx(expected, abs=1e-6)
    assert sky.pixel_arcsec == pytest.approx(PIXEL_ARCSEC, rel=1e-6)


def test_layer_transform_equals_the_matrix(sky: SkyGrid) -> None:
    from napari.layers import Image

    layer = Image(np.zeros(SHAPE), **sky.transform())
    pixel = np.array([3.0, 17.0])
    assert layer.data_to_world(pixel) == pytest.approx(sky.to_world(pixel[None])[0])
    assert [str(unit) for unit in layer.units] == ["arcsecond", "arcsecond"]


def test_pixels_survive_the_round_trip(sky: SkyGrid) -> None:
    pixels = np.array([[0.0, 0.0], [39, 29], [12.25, 7.5]])
    assert sky.to_pixel(sky.to_world(pixels)) == pytest.approx(pixels)


def test_radec_is_that_of_the_wcs_to_a_milliarcsec(sky: SkyGrid) -> None:
    ra, dec = sky.radec_deg(sky.to_world(np.array([[0.0, 0.0]]))[0])
    expected = sky.wcs.wcs_pix2world(0, 0, 0)
    assert np.hypot((ra - expected[0]) * np.cos(np.radians(dec)), dec - expected[1]) * 3.6e6 < 1


def test_north_is_up_by_an_arcsec(sky: SkyGrid) -> None:
    centre = sky.radec_deg(np.zeros(2))
    north = sky.radec_deg(np.array([1.0, 0.0]))
    east = sky.radec_deg(np.array([0.0, 1.0]))
    assert (north[1] - centre[1]) * 3600 == pytest.approx(1, abs=1e-4)
    assert (east[0] - centre[0]) * 3600 * np.cos(np.radians(centre[1])) == pytest.approx(1, abs=1e-4)


def test_radec_text_is_sexagesimal(sky: SkyGrid) -> None:
    assert sky.radec_text(np.zeros(2)) == "01h36m41.76s +15d46m58.8s"


def test_another_image_is_placed_by_its_own_wcs(sky: SkyGrid) -> None:
    other_wcs = make_wcs((80, 80))
    other_wcs.wcs.crval = [24.174, 15.783 + 2 / 3600]
    other = SkyGrid.of(other_wcs, (80, 80), origin=sky)
    assert other.to_world(np.array([[39.5, 39.5]]))[0] == pytest.approx([2, 0], abs=1e-3)


def test_axes_on_the_canvas_follow_the_view(qtbot, make_viewer, result) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_sfh._qt.canvas.sky_axes import LETTER_PX

    viewer = make_viewer()
    dock = open_explorer(viewer)
    dock.show_result(result)
    dock.wait()
    axes = viewer.canvas.overlays["sfh_sky_axes"]
    qtbot.waitUntil(lambda: axes.visible and len(axes.words) > 2)
    height, width = viewer.canvas.size
    assert all(0 < x < width and 0 < y < height for _, x, y in axes.words)
    assert {"N", "E"} <= {text for text, _, _ in axes.words}
    ra, dec = ([word for word in axes.words if sign in word[0]] for sign in ("h", "°"))
    assert len({y for _, _, y in ra}) == 1, "all at one edge"
    assert all(x < 100 for _, x, _ in dec) or all(x > width - 100 for _, x, _ in dec)
    # a declination stands where the map has it
    text, _, y = next(word for word in axes.words if "°" in word[0])
    camera = viewer.scene.camera
    place = np.array([camera.center[-2] + (height / 2 - y) / camera.zoom, camera.center[-1] + width / 2 / camera.zoom])
    degrees, rest = text.lstrip("+").split("°")
    minutes, seconds = rest.rstrip("″").split("′")
    dec = float(degrees) + float(minutes) / 60 + float(seconds) / 3600
    assert dock.session.sky.radec_deg(place)[1] == pytest.approx(dec, abs=0.02 / 3600)
    before = [word for word in axes.words if word[0] not in "NE"]
    camera.zoom *= 3
    qtbot.waitUntil(lambda: [word for word in axes.words if word[0] not in "NE"] != before)
    # Far in, the bar is an arcsec long: numbers of RA keep away from it. napari leaves 10 pixels beside it.
    few = len(axes.lines)
    bar = viewer.canvas.overlays.scale_bar
    centre, zoom = camera.center, camera.zoom
    camera.zoom = 0.3 * width
    qtbot.waitUntil(lambda: bar.length == 1.0)
    for shift in np.arange(-0.5, 0.5, 0.02):
        camera.center = (*centre[:-1], centre[-1] + shift)
        QApplication.processEvents()
        ends = [x + 0.5 * LETTER_PX * len(text) for text, x, y in axes.words if "h" in text and y > height / 2]
        assert all(end < width - 10 - camera.zoom for end in ends)
    # A single number is no scale: where the left edge has room for no more, all stand at the right one.
    counts = []
    for factor in np.geomspace(0.5, 1.5, 16):
        camera.center, camera.zoom = centre, factor * zoom
        QApplication.processEvents()
        counts.append(sum("°" in text for text, _, _ in axes.words))
    assert min(counts) > 1, counts
    camera.center, camera.zoom = centre, zoom
    QApplication.processEvents()
    QTest.keyClick(native_canvas(viewer), Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    assert len(axes.lines) > few, "a grid"
    dock.map.grid.value = True
    dock.wait()
    assert not axes.visible
    dock.map.grid.value = False
    dock.wait()
    QTest.keyClick(native_canvas(viewer), Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    assert not axes.visible


def test_numbers_at_the_corner_of_a_small_canvas_do_not_lie_on_each_other(qtbot, result) -> None:
    from napari.components import ViewerModel

    from napari_sfh._qt.canvas.sky_axes import LETTER_PX, SkyFrame
    from napari_sfh._qt.session import Session

    viewer, session = ViewerModel(), Session()
    session.set_result(result)
    frame = SkyFrame(viewer, session)
    counts = []
    for height, width in ((168, 550), (250, 825), (400, 500), (666, 1560)):
        viewer.canvas.size = height, width
        for zoom in np.geomspace(5, 80, 40):
            viewer.scene.camera.zoom = zoom
            frame.update()
            words = [word for word in frame.overlay.words if len(word[0]) > 1]
            counts.append(len(words))
            for k, (text, x, y) in enumerate(words):
                for other, other_x, other_y in words[:k]:
                    apart = abs(x - other_x) >= LETTER_PX * (len(text) + len(other)) / 2 or abs(y - other_y) >= 12
                    assert apart, (height, width, zoom, text, other)
    assert np.median(counts) > 2
    frame.release()
