# SPDX-License-Identifier: Apache-2.0
"""TinyViT image encoder with the tensor names of MobileSAM's checkpoint.

Written from the architecture, for any input whose side is a multiple of 16. Inside, feature
maps are kept as NCHW tensors in `channels_last` memory, so the switch to the (B, H, W, C) view
that attention wants is free.
"""
import torch
import torch.nn.functional as F
from torch import nn


class ConvBN(nn.Sequential):
    """Convolution without bias (`c`) and batch norm (`bn`)."""

    def __init__(self, cin, cout, kernel=1, stride=1, groups=1, gain=1.0):
        super().__init__()
        self.add_module("c", nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(cout))
        nn.init.constant_(self.bn.weight, gain)


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of an NCHW tensor."""

    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """(B, 3, S, S) -> (B, C, S/4, S/4)."""

    def __init__(self, dim):
        super().__init__()
        self.seq = nn.Sequential(ConvBN(3, dim // 2, 3, 2), nn.GELU(), ConvBN(dim // 2, dim, 3, 2))

    def forward(self, x):
        return self.seq(x)


class MBConv(nn.Module):
    def __init__(self, dim, expand=4):
        super().__init__()
        hidden = dim * expand
        self.conv1 = ConvBN(dim, hidden)
        self.conv2 = ConvBN(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvBN(hidden, dim, gain=0.0)

    def forward(self, x):
        y = self.conv2(F.gelu(self.conv1(x)))
        return F.gelu(x + self.conv3(F.gelu(y)))


class PatchMerging(nn.Module):
    """Widens `cin` to `cout`; stride 2, except for the last one, which keeps the grid."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = ConvBN(cin, cout)
        self.conv2 = ConvBN(cout, cout, 3, stride, groups=cout)
        self.conv3 = ConvBN(cout, cout)

    def forward(self, x):
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Attention inside one window, with a learned bias for each |dy|, |dx|. qkv is packed per head."""

    def __init__(self, dim, heads, window):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = (t.flatten() for t in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
        index = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer("index", index.flatten(), persistent=False)

    def forward(self, x):  # (N, L, C), L = window²
        n, l, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(n, l, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.index].view(self.heads, l, l)
        a = (q * self.scale) @ k.transpose(-1, -2) + bias.to(q.dtype)
        return self.proj((a.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(n, l, c))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class Block(nn.Module):
    """Window attention, a depthwise convolution without residual, and an MLP. (B, C, H, W) -> same."""

    def __init__(self, dim, heads, window):
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dim, heads, window)
        self.local_conv = ConvBN(dim, dim, 3, groups=dim)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x):
        b, c, h, w = x.shape
        s = self.window
        y = x.permute(0, 2, 3, 1)
        ph, pw = -h % s, -w % s
        if ph or pw:
            y = F.pad(y, (0, 0, 0, pw, 0, ph))
        nh, nw = (h + ph) // s, (w + pw) // s
        y = y.reshape(b, nh, s, nw, s, c).transpose(2, 3).reshape(-1, s * s, c)
        y = self.attn(y).view(b, nh, nw, s, s, c).transpose(2, 3).reshape(b, h + ph, w + pw, c)
        x = x + y[:, :h, :w].permute(0, 3, 1, 2)
        x = self.local_conv(x)
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, blocks, downsample=None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if self.downsample is not None else x


class TinyViT(nn.Module):
    """(B, 3, S, S) -> (B, out, S/16, S/16)."""

    def __init__(self, dims, depths, heads, windows, out):
        super().__init__()
        self.patch_embed = PatchEmbed(dims[0])
        merge = [PatchMerging(dims[i], dims[i + 1], 2 if i < 2 else 1) for i in range(3)] + [None]
        self.layers = nn.ModuleList([Stage([MBConv(dims[0]) for _ in range(depths[0])], merge[0])] + [
            Stage([Block(dims[i], heads[i], windows[i]) for _ in range(depths[i])], merge[i]) for i in (1, 2, 3)])
        self.neck = nn.Sequential(nn.Conv2d(dims[-1], out, 1, bias=False), LayerNorm2d(out),
                                  nn.Conv2d(out, out, 3, padding=1, bias=False), LayerNorm2d(out))
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
