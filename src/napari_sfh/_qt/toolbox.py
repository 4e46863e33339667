"""The explorer's tools, in the order of their sections. To add one, see `tools`."""

from __future__ import annotations

from napari_sfh._qt.map_tool import MapTool
from napari_sfh._qt.region import RegionTool
from napari_sfh._qt.tools import Tool

TOOLS: tuple[type[Tool], ...] = (MapTool, RegionTool)
