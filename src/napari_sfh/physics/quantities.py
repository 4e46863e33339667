"""The scalar quantities of a stellar population: name, title, unit and colours, stated once."""

from __future__ import annotations

from dataclasses import dataclass

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
