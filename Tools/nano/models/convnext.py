# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt trunk (stem and stages) with the tensor names of open_clip's `visual.trunk`."""
import torch
import torch.nn.functional as F
from torch import nn

from .tiny_vit import LayerNorm2d


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.gamma = nn.Parameter(torch.full((dim,), 0.2))

    def forward(self, x):  # (B, C, H, W)
        with torch.autocast("cpu", enabled=False):  # depthwise gradients are faster in float32
            y = self.conv_dw(x.float()).permute(0, 2, 3, 1)
        return x + (self.mlp(self.norm(y)) * self.gamma).permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, cin, dim, depth):
        super().__init__()
        self.downsample = nn.Identity() if cin == dim else nn.Sequential(
            LayerNorm2d(cin), nn.Conv2d(cin, dim, 2, 2))
        self.blocks = nn.Sequential(*[Block(dim) for _ in range(depth)])

    def forward(self, x):
        return self.blocks(self.downsample(x))


class Trunk(nn.Module):
    """(B, 3, S, S) -> [res2, res3, res4, res5] at S/4, S/8, S/16 and S/32."""

    def __init__(self, dims, depths):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, dims[0], 4, 4), LayerNorm2d(dims[0]))
        self.stages = nn.ModuleList(Stage(dims[max(i - 1, 0)], dims[i], depths[i]) for i in range(4))
        for m in self.modules():
            if isinstance(m, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(m.weight, std=0.02 if isinstance(m, nn.Linear) else m.weight[0].numel() ** -0.5)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x, levels = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels
