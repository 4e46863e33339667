"""The explorer's tools, in the order of their sections. To add one, see `tools`."""

from __future__ import annotations

from napari_sfh._qt.comparison import ComparisonTool
from napari_sfh._qt.composite import CompositeTool
from napari_sfh._qt.corner import CornerTool
from napari_sfh._qt.gradient import GradientTool
from napari_sfh._qt.lines import LineTool
from napari_sfh._qt.map_tool import MapTool
from napari_sfh._qt.notes import NotesTool
from napari_sfh._qt.ppxf_tool import PpxfTool
from napari_sfh._qt.region import RegionTool
from napari_sfh._qt.tools import Tool

TOOLS: tuple[type[Tool], ...] = (
    MapTool,
    CompositeTool,
    LineTool,
    RegionTool,
    GradientTool,
    CornerTool,
    ComparisonTool,
    PpxfTool,
    NotesTool,
)
