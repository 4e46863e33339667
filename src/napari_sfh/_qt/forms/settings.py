"""The explorer's settings in napari's own preferences (typed in the manifest), and the way they fill the forms."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-sfh"


def get_run_settings() -> Any:
    """The evented settings ``run`` of the manifest, or None where napari has not loaded the manifest."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN).run
    except (KeyError, AttributeError, ValueError):
        return None


def apply_settings(explorer: Any) -> None:
    """Fill the forms from the preferences."""
    saved = get_run_settings()
    if saved is not None:
        explorer.binning.target_snr.value = saved.target_snr
        explorer.binning.method.value = saved.binning
        explorer.network.device.value = saved.device


def store_settings(explorer: Any) -> None:
    """Remember the forms' choices for the next session."""
    saved = get_run_settings()
    if saved is not None:
        saved.target_snr = explorer.binning.target_snr.value
        if explorer.binning.method.value in ("auto", "vorbin", "powerbin"):
            saved.binning = explorer.binning.method.value
        saved.device = explorer.network.device.value
