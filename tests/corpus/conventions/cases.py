"""All cases of other people's conventions, always in the same order."""

from __future__ import annotations

from inputs import CUBE, MOSAIC
from mutations import Case

from conventions.containers import list_file_cases
from conventions.flux_units import list_unit_cases
from conventions.layouts import list_layout_cases
from conventions.maps import list_map_cases
from conventions.mosaics import list_mosaic_cases
from conventions.pixel_values import list_number_cases
from conventions.sky import list_sky_cases
from conventions.spectral_axes import list_axis_cases


def list_convention_cases() -> list[Case]:
    """Every case of this folder."""
    makers = (
        list_axis_cases(), list_number_cases(), list_layout_cases(), list_sky_cases("cube", CUBE),
        list_sky_cases("mosaic", MOSAIC), list_unit_cases(), list_file_cases(), list_mosaic_cases(), list_map_cases(),
    )  # fmt: skip
    return [case for maker in makers for case in maker]
