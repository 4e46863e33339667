"""Screenshots of every state: ``xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_screenshots.py``.

Runs the bundled mock spiral in a real window, with real clicks, and writes docs/screenshots/*.png.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
os.environ["NAPARI_SFH_CONFIG"] = tempfile.mkdtemp()
(Path(os.environ["NAPARI_SFH_CONFIG"]) / "tour-seen").touch()
ROOT = Path(__file__).parents[1]
for folder in ("qt", "toys"):
    sys.path.insert(0, str(ROOT / "tests" / folder))
FOLDER = ROOT / "docs" / "screenshots"
LARGEST = 300_000
#: Width and height of the window in most pictures, and that of a small screen.
USUAL, SMALL = (1440, 900), (1280, 720)


def settle(seconds: float = 0.5) -> None:
    """Let the window come to rest."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait(condition: Any, seconds: float = 1800.0) -> None:
    """Turn the event loop until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the window did not reach the state to be shown")
        settle(0.02)


def shoot(viewer: Any, name: str) -> None:
    """Write one screenshot without napari's notices."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from PIL import Image
    from window_acts import window

    for notice in window(viewer).findChildren(NapariQtNotification):
        notice.close()
    settle()
    write(Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB"), name)


def shoot_dialog(dialog: Any, name: str) -> None:
    """Write a screenshot of a window of its own."""
    from PIL import Image

    settle()
    FOLDER.mkdir(parents=True, exist_ok=True)
    grabbed = FOLDER / f"{name}.png"
    dialog.grab().save(str(grabbed))
    with Image.open(grabbed) as picture:
        write(picture.convert("RGB"), name)


def write(picture: Any, name: str) -> None:
    """Write a picture, in 256 colours if it would be larger than `LARGEST` bytes."""
    from PIL import Image

    path = FOLDER / f"{name}.png"
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


def bright_bin(session: Any, fraction: float) -> int:
    """The bin at a fraction of the way from the brightest to the faintest."""
    order = np.argsort(session.result.data.snr)[::-1]
    return int(order[int(fraction * (order.size - 1))]) + 1


def run_states(viewer: Any, dock: Any) -> None:
    """Empty, loaded, running, cancelled, and an error."""
    shoot(viewer, "empty")
    dock.open_demo()
    wait(lambda: not dock.busy and dock.preflight.found is not None)
    shoot(viewer, "loaded")
    dock.run()
    wait(lambda: dock.stage.value.startswith(("Spectra", "Binning", "Summing", "Photometry")) or not dock.job.running)
    shoot(viewer, "running")
    dock.cancel()
    wait(lambda: not dock.job.running)
    shoot(viewer, "cancelled")
    cube = dock.data.cube.line_edit.value
    truth = next(Path(cube).parent.glob("*TRUTH*"))
    # No path of this machine in a picture.
    os.chdir(truth.parent)
    dock.data.cube.line_edit.value = truth.name
    wait(lambda: not dock.job.running)
    dock.run()
    wait(lambda: not dock.job.running)
    shoot(viewer, "error")
    dock.data.cube.line_edit.value = cube
    wait(lambda: not dock.job.running)


def result_states(viewer: Any, dock: Any, result: Path | None) -> None:
    """The result, a clicked bin, bins compared, four maps, hidden bins, a small screen, a light theme."""
    from window_acts import click, window

    if result is not None:
        dock.open(result)
    else:
        started = time.monotonic()
        dock.run()
        dock.wait()
        print(f"from Run to maps on the screen: {time.monotonic() - started:.1f} s")
    dock.wait()
    shoot(viewer, "result")
    click(viewer, dock.session, bright_bin(dock.session, 0.15))
    shoot(viewer, "bin")
    click(viewer, dock.session, bright_bin(dock.session, 0.7), shift=True)
    dock.panel.kind_field.value = "sfr"
    dock.show_map("MH_MW")
    shoot(viewer, "compare")
    dock.panel.kind_field.value = "mass"
    dock.session.clear_compared()
    dock.map.grid.value = True
    dock.wait()
    shoot(viewer, "four_maps")
    dock.map.grid.value = False
    dock.wait()
    dock.show_map("AGE_MW_ERR")
    dock.map.min_snr.value = 35
    shoot(viewer, "error_map")
    dock.map.min_snr.value = 0
    dock.show_map("AGE_LW")
    window(viewer).resize(*SMALL)
    settle()
    viewer.reset_view()
    shoot(viewer, "small_screen")
    window(viewer).resize(*USUAL)
    viewer.theme = "light"
    settle()
    viewer.reset_view()
    shoot(viewer, "light")
    viewer.theme = "dark"


def unfold(dock: Any, *names: str) -> None:
    """Open these sections and fold the others away."""
    for name, section in dock.sections.items():
        section.expand(name in names)
    settle(0.2)


def tool_states(viewer: Any, dock: Any, folder: Path) -> None:
    """The tools, each with its section open."""
    from window_acts import window

    from napari_sfh.analysis.regions import Outline

    tools, session = dock.tools, dock.session
    session.select(bright_bin(session, 0.3))
    dock.show_map("AGE_LW")
    unfold(dock, "composite")
    tools["composite"].toggle()
    dock.wait()
    tools["composite"].show_contours("HA6562", levels=4)
    dock.wait()
    shoot(viewer, "hst")
    tools["composite"].show_contours("none")
    tools["composite"].toggle()
    unfold(dock, "region")
    ny, nx = session.result.bins.bin_id.shape
    corners = np.array([[0.25, 0.3], [0.3, 0.65], [0.65, 0.6], [0.6, 0.25]])
    tools["region"].region.set_outlines([Outline(corners * [ny, nx])])
    shoot(viewer, "region")
    tools["region"].clear()
    unfold(dock, "posterior")
    tools["posterior"].draw()
    dock.wait()
    shoot_dialog(tools["posterior"]._window, "posterior")
    tools["posterior"]._window.hide()
    unfold(dock, "gradient")
    tools["gradient"].guess()
    dock.wait()
    tools["gradient"].form.ellipse.value = True
    tools["gradient"].fit()
    dock.wait()
    shoot(viewer, "gradient")
    tools["gradient"].form.ellipse.value = False
    unfold(dock, "compare")
    tools["compare"].load_truth()
    dock.wait()
    tools["compare"].form.difference.value = True
    dock.wait()
    shoot(viewer, "truth")
    tools["compare"].form.difference.value = False
    unfold(dock, "ppxf")
    tools["ppxf"].fit()
    dock.wait()
    shoot(viewer, "ppxf")
    unfold(dock, "lines")
    tools["lines"].load(None)
    dock.wait()
    settle()
    tools["lines"].plot()
    shoot(viewer, "lines")
    dock.show_map("AGE_LW")
    zoom = viewer.scene.camera.zoom
    window(viewer).resize(*SMALL)
    unfold(dock, "gradient")
    dock.docks.to_front("Gradient")
    settle()
    viewer.scene.camera.zoom = 0.65 * zoom
    shoot(viewer, "small_screen_tools")
    window(viewer).resize(*USUAL)
    settle()
    viewer.scene.camera.zoom = zoom
    workspace_states(viewer, dock, folder)


def workspace_states(viewer: Any, dock: Any, folder: Path) -> None:
    """All kept in a workspace and brought back, once with a file that has gone."""
    from napari_sfh.io.results import write_result

    os.chdir(folder)
    tools = dock.tools
    tools["lines"].show("none")
    other = write_result(dock.session.result, folder / "other_run.fits")
    tools["compare"].load(other)
    dock.wait()
    dock.docks.to_front("pPXF and network")
    dock.save_workspace("mock_spiral.json")
    dock.wait()
    unfold(dock, "export")
    dock.open("mock_spiral.json")
    dock.wait()
    shoot(viewer, "workspace")
    other.rename("gone.fits")
    dock.open("mock_spiral.json")
    dock.wait()
    # No path of this machine in a picture.
    dock.show_message(dock.message.text().replace(f"{folder}/", ""), error=True)
    shoot(viewer, "workspace_missing")


def main() -> None:
    """Write all screenshots; a result of the mock spiral as first argument spares its run, and the pictures of it."""
    import napari
    from window_acts import open_explorer, window

    FOLDER.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True)
    window(viewer).resize(*USUAL)
    dock = open_explorer(viewer)
    wait(lambda: not dock.cards.reading)
    result = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    if result is None:
        run_states(viewer, dock)
    else:
        dock.open_demo()
        dock.wait()
    result_states(viewer, dock, result)
    tool_states(viewer, dock, Path(tempfile.mkdtemp()))
    viewer.close()


if __name__ == "__main__":
    main()
