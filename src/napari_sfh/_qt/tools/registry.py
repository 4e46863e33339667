"""The explorer's tools, in the order of their sections. To add one, see `tools`."""

from __future__ import annotations

from napari_sfh._qt.tools.base import Tool
from napari_sfh._qt.tools.colour_image import ColourImageTool
from napari_sfh._qt.tools.compare import ComparisonTool
from napari_sfh._qt.tools.cube_explorer import CubeTool
from napari_sfh._qt.tools.emission_lines import LineTool
from napari_sfh._qt.tools.gradient import GradientTool
from napari_sfh._qt.tools.maps import MapTool
from napari_sfh._qt.tools.notes import NotesTool
from napari_sfh._qt.tools.posterior import PosteriorTool
from napari_sfh._qt.tools.ppxf import PpxfTool
from napari_sfh._qt.tools.region import RegionTool

TOOLS: tuple[type[Tool], ...] = (
    CubeTool,
    MapTool,
    ColourImageTool,
    LineTool,
    RegionTool,
    GradientTool,
    PosteriorTool,
    ComparisonTool,
    PpxfTool,
    NotesTool,
)
