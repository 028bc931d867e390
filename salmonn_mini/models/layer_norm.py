"""LayerNorm as every trained part of SALMONN has it: in float32, whatever the model's type."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.LayerNorm):
    """Computes in float32 what comes in float16 or bfloat16, and returns its own weights' type.

    x (…, D) may be of another floating-point type than the weights, as cached features are.
    """

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        y = F.layer_norm(
            x.to(wide), self.normalized_shape, self.weight.to(wide), self.bias.to(wide), self.eps
        )
        return y.to(self.weight.dtype)
