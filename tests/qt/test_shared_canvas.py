"""What several tools do on one canvas at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components.overlays import ScaleBarOverlay
from napari.layers import Image as ImageLayer
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QRegion
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from vispy.gloo import gl
from vispy.scene import SceneCanvas, ViewBox, Widget
from vispy.visuals.transforms import MatrixTransform, STTransform
from window_acts import bin_world, click, drag, idle, native_canvas, open_explorer, scene_canvas, screen_point

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, get_layer_link
from napari_sfh._qt.canvas.legend_overlay import Picture, set_cell_sizes
from napari_sfh._qt.canvas.pointer_overlay import ViewPlace
from napari_sfh._qt.canvas.scene_batch import (
    KeptPicture,
    VispyLateImage,
    find_kept_picture,
    get_max_texture_sizes,
    make_image_drawing,
    make_labels_drawing,
)
from napari_sfh._qt.canvas.selection_overlay import Outlines
from napari_sfh._qt.canvas.shown_map import NOTHING
from napari_sfh._qt.canvas.sky_axes import SkyBar


def find_layer(viewer: Any, role: str) -> Any:
    """The layer of ours with a role."""
    links = ((layer, get_layer_link(layer.metadata)) for layer in viewer.layers)
    return next(layer for layer, link in links if link is not None and link.role == role)


def test_a_circle_that_is_dragged_leaves_the_ellipse_of_the_disc_where_it_is(qtbot: Any, shown: Any) -> None:
    viewer, cube, gradient = shown.viewer, shown.tools["cube"], shown.tools["gradient"]
    gradient.guess()
    shown.finish(60)
    gradient.form.ellipse.value = True
    shown.wait()
    disc = find_layer(viewer, "disc")
    viewer.layers.selection.active = disc
    assert str(disc.mode) == "select"
    before, centre = np.array(disc.data[0]), gradient.form.centre.value
    cube.apertures.set_sky(shown.session.sky, shown.session.result.bins.bin_id.shape)
    middle = bin_world(shown.session, 8)
    ends = [screen_point(viewer, middle), screen_point(viewer, middle + np.array([0.0, 2.0]))]
    drag(native_canvas(viewer), ends, modifier=Qt.KeyboardModifier.ControlModifier)
    assert len(cube.apertures.list_polygons()) == 1
    np.testing.assert_array_equal(disc.data[0], before)
    assert gradient.form.centre.value == centre
    assert (str(disc.mode), set(disc.selected_data)) == ("select", {0}), "the ellipse can be dragged as before"
    cube.apertures.set_sky(None)


def test_a_mouse_that_moves_while_four_maps_come_is_heard_when_they_are_there(qtbot: Any, shown: Any) -> None:
    viewer, display = shown.viewer, shown.stack.display
    text = viewer.canvas.overlays["sfh_radec"]
    QTest.mouseMove(native_canvas(viewer), screen_point(viewer, bin_world(shown.session, 8)))
    qtbot.waitUntil(lambda: text.visible)
    cells, maps = display.list_grid_steps()
    cells()
    assert display.is_arranging_grid
    was = text.text
    QTest.mouseMove(native_canvas(viewer), screen_point(viewer, bin_world(shown.session, 3)))
    QTest.qWait(50)
    assert text.text == was
    viewer.mouse_over_canvas = True
    viewer.mouse_over_canvas = False
    assert text.visible, "the canvas has no room for it to go yet"
    maps()
    shown.wait()
    assert display.is_grid
    shown.refresh_cursor()
    assert not text.visible
    display.toggle_grid(False)
    shown.wait()


def test_a_mouse_that_moves_before_the_canvas_has_taken_four_maps_over_is_heard(qtbot: Any, shown: Any) -> None:
    """The maps have their cells, but the scene is put together in the next turn: napari has no legends for them yet."""
    viewer, display = shown.viewer, shown.stack.display
    text = viewer.canvas.overlays["sfh_radec"]
    place = screen_point(viewer, bin_world(shown.session, 8))
    QTest.mouseMove(native_canvas(viewer), place)
    qtbot.waitUntil(lambda: text.visible)
    was = text.text
    cells, maps = display.list_grid_steps()
    cells()
    with shown.stack.scene.hold():  # as each step of the queue is
        maps()
        assert display.is_grid
        for step in (2, 4, 6):
            QTest.mouseMove(native_canvas(viewer), place + QPoint(step, step))
            QTest.qWait(50)  # an error in a callback of the mouse fails the test
    shown.wait()
    assert viewer.canvas.grid.stride == -1
    QTest.mouseMove(native_canvas(viewer), place)
    qtbot.waitUntil(lambda: text.text != was)
    display.toggle_grid(False)
    shown.wait()


def list_views(node: Any) -> list[Any]:
    """All views below a node of vispy's scene."""
    below = [view for child in node.children for view in list_views(child)]
    return [node, *below] if isinstance(node, ViewBox) else below


def list_legends_and_outlines(viewer: Any) -> tuple[list[int], list[int]]:
    """Ids of the legends that can be seen, and of the outlines of bins, in the order of the views."""
    views = list_views(scene_canvas(viewer).scene)
    legends = [node for view in views for node in view.children if isinstance(node, Picture)]
    outlines = [node for view in views for node in view.scene.children if isinstance(node, Outlines)]
    return [id(node) for node in legends if node.visible], [id(node) for node in outlines if node.visible]


def test_what_is_drawn_in_the_cells_of_four_maps_is_kept_for_the_next_time(qtbot: Any, shown: Any) -> None:
    """napari ends it in three cells with the grid; made anew it took half of the time of four maps."""
    shown.session.select(8)
    drawn = {True: ([], []), False: ([], [])}
    for on in (True, False, True, False):
        shown.map.grid.value = on
        shown.wait()
        legends, outlines = list_legends_and_outlines(shown.viewer)
        assert len(legends) == len(outlines) == (4 if on else 1)
        assert drawn[on] in (([], []), (legends, outlines))
        drawn[on] = legends, outlines
    assert not set(drawn[True][0]) & set(drawn[False][0])


@pytest.mark.parametrize("end", ["button", "eye"])
def test_four_maps_come_again_with_all_legends_whatever_ended_them(qtbot: Any, shown: Any, end: str) -> None:
    """Where napari has ended what was drawn in some cells, it is made again before anything is placed."""
    viewer, display = shown.viewer, shown.stack.display
    shown.session.select(8)
    for _ in range(2):
        shown.map.grid.value = True
        shown.wait()
        assert list(map(len, list_legends_and_outlines(viewer))) == [4, 4]
        if end == "button":
            viewer.canvas.grid.enabled = False
        else:
            shown.stack.find("map", "MH_LW").visible = False
            shown.map.grid.value = False
        shown.wait()
        assert not display.is_grid
        assert list(map(len, list_legends_and_outlines(viewer))) == [1, 1]


def test_the_window_is_painted_after_a_change_from_one_map_by_age_to_another(qtbot: Any, shown: Any) -> None:
    def see() -> Any:
        return QApplication.primaryScreen().grabWindow(0).toImage()

    shown.map.quantity.value = "MASS_AGE"
    shown.wait()
    QTest.qWait(500)
    shown.map.quantity.value = "MASS_YOUNGER"
    shown.wait()
    QTest.qWait(500)
    before = see()
    click(shown.viewer, shown.session, 3)
    qtbot.waitUntil(lambda: see() != before, timeout=10_000)
    shown.show_map("AGE_LW")
    shown.wait()


@pytest.mark.painted
def test_the_scale_bar_stays_where_it_is_when_another_map_is_shown(qtbot: Any, shown: Any) -> None:
    """napari paints a second picture where an overlay has moved since the first: its bar always had, by rounding."""
    view = list_views(scene_canvas(shown.viewer).scene)[0]
    (bar,) = (node for node in view.children if type(node).__name__ == "ScaleBar")
    moved: list[Any] = []
    bar.transform.changed.connect(moved.append)
    for name in ("AGE_MW", "MH_LW"):
        shown.show_map(name)
        QTest.qWait(400)
    bar.transform.changed.disconnect(moved.append)
    assert not moved
    assert bar.transform.translate[0] > 0


def climb_to_view(node: Any) -> Any:
    """The view that a visual is in."""
    while node is not None and not isinstance(node, ViewBox):
        node = node.parent
    return node


def test_the_view_under_the_mouse_is_the_one_that_the_graphics_card_finds(qtbot: Any, shown: Any) -> None:
    """vispy draws all anew for its answer; ours follows from the rectangles."""
    native = native_canvas(shown.viewer)
    canvas = scene_canvas(shown.viewer)
    shown.map.grid.value = True
    shown.wait()
    for grid in (True, False):
        shown.map.grid.value = grid
        shown.wait()
        qtbot.waitUntil(lambda grid=grid: shown.stack.display.is_grid == grid)
        QTest.mouseMove(native, screen_point(shown.viewer, bin_world(shown.session, 8)))
        x, y = np.meshgrid(np.linspace(0.06, 0.94, 6) * native.width(), np.linspace(0.06, 0.94, 4) * native.height())
        places = list(zip(x.flat, y.flat, strict=True))
        found = [canvas.visual_at(place) for place in places]
        expected = [climb_to_view(SceneCanvas.visual_at(canvas, place)) for place in places]
        assert [id(view) for view in found] == [id(view) for view in expected]
        assert len({id(view) for view in found} - {id(None)}) == (4 if grid else 1)


@pytest.mark.painted
def test_a_canvas_is_left_as_it_was_made(qtbot: Any, make_viewer: Any, result: Any) -> None:
    viewer = make_viewer()
    dock = open_explorer(viewer)
    dock.show_result(result)
    idle(dock)
    canvas, middle = scene_canvas(viewer), np.array([native_canvas(viewer).width(), native_canvas(viewer).height()]) / 2
    QTest.mouseMove(native_canvas(viewer), screen_point(viewer, bin_world(dock.session, 8)))
    qtbot.waitUntil(lambda: viewer.canvas.overlays["sfh_radec"].visible)
    assert isinstance(canvas.visual_at(middle), ViewBox)
    assert "visual_at" in vars(canvas)
    view = canvas.visual_at(middle)
    place = view.transform
    assert isinstance(place, ViewPlace)
    viewer.canvas.overlays.scale_bar.ticks = False
    assert type(viewer.canvas.overlays.scale_bar) is SkyBar
    dock.release()
    bar = viewer.canvas.overlays.scale_bar
    assert (type(bar), bar.visible, bar.ticks) == (ScaleBarOverlay, True, False)
    assert type(view.transform) is STTransform
    assert np.array_equal(view.transform.translate, place.translate)
    assert "sfh_radec" not in viewer.canvas.overlays
    assert canvas.visual_at.__func__ is SceneCanvas.visual_at


def test_new_cells_have_their_size_before_they_are_painted() -> None:
    """vispy lays them out as it paints: the first picture was a few spaxels that filled a cell with one colour."""
    grid = Widget(size=(400, 300)).add_grid()
    cells = [grid[row, column] for row in (0, 1) for column in (0, 1)]
    assert min(cells[3].rect.size) < 20
    set_cell_sizes(cells[3])
    assert [cell.rect.size for cell in cells] == [pytest.approx((200, 150), rel=0.1)] * 4
    set_cell_sizes(None)


@pytest.mark.parametrize("scale", [(1, 1, 1, 1), (2, 3, 4, 1)])
@pytest.mark.parametrize("translate", [(0, 0, 0, 0), (310, 7, 0, 0)])
def test_the_place_of_a_view_multiplies_as_that_of_vispy(scale: tuple[int, ...], translate: tuple[int, ...]) -> None:
    vispys = STTransform(scale=scale, translate=translate)
    place = ViewPlace(vispys)
    camera = MatrixTransform()
    corners = np.array([[0, 0, 0, 1], [10, 20, 3, 1.0]])
    for zoom in (0.5, 40.0):
        camera.scale((zoom, -zoom, zoom))
        camera.translate((11, 12, 13))
        product = place * camera
        assert product is place * camera
        assert product.map(corners) == pytest.approx((vispys * camera).map(corners), rel=1e-6)
        assert product.imap(corners) == pytest.approx((vispys * camera).imap(corners), rel=1e-5)
    place.translate = vispys.translate = (5, 6, 0, 0)
    assert (place * camera).map(corners) == pytest.approx((vispys * camera).map(corners), rel=1e-6)
    assert (place * vispys).map(corners) == pytest.approx((vispys * vispys).map(corners), rel=1e-6)
    camera.set_perspective(45, 1.3, 0.1, 100)
    assert (place * camera).map(corners) == pytest.approx((vispys * camera).map(corners), rel=1e-6)


def test_words_under_the_mouse_need_no_new_shader(qtbot: Any, shown: Any, monkeypatch: Any) -> None:
    viewer = shown.viewer
    text = viewer.canvas.overlays["sfh_radec"]
    linked: list[Any] = []
    link = gl.glLinkProgram
    monkeypatch.setattr(gl, "glLinkProgram", lambda program: (linked.append(program), link(program))[1])
    said = set()
    for bin_id in (8, 3, 5, 1):
        QTest.mouseMove(native_canvas(viewer), screen_point(viewer, bin_world(shown.session, bin_id)))
        qtbot.waitUntil(lambda bin_id=bin_id: text.visible and f"bin {bin_id}:" in text.text)
        QTest.qWait(50)
        if not said:
            linked.clear()  # the first text is drawn by what is made for it
        said.add(text.text)
    assert len(said) == 4
    assert linked == []


def test_the_box_behind_the_words_reaches_around_them(qtbot: Any, shown: Any) -> None:
    viewer = shown.viewer
    text = viewer.canvas.overlays["sfh_radec"]
    text.box_color = (1, 0, 0, 1)
    text.color = (0, 1, 0, 1)
    sizes = []
    for bin_id in (8, 3):
        QTest.mouseMove(native_canvas(viewer), screen_point(viewer, bin_world(shown.session, bin_id)))
        qtbot.waitUntil(lambda bin_id=bin_id: text.visible and f"bin {bin_id}:" in text.text)
        text.text = text.text + "\nand a third line, longer than the others" * (bin_id == 3)
        QTest.qWait(50)
        red, green, blue = np.moveaxis(np.asarray(viewer.screenshot(flash=False)).astype(int)[..., :3], -1, 0)
        box, letters = (np.argwhere(ink) for ink in (red - blue - green > 200, green - red - blue > 150))
        assert (box.min(0) <= letters.min(0)).all()
        assert (box.max(0) >= letters.max(0)).all()
        room = np.ptp(box, axis=0) - np.ptp(letters, axis=0)
        assert (room < 40).all(), "no more than the words need"
        sizes.append(np.ptp(box, axis=0))
    assert (sizes[1] > sizes[0]).all()
    text.box_color = text.color = None


class _PaintedAreas(QObject):
    """What is painted of a widget, children left out."""

    def __init__(self, widget: Any) -> None:
        super().__init__(widget)
        self.area = QRegion()
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.area = self.area.united(event.region())
        return False


@pytest.mark.painted
def test_nothing_is_painted_behind_the_canvas_when_plots_and_map_change_together(qtbot: Any, shown: Any) -> None:
    native = native_canvas(shown.viewer)
    behind = native.parentWidget()
    window = native.window()
    watched = {each: _PaintedAreas(each) for each in (behind, window)}
    QTest.qWait(50)
    for each in watched.values():
        each.area = QRegion()
    shown.session.select(9)
    shown.session.select(8)
    qtbot.waitUntil(lambda: not watched[window].area.isEmpty())
    for widget, seen in watched.items():
        place = QRect(native.mapTo(widget, QPoint(0, 0)), native.size())
        assert seen.area.intersected(QRegion(place)).isEmpty()
    # Yet the canvas can be seen: Qt leaves a hole for it in the picture of the window.
    picture = window.grab(QRect(native.mapTo(window, QPoint(0, 0)), native.size())).toImage()
    colors = {picture.pixel(x, y) for x in range(0, picture.width(), 7) for y in range(0, picture.height(), 7)}
    assert len(colors) > 10


@pytest.mark.painted
def test_the_corners_of_a_layer_follow_the_camera_its_data_and_its_place(qtbot: Any, shown: Any) -> None:
    viewer, camera = shown.viewer, shown.viewer.scene.camera
    layer = find_layer(viewer, "bins")
    hidden = next(each for each in viewer.layers if not each.visible)

    def look() -> Any:
        viewer.screenshot(flash=False)
        return np.array(layer.corner_pixels)

    whole, zoom, centre = look(), camera.zoom, camera.center
    np.testing.assert_array_equal(whole, [[0, 0], np.array(layer.data.shape) - 1])
    camera.zoom = 10 * zoom
    part = look()
    assert (np.ptp(part, axis=0) < np.ptp(whole, axis=0) / 2).all()
    np.testing.assert_array_equal(look(), part)
    np.testing.assert_array_equal(hidden.corner_pixels, part)
    step = layer.extent.step[0]
    layer.translate = layer.translate + 4 * step
    moved = look()
    assert not np.array_equal(moved, part)
    layer.translate = layer.translate - 4 * step
    np.testing.assert_array_equal(look(), part)
    camera.center, camera.zoom = centre, zoom
    np.testing.assert_array_equal(look(), whole)


#: napari's own drawing of an image.
PlainImage: Any = VispyLateImage.__base__


def describe_drawing(drawing: Any) -> tuple[Any, ...]:
    """What draws a layer, where and how."""
    node = drawing.node
    colors = node.cmap.map(np.linspace(0, 1, 9)[:, None])
    place = np.round(node.transform.matrix, 12).tolist()
    return (
        type(node),
        place,
        node.visible,
        node.opacity,
        tuple(node.clim),
        node.gamma,
        node.interpolation,
        colors.tolist(),
    )


CHANGES: dict[str, Any] = {
    "nothing": lambda layer: None,
    "limits": lambda layer: setattr(layer, "contrast_limits", (0.1, 0.7)),
    "colours": lambda layer: setattr(layer, "colormap", "magma"),
    "opacity": lambda layer: setattr(layer, "opacity", 0.4),
    "gamma": lambda layer: setattr(layer, "gamma", 0.6),
    "hidden": lambda layer: setattr(layer, "visible", False),
    "place": lambda layer: setattr(layer, "translate", (3.0, 4.0)),
    "units": lambda layer: setattr(layer, "units", ("degree", "degree")),
    "tiles": lambda layer: setattr(layer, "data", np.zeros((2, get_max_texture_sizes()[0] + 1), np.float32)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_of_ours_is_drawn_as_napari_draws_it(shown: Any, change: str) -> None:
    link = LayerLink("map", "AGE_LW")
    layer = ImageLayer(np.random.default_rng(1).random((5, 7), np.float32), units=("arcsec",) * 2, metadata={KEY: link})
    ours, theirs = make_image_drawing(layer, font_info=None), PlainImage(layer, font_info=None)
    assert isinstance(ours, VispyLateImage)
    for drawing in (ours, theirs):
        drawing.world_units = layer.units
    world = layer.units
    assert describe_drawing(ours) == describe_drawing(theirs)
    CHANGES[change](layer)
    for drawing in (ours, theirs):
        drawing.world_units = world
    assert describe_drawing(ours) == describe_drawing(theirs)


@pytest.mark.painted
def test_a_volume_of_ours_is_drawn_as_napari_draws_it(qtbot: Any, shown: Any) -> None:
    viewer, pictures = shown.viewer, []
    data = np.random.default_rng(1).random((3, 4, 5), np.float32)
    for metadata in ({KEY: LayerLink("white")}, {}):
        layer = viewer.add_image(data, metadata=metadata)
        viewer.dims.ndisplay = 3
        pictures.append(viewer.screenshot(flash=False))
        viewer.dims.ndisplay = 2
        viewer.layers.remove(layer)
    np.testing.assert_array_equal(*pictures)
    assert len(np.unique(pictures[0].reshape(-1, 4), axis=0)) > 10


@pytest.mark.painted
def test_labels_that_cannot_be_seen_are_not_drawn_until_they_can(qtbot: Any, shown: Any) -> None:
    viewer, bins = shown.viewer, find_layer(shown.viewer, "bins")
    assert (bins.visible, bins.opacity) == (True, 0.0)
    shown.stack.display.show(NOTHING)  # the maps lie above
    assert not make_labels_drawing(bins, font_info=None).node.visible
    pictures = []
    for opacity, visible in ((0.0, True), (0.7, True), (0.7, False), (0.0, False), (0.0, True)):
        bins.opacity, bins.visible = opacity, visible
        pictures.append(viewer.screenshot(flash=False))
        assert make_labels_drawing(bins, font_info=None).node.visible == (visible and opacity > 0)
    for other in (2, 3, 4):
        np.testing.assert_array_equal(pictures[0], pictures[other])
    assert not np.array_equal(pictures[0], pictures[1]), "labels can be seen"


def test_images_of_others_are_drawn_by_napari(shown: Any) -> None:
    drawing = make_image_drawing(ImageLayer(np.zeros((2, 2), np.float32)), font_info=None)
    assert type(drawing) is PlainImage


def grab_pixels(viewer: Any) -> np.ndarray:
    """What the canvas shows, (ny, nx, 4)."""
    picture = native_canvas(viewer).grabFramebuffer()
    bits = picture.constBits()
    bits.setsize(picture.sizeInBytes())
    return np.frombuffer(bits, np.uint8).reshape(picture.height(), -1, 4)[:, : picture.width()].copy()


def check_picture(viewer: Any, kept: KeptPicture) -> None:
    """The canvas looks as if all was drawn in its order."""
    seen = grab_pixels(viewer)
    tops, kept.tops = kept.tops, []  # all by vispy
    scene_canvas(viewer).update()
    plain = grab_pixels(viewer)
    kept.tops = tops
    scene_canvas(viewer).update()
    QApplication.processEvents()
    np.testing.assert_array_equal(seen, plain)


@pytest.mark.painted
def test_a_click_draws_the_outline_alone_and_the_canvas_looks_as_if_all_was_drawn(shown: Any) -> None:
    viewer, kept = shown.viewer, find_kept_picture(scene_canvas(shown.viewer))
    assert kept is not None
    shown.session.select(1)
    QApplication.processEvents()
    quick = kept.n_quick
    for bin_id in (6, 11, 8):
        whole = kept.n_whole
        shown.session.select(bin_id)
        QApplication.processEvents()
        assert kept.n_whole == whole, "all was drawn"
        check_picture(viewer, kept)
    assert kept.n_quick >= quick + 3
    centre, zoom = viewer.scene.camera.center, viewer.scene.camera.zoom
    shown.show_map("MH_LW")  # what is not an outline has changed
    idle(shown)
    check_picture(viewer, kept)
    viewer.scene.camera.zoom = 3 * zoom
    QApplication.processEvents()
    check_picture(viewer, kept)
    viewer.scene.camera.zoom, viewer.scene.camera.center = zoom, centre


@pytest.mark.painted
def test_an_outline_below_the_legend_is_drawn_in_its_order(shown: Any) -> None:
    viewer, kept = shown.viewer, find_kept_picture(scene_canvas(shown.viewer))
    assert kept is not None
    camera = viewer.scene.camera
    centre, zoom = camera.center, camera.zoom
    shown.session.select(6)
    half = np.array(viewer.canvas.size) / 2 / zoom
    dec, ra = bin_world(shown.session, 8)
    camera.center = (dec - half[0] + 30 / zoom, ra - half[1] + 60 / zoom)  # bin 8 into the upper left corner
    QApplication.processEvents()
    whole = kept.n_whole
    shown.session.select(8)
    QApplication.processEvents()
    assert kept.n_whole > whole
    check_picture(viewer, kept)
    camera.zoom, camera.center = zoom, centre
