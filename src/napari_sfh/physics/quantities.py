"""The scalar quantities of a stellar population: name, title, unit and colours, stated once."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from astropy import units as u

from napari_sfh.physics.means import MEAN_NAMES


@dataclass(frozen=True)
class Quantity:
    """One scalar.

    Attributes
    ----------
    name : str
        Key of `types.Prediction.quantiles`, of labels and of tables.
    title : str
        For menus, axes and headings.
    unit : str
        Empty if it has none; ``log yr`` is log10 of years.
    colormap : str
        Perceptually uniform; known to napari and Matplotlib alike.
    map_name : str
        Extension of the result file; empty where it has none.
    """

    name: str
    title: str
    unit: str
    colormap: str = "viridis"
    map_name: str = ""

    @property
    def error_unit(self) -> str:
        """Unit of a difference or an error: dex for logarithms."""
        return "dex" if self.unit.startswith("log") else self.unit

    @property
    def label(self) -> str:
        """Title with unit, such as ``LW age (log yr)``."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


_ALL = (
    Quantity("lg_age_lw", "LW age", "log yr", "viridis", "AGE_LW"),
    Quantity("lg_age_mw", "MW age", "log yr", "viridis", "AGE_MW"),
    Quantity("mh_lw", "LW [M/H]", "dex", "plasma", "MH_LW"),
    Quantity("mh_mw", "MW [M/H]", "dex", "plasma", "MH_MW"),
    Quantity("ebv", "E(B−V)", "mag", "inferno", "EBV"),
    Quantity("tau_ism", "τ diffuse dust", "", "inferno"),
    Quantity("tau_bc", "τ birth clouds", "", "inferno"),
    Quantity("lg_ml_v", "log M/L V", "dex", "cividis"),
    *(Quantity(f"t{p}", f"t{p}", "Gyr") for p in range(10, 100, 10)),
    Quantity("lg_age", "Age", "log yr"),
    Quantity("age_lw_gyr", "LW mean age", "Gyr"),
    Quantity("age_mw_gyr", "MW mean age", "Gyr"),
)
#: All of them by name; the four means first, in the order of menus and maps.
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}
#: The four means in the order of menus and maps.
MEANS: tuple[Quantity, ...] = tuple(quantity for quantity in _ALL if quantity.name in MEAN_NAMES)


def format_fits_unit(unit: str) -> str:
    """A unit as astropy and readers of FITS files understand it: ``log yr`` is ``dex(yr)``.

    Parameters
    ----------
    unit : str
        As on a colorbar; of a spaxel's flux the spaxel is left out.

    Returns
    -------
    str
        Empty for what is no unit.

    Examples
    --------
    >>> [format_fits_unit(unit) for unit in ("log yr", "km/s", "1 = warning")]
    ['dex(yr)', 'km / s', '']
    """
    text = unit.removesuffix(", by age").removesuffix(" per spaxel").translate(_RAISED)
    text = re.sub(r"^10(-\d+)", r"1e\1", text).replace("M☉", "Msun").replace("L☉", "Lsun").replace("Å", "Angstrom")
    plain = text.removeprefix("log ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        parsed = u.Unit(plain if plain == text else f"dex({plain})", parse_strict="silent")
    known = not isinstance(parsed, u.UnrecognizedUnit) and parsed != u.dimensionless_unscaled
    return str(parsed.to_string()) if known else ""


_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
