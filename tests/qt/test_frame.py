"""The dock's outer part: what a run says while it goes on."""

from __future__ import annotations

from typing import Any

from napari_sfh._qt.docks.explorer_frame import ExplorerFrame
from napari_sfh.prep.kinematics.stellar_kinematics import describe_ppxf_time
from napari_sfh.types import Progress


def test_a_sentence_that_stays_is_told_in_the_words_of_the_window(qtbot: Any) -> None:
    frame = ExplorerFrame("Open a galaxy")
    qtbot.addWidget(frame)
    frame.show_progress(Progress("spectra", 1, 3), cancelling=False)
    assert frame.message.text() == "Open a galaxy"
    warning = describe_ppxf_time(16_700)
    assert warning is not None
    frame.show_progress(Progress(warning, 0, 0, stays=True), cancelling=False)
    frame.show_progress(Progress("stellar kinematics", 1, 16_700), cancelling=False)
    assert frame.stage.value == "Stellar kinematics 1/16700…"
    assert frame.message.text().startswith("pPXF fits 16700 spectra, about 8 min; faster: ")
    assert "(“V and σ” V,SIGMA), or a larger “Target S/N”" in frame.message.text()
    assert "--" not in frame.message.text()
