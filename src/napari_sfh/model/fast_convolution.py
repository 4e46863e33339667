"""Convolution, instance normalisation, PReLU and max-pooling as one step, for training on a processor.

One by one these four cost memory traffic and kernels that are not vectorised, not arithmetic. As one autograd function:

* Arrays lie as (C, W, N), the batch innermost: a shift along the spectrum is a copy of whole rows, and every operation
  is vectorised, whatever is left of the spectrum.
* The convolution is one matrix product for each place within a pooling window, on one stack of shifted inputs. Pooling
  is then the maximum of contiguous arrays, without indices.
* A PReLU of slope > 0 rises, so pooling comes first and PReLU sees one pixel of each window. The affine part of the
  normalisation also follows the pooling: the sign of its scale gamma goes into the weights of the convolution, and
  |gamma| rises. This is exact for every gamma.
* The bias of the convolution cancels in the normalisation. It is not added, and its gradient is zero.
* The gradient before the normalisation is a part at the maxima, and a linear function of the convolution's output with
  one pair of coefficients per object and channel.

There is no second derivative. `allows_fast_convolution` tells where the function applies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: Objects from which the innermost axis is long enough to gain anything.
MIN_BATCH = 16


def allows_fast_convolution(x: torch.Tensor, kernel: int, slope: torch.Tensor) -> bool:
    """Whether `convolve_and_pool` applies to an input (N, C, W) and gains time.

    It needs 16 objects on a processor, an odd kernel, and a PReLU that rises; mixed precision takes the plain way.

    Parameters
    ----------
    x : tensor (N, C, W)
    kernel : int
        Width of the kernel, pixels.
    slope : tensor (1,)
        Of the PReLU.

    Returns
    -------
    bool
    """
    if x.device.type != "cpu" or len(x) < MIN_BATCH or kernel % 2 == 0 or torch.is_autocast_enabled("cpu"):
        return False
    return float(slope.detach()) > 0


def convolve_and_pool(
    x: torch.Tensor,
    convolution: tuple[torch.Tensor, torch.Tensor | None],
    affine: tuple[torch.Tensor, torch.Tensor],
    slope: torch.Tensor,
    pool: int,
    eps: float,
) -> torch.Tensor:
    """Max-pooled PReLU of the instance-normalised convolution.

    Parameters
    ----------
    x : tensor (N, C, W)
    convolution : weight (C', C, K), K odd, and bias (C',) or None
        Padded with zeros to the width of the input.
    affine : gamma and beta, (C',) each
        Of the instance normalisation.
    slope : tensor (1,)
        Of the PReLU, above zero.
    pool : int
        Pixels per pooling window.
    eps : float
        Added to the variance.

    Returns
    -------
    tensor (N, C', W // pool)
    """
    out: torch.Tensor = _ConvolveAndPool.apply(x, *convolution, *affine, slope, pool, eps)
    return out


class _Sizes(NamedTuple):
    """N objects, C channels in and out, W pixels, K pixels of the kernel, P pixels of a pooling window."""

    n: int
    c_in: int
    width: int
    c_out: int
    kernel: int
    pool: int

    @property
    def windows(self) -> int:
        """Whole pooling windows."""
        return self.width // self.pool

    @property
    def rest(self) -> int:
        """Pixels beyond the last window: they count in the statistics."""
        return self.width - self.windows * self.pool

    @property
    def start(self) -> int:
        """First of these pixels."""
        return self.windows * self.pool

    @property
    def pad(self) -> int:
        """Zeros on either side."""
        return self.kernel // 2


class _ConvolveAndPool(torch.autograd.Function):
    """See the module's text; arguments as `convolve_and_pool`, one by one."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        slope: torch.Tensor,
        pool: int,
        eps: float,
    ) -> torch.Tensor:
        n, c_in, width = x.shape
        c_out, _, kernel = weight.shape
        s = _Sizes(n, c_in, width, c_out, kernel, pool)
        sign = torch.where(gamma < 0, -1.0, 1.0).to(weight)
        matrix = (weight * sign[:, None, None]).permute(0, 2, 1).reshape(c_out, kernel * c_in)
        shifts, tail = _shift_inputs(x, s)
        y = torch.bmm(matrix.expand(pool, -1, -1), _view_places(shifts, s)).view(pool, c_out, s.windows, n)
        y_rest = None if tail is None else (matrix @ tail).view(c_out, s.rest, n)
        inverse = _normalise(y, y_rest, width, eps)
        top = y.amax(0)
        normed = top * inverse
        before = torch.addcmul(beta[:, None, None], normed, gamma.abs()[:, None, None])
        ctx.save_for_backward(matrix, sign, gamma, slope, y, y_rest, tail, shifts, inverse, top, normed, before)
        ctx.sizes, ctx.bias = s, bias
        return functional.prelu(before.view(1, -1), slope).view_as(before).permute(2, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        matrix, sign, gamma, slope, y, y_rest, tail, shifts, inverse, top, normed, before = ctx.saved_tensors
        s: _Sizes = ctx.sizes
        d, d_slope = _differentiate_prelu(grad.permute(1, 2, 0).contiguous(), before, slope)
        sums, products = d.sum(1), (d * normed).sum(1)  # (C', N)
        scale = gamma.abs()[:, None, None] * inverse
        offset = (scale[:, 0] * sums).div_(-s.width)[:, None]
        factor = (scale[:, 0] * inverse[:, 0] * products).div_(-s.width)[:, None]
        d_y = torch.mul(y, factor).add_(offset)
        _scatter_to_maxima(d_y, d.mul_(scale), y, top)
        flat = d_y.view(s.pool, s.c_out, s.windows * s.n)
        d_matrix = torch.bmm(flat, _view_places(shifts, s).transpose(1, 2)).sum(0)
        d_rest = None
        if y_rest is not None:
            d_rest = torch.mul(y_rest, factor).add_(offset).view(s.c_out, -1)
            d_matrix.addmm_(d_rest, tail.t())
        d_weight = d_matrix.view(s.c_out, s.kernel, s.c_in).permute(0, 2, 1) * sign[:, None, None]
        d_x = _differentiate_inputs(matrix.t(), flat, d_rest, s) if ctx.needs_input_grad[0] else None
        d_bias = None if ctx.bias is None else torch.zeros_like(ctx.bias)
        return d_x, d_weight, d_bias, products.sum(1) * sign, sums.sum(1), d_slope, None, None


def _shift_inputs(x: torch.Tensor, s: _Sizes) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Shift j of the padded input at every window, (K + P - 1, C, windows, N); columns (K C, rest N) of the rest.

    K shifts in a row are the input of one place within the windows.
    """
    padded = x.new_zeros(s.c_in, s.width + 2 * s.pad, s.n)
    padded[:, s.pad : s.pad + s.width] = x.permute(1, 2, 0)
    shifts = x.new_empty(s.kernel + s.pool - 1, s.c_in, s.windows, s.n)
    for j in range(len(shifts)):
        shifts[j] = padded[:, j : j + s.start : s.pool]
    if not s.rest:
        return shifts, None
    tail = torch.stack([padded[:, s.start + k : s.start + k + s.rest] for k in range(s.kernel)])
    return shifts, tail.view(-1, s.rest * s.n)


def _view_places(shifts: torch.Tensor, s: _Sizes) -> torch.Tensor:
    """The input of each place within the windows, (P, K C, windows N): overlapping views."""
    columns = s.windows * s.n
    return shifts.as_strided((s.pool, s.kernel * s.c_in, columns), (s.c_in * columns, columns, 1))


def _normalise(y: torch.Tensor, y_rest: torch.Tensor | None, width: int, eps: float) -> torch.Tensor:
    """Subtract the mean over all pixels, in place; 1 / standard deviation (C', 1, N)."""
    total = y.sum(2).sum(0)  # much faster than both at once
    if y_rest is not None:
        total += y_rest.sum(1)
    mean = total.div_(width)[:, None]
    y.sub_(mean)
    square = (y * y).sum(2).sum(0)
    if y_rest is not None:
        y_rest.sub_(mean)
        square += (y_rest * y_rest).sum(1)
    return torch.rsqrt(square.div_(width).add_(eps))[:, None]


def _differentiate_prelu(
    grad: torch.Tensor, before: torch.Tensor, slope: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients with respect to a PReLU's input and slope."""
    above = torch.ops.aten.threshold_backward(grad, before, 0)
    below = grad - above
    d_slope = torch.dot(below.view(-1), before.view(-1)).view(1)
    return above.add_(below.mul_(slope)), d_slope


def _scatter_to_maxima(d_y: torch.Tensor, d: torch.Tensor, y: torch.Tensor, top: torch.Tensor) -> None:
    """Add a gradient (C', windows, N) to the place of each window's maximum, in place; ``d`` is used up."""
    hit = torch.empty_like(d)
    for p in range(len(y)):
        torch.ge(y[p], top, out=hit)
        hit.mul_(d)
        d_y[p].add_(hit)
        if p < len(y) - 1:
            d.sub_(hit)  # of equal maxima the first gets the gradient


def _differentiate_inputs(
    back: torch.Tensor, flat: torch.Tensor, d_rest: torch.Tensor | None, s: _Sizes
) -> torch.Tensor:
    """Gradient with respect to the input (N, C, W), from that of the convolution's output."""
    columns = s.windows * s.n
    d_shifts = flat.new_empty(s.kernel + s.pool - 1, s.c_in, s.windows, s.n)
    d_shifts[s.kernel :].zero_()
    for p in range(s.pool):
        part = d_shifts[p : p + s.kernel].view(s.kernel * s.c_in, columns)
        part.addmm_(back, flat[p], beta=0 if p == 0 else 1)
    d_padded = flat.new_zeros(s.c_in, s.width + 2 * s.pad, s.n)
    for j in range(len(d_shifts)):
        d_padded[:, j : j + s.start : s.pool] += d_shifts[j]
    if d_rest is not None:
        d_tail = (back @ d_rest).view(s.kernel, s.c_in, s.rest, s.n)
        for k in range(s.kernel):
            d_padded[:, s.start + k : s.start + k + s.rest] += d_tail[k]
    return d_padded[:, s.pad : s.pad + s.width].permute(2, 0, 1)
