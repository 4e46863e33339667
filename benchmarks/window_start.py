"""How long ``napari-sfh demo`` takes until its window and its maps are painted; without a screen under ``xvfb-run -a``.

The command runs in a process of its own, which imports nothing before it but Qt and the clock: seconds count from the
call of that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: When the call was made, for the process that is timed.
_CALLED = "BENCH_CALLED"


def measure_start() -> dict[str, float]:
    """Seconds from the call of ``napari-sfh demo`` until its window and its maps are painted, clock and processor."""
    with tempfile.TemporaryDirectory() as folder:
        started = {**os.environ, _CALLED: str(time.time()), "NAPARI_SFH_CONFIG": folder}
        started["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        (Path(folder) / "tour-seen").touch()
        out = subprocess.run([sys.executable, __file__], env=started, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(out.strip().splitlines()[-1])
    return found


def start_demo() -> None:
    """The command, and when its window and its maps were painted."""
    from window_meter import settle, start_application, wait

    application, called = start_application(), float(os.environ[_CALLED])
    import napari

    from napari_sfh import cli

    found: dict[str, float] = {}

    def note(name: str, when: tuple[float, float]) -> None:
        found[f"{name}, clock"], found[f"{name}, processor"] = round(when[0] - called, 2), round(when[1], 2)

    def run_loop() -> None:
        from napari_sfh._qt.explorer import Explorer

        names = {"first paint": "CanvasBackendDesktop", "explorer painted": "Explorer"}
        wait(lambda: set(names.values()) <= set(application.first_paint))
        for name, painted in names.items():
            note(name, application.first_paint[painted])
        dock = next(w for w in application.allWidgets() if isinstance(w, Explorer))
        wait(lambda: dock.session.result is not None and not dock.loading)
        settle(0.1)
        note("demo's maps", (time.time(), time.process_time()))
        print(json.dumps(found), flush=True)
        os._exit(0)

    napari.run = run_loop
    cli.main(["demo"])


if __name__ == "__main__":
    if _CALLED in os.environ:
        start_demo()
    else:
        print(*(f"{name}: {seconds} s" for name, seconds in measure_start().items()), sep="\n")
