# SPDX-License-Identifier: Apache-2.0
"""SAM's prompt encoder and mask decoder at any width, with the official tensor names.

One batch of prompts shares a token layout: `points` (P, N, 2) in pixels of the model's frame and
`labels` (P, N): -1 padding point, 0 background click, 1 click, 2 and 3 box corners. A prompt
without a box ends in one padding point, as the official predictor does it.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from .tiny_vit import LayerNorm2d, TinyViT


class RandomPositions(nn.Module):
    """Random Fourier features of positions in [0, 1]²."""

    def __init__(self, half):
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, half))

    def forward(self, xy):  # (..., 2) -> (..., 2 * half)
        with torch.autocast("cpu", enabled=False):
            a = 2 * math.pi * ((2 * xy.float() - 1) @ self.positional_encoding_gaussian_matrix)
            return torch.cat([a.sin(), a.cos()], -1)


class PromptEncoder(nn.Module):
    def __init__(self, dim, mask_channels=16):
        super().__init__()
        self.pe_layer = RandomPositions(dim // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, 2, 2), LayerNorm2d(mask_channels // 4), nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, 2, 2), LayerNorm2d(mask_channels), nn.GELU(),
            nn.Conv2d(mask_channels, dim, 1))
        self.no_mask_embed = nn.Embedding(1, dim)

    def grid(self, size, frame):
        """The positions of a size×size grid of 16-pixel cells in its frame: (size², C)."""
        x0, y0, side = frame
        line = (torch.arange(size) + 0.5) * 16
        y, x = torch.meshgrid(line + y0, line + x0, indexing="ij")
        return self.pe_layer(torch.stack([x, y], -1) / side).flatten(0, 1)

    def tokens(self, points, labels, frame):
        """(P, N, 2), (P, N) -> (P, N, C)."""
        x0, y0, side = frame
        table = torch.cat([self.not_a_point_embed.weight] + [e.weight for e in self.point_embeddings])
        position = self.pe_layer((points + torch.tensor([x0 + 0.5, y0 + 0.5])) / side) * (labels >= 0)[..., None]
        return position + table[labels + 1]

    def dense(self, masks, count, size):
        """Low-resolution logits (P, 1, 4·size, 4·size) or None -> (P or 1, size², C)."""
        if masks is None:
            return self.no_mask_embed.weight.view(1, 1, -1)
        return self.mask_downscaling(masks).flatten(2).transpose(1, 2)


class LayerNorm(nn.LayerNorm):
    """Stays in its input's precision, so that the image's side of the decoder is bfloat16 throughout."""

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class Attention(nn.Module):
    def __init__(self, dim, heads, downsample=1):
        super().__init__()
        self.heads, inner = heads, dim // downsample
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q, k, v):
        q, k, v = (f(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for f, t in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v)))
        # Spelled out: with so few tokens this is faster on a CPU than the fused kernel.
        y = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1).to(v.dtype) @ v
        return self.out_proj(y.transpose(1, 2).flatten(2))


class LinReluLin(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    def __init__(self, dim, heads, hidden, first):
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = LinReluLin(dim, hidden)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, 2)

    def forward(self, t, x, tpos, xpos):  # tokens (P, N, C), image (P, L, C)
        if self.first:  # neither positions nor a residual in the first block
            t = self.self_attn(t, t, t)
        else:
            t = t + self.self_attn(t + tpos, t + tpos, t)
        t = self.norm1(t)
        at = x + xpos
        t = self.norm2(t + self.cross_attn_token_to_image(t + tpos, at, x))
        t = self.norm3(t + self.mlp(t))
        x = self.norm4(x + self.cross_attn_image_to_token(at, t + tpos, t))
        return t, x


class TwoWayTransformer(nn.Module):
    def __init__(self, dim, heads, hidden, depth):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(dim, heads, hidden, i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(dim, heads, 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, tokens, x, xpos):
        t = tokens
        for layer in self.layers:
            t, x = layer(t, x, tokens, xpos)
        return self.norm_final_attn(t + self.final_attn_token_to_image(t + tokens, x + xpos, x)), x


class MLP(nn.Module):
    def __init__(self, cin, hidden, cout, depth):
        super().__init__()
        sizes = [cin] + [hidden] * (depth - 1) + [cout]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def enlarge(x, conv):
    """The transposed 2×2 convolution `conv` as one matrix product: (P, H, W, C) -> (P, 2H, 2W, O)."""
    p, h, w, c = x.shape
    out = conv.weight.shape[1]
    y = x @ conv.weight.permute(0, 2, 3, 1).reshape(c, 4 * out) + conv.bias.repeat(4).to(x.dtype)
    return y.view(p, h, w, 2, 2, out).transpose(2, 3).reshape(p, 2 * h, 2 * w, out)


class MaskDecoder(nn.Module):
    def __init__(self, dim, heads=8, hidden=512, depth=2, iou_hidden=128):
        super().__init__()
        self.transformer = TwoWayTransformer(dim, heads, hidden, depth)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(4, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, 2), LayerNorm2d(dim // 4), nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, 2), nn.GELU())
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(dim, dim, dim // 8, 3) for _ in range(4))
        self.iou_prediction_head = MLP(dim, iou_hidden, 4, 3)

    def forward(self, image, position, prompts, dense):
        """image (P, L, C), position (L, C), prompts (P, N, C), dense (P or 1, L or 1, C)
        -> logits (P, 4, 4·√L, 4·√L), IoU (P, 4)."""
        p, l, c = image.shape
        size = math.isqrt(l)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        if torch.is_autocast_enabled("cpu"):
            image = image.to(torch.bfloat16)
        dense, position = dense.to(image.dtype), position.to(image.dtype)  # keeps the image's side in bfloat16
        t, x = self.transformer(torch.cat([own.expand(p, -1, -1), prompts], 1), image + dense, position)
        first, norm, _, second, _ = self.output_upscaling
        x = enlarge(x.unflatten(1, (size, size)), first)
        with torch.autocast("cpu", enabled=False):
            x = F.layer_norm(x, x.shape[-1:], norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)
        x = F.gelu(x)
        x = F.gelu(enlarge(x, second)).flatten(1, 2)  # (P, 16·L, C/8)
        hyper = torch.stack([f(t[:, 1 + i]) for i, f in enumerate(self.output_hypernetworks_mlps)], 1)
        masks = x.to(hyper.dtype) @ hyper.transpose(1, 2)  # (P, 16·L, 4): this order keeps gradients contiguous
        return masks.transpose(1, 2).unflatten(2, (4 * size, 4 * size)), self.iou_prediction_head(t[:, 0])


class Segmenter(nn.Module):
    """TinyViT, prompt encoder and mask decoder, under the names of `mobile_sam.pt`."""

    def __init__(self, cfg):
        super().__init__()
        dim = cfg["prompt_embed_dim"]
        self.image_encoder = TinyViT(cfg["embed_dims"], cfg["depths"], cfg["num_heads"], cfg["window_sizes"], dim)
        self.prompt_encoder = PromptEncoder(dim)
        d = cfg["decoder"]
        self.mask_decoder = MaskDecoder(dim, d["num_heads"], d["mlp_dim"], d["depth"])

    def encode(self, images):
        """(B, 3, S, S) -> (B, (S/16)², C)."""
        return self.image_encoder(images).flatten(2).transpose(1, 2)

    def decode(self, features, owner, points, labels, masks=None, frame=None):
        """Prompts of picture `owner` (P,) -> logits (P, 4, S/4, S/4), IoU (P, 4). `frame` (x, y, side)
        places a smaller picture in one of the side that the model is made for."""
        size = math.isqrt(features.shape[1])
        frame = frame or (0, 0, 16 * size)
        prompts = self.prompt_encoder.tokens(points, labels, frame)
        dense = self.prompt_encoder.dense(masks, len(points), size)
        return self.mask_decoder(features[owner], self.prompt_encoder.grid(size, frame), prompts, dense)
