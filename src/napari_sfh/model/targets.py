"""What the network predicts, as one vector of numbers, and every quantity that follows from it.

The vector y of an object has 35 entries: the square roots of the 16 V-light fractions, the 16 [M/H], the diffuse
optical depth, the logarithm of the birth clouds' one, and the slope of the attenuation. Square roots, because they
make a fraction of zero an ordinary point (no logarithm of nothing), lie on the unit sphere, and have about the
same error whatever the fraction; any vector maps back to fractions that are positive and sum to one,
f = s^2 / sum s^2.

Mass follows from light through the basis' intrinsic V-band light per mass formed, L(age bin, [M/H]):
mass_i ~ light_i / L_i. It is never predicted on its own, since half a per cent of mass put into a young bin
by mistake would rule the light-weighted ages.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from napari_sfh.physics.ages import LG_AGE_YR, N_AGE
from napari_sfh.physics.dust import MAG_PER_TAU
from napari_sfh.physics.template_basis import TemplateBasis

#: Entries of the vector.
N_TARGET = 2 * N_AGE + 3
ROOT, MH = slice(0, N_AGE), slice(N_AGE, 2 * N_AGE)
TAU_ISM, LN_TAU_BC, SLOPE_AT = 2 * N_AGE, 2 * N_AGE + 1, 2 * N_AGE + 2
#: Limits of the birth clouds' optical depth in the logarithm.
TAU_BC_RANGE = (0.01, 20.0)
#: Limits of the attenuation slope.
SLOPE_RANGE = (-2.0, -0.1)
#: Ratio of the wavelengths that define E(B-V).
_B_OVER_V = 4400.0 / 5500.0
#: Scalar quantities derived from the vector, in the order of calibration tables.
SCALARS = ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "tau_ism", "tau_bc", "ebv", "lg_ml_v")
#: Quantities with one value per age bin.
VECTORS = ("light_frac", "mass_frac", "mh", "cum_mass")


def pack_targets(
    light: torch.Tensor, mh: torch.Tensor, tau_ism: torch.Tensor, tau_bc: torch.Tensor, slope: torch.Tensor
) -> torch.Tensor:
    """The vector y (..., 35) of light fractions and [M/H] (..., 16), optical depths and slope (...)."""
    ln_bc = torch.log(tau_bc.clamp(*TAU_BC_RANGE))
    root = torch.sqrt(light.clamp(min=0.0))
    return torch.cat([root, mh, tau_ism[..., None], ln_bc[..., None], slope[..., None]], dim=-1)


def unpack_targets(y: torch.Tensor) -> dict[str, torch.Tensor]:
    """``light_frac``, ``mh`` (..., 16), ``tau_ism``, ``tau_bc``, ``slope`` (...) of any real vector (..., 35)."""
    square = y[..., ROOT] ** 2
    lo, hi = (math.log(t) for t in TAU_BC_RANGE)
    return {
        "light_frac": square / square.sum(-1, keepdim=True).clamp(min=1e-12),
        "mh": y[..., MH],
        # A draw below zero is folded back: there is no negative dust.
        "tau_ism": y[..., TAU_ISM].abs(),
        "tau_bc": torch.exp(y[..., LN_TAU_BC].clamp(lo, hi)),
        "slope": y[..., SLOPE_AT].clamp(*SLOPE_RANGE),
    }


class MassToLight(nn.Module):
    """Intrinsic V-band light per mass formed of each age bin, interpolated in [M/H]; from the template basis."""

    grid_mh: torch.Tensor
    light_v: torch.Tensor
    lg_age: torch.Tensor

    def __init__(self, n_mh: int) -> None:
        super().__init__()
        self.register_buffer("grid_mh", torch.linspace(-2.0, 0.5, n_mh))
        self.register_buffer("light_v", torch.ones(N_AGE, n_mh))
        self.register_buffer("lg_age", torch.tensor(LG_AGE_YR, dtype=torch.float32))

    @classmethod
    def from_basis(cls, basis: TemplateBasis) -> MassToLight:
        """Take the grid of a basis."""
        made = cls(len(basis.mh))
        made.grid_mh.copy_(torch.from_numpy(np.asarray(basis.mh, np.float32)))
        made.light_v.copy_(torch.from_numpy(np.asarray(basis.light_v, np.float32)))
        return made

    def light_per_mass(self, mh: torch.Tensor) -> torch.Tensor:
        """Lsun,V per Msun formed, (..., 16), linear in [M/H] and constant beyond the grid, as the basis has it."""
        grid = self.grid_mh
        mh = mh.clamp(float(grid[0]), float(grid[-1])).contiguous()
        upper = torch.bucketize(mh, grid[1:-1].contiguous(), right=True) + 1
        lower = upper - 1
        share = (mh - grid[lower]) / (grid[upper] - grid[lower])
        flat = self.light_v.reshape(-1)
        row = torch.arange(N_AGE, device=mh.device) * grid.numel()
        low, high = flat[row + lower], flat[row + upper]
        return low + share * (high - low)

    def mass_from_light(self, light: torch.Tensor, mh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mass fractions (..., 16) and log10 of mass formed over V-light (...) of light fractions."""
        mass = light / self.light_per_mass(mh)
        total = mass.sum(-1, keepdim=True)
        return mass / total, torch.log10(total[..., 0])

    def light_from_mass(self, mass: torch.Tensor, mh: torch.Tensor) -> torch.Tensor:
        """Light fractions (..., 16) of mass fractions."""
        light = mass * self.light_per_mass(mh)
        return light / light.sum(-1, keepdim=True)

    def derive(self, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Every quantity of SCALARS and VECTORS from the parts that `unpack_targets` gives.

        ``cum_mass`` of a bin is the fraction of the mass formed up to the bin's young edge, counted from the
        oldest: 1 in the youngest bin.
        """
        light, mh = parts["light_frac"], parts["mh"]
        mass, lg_ml = self.mass_from_light(light, mh)
        return {
            "lg_age_mw": mass @ self.lg_age,
            "lg_age_lw": light @ self.lg_age,
            "mh_mw": (mass * mh).sum(-1),
            "mh_lw": (light * mh).sum(-1),
            "tau_ism": parts["tau_ism"],
            "tau_bc": parts["tau_bc"],
            "ebv": parts["tau_ism"] * ebv_per_tau(parts["slope"]),
            "lg_ml_v": lg_ml,
            "light_frac": light,
            "mass_frac": mass,
            "mh": mh,
            "cum_mass": cumulative_fraction(mass),
        }


def cumulative_fraction(fraction: torch.Tensor) -> torch.Tensor:
    """Fraction formed from the beginning (the oldest bin) to the young edge of each bin, along the last axis."""
    return fraction.flip(-1).cumsum(-1).flip(-1)


def ebv_per_tau(slope: torch.Tensor) -> torch.Tensor:
    """E(B-V) of a unit optical depth, see `physics.dust.ebv_from_tau`."""
    return MAG_PER_TAU * (torch.pow(torch.full_like(slope, _B_OVER_V), slope) - 1.0)
