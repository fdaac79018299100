# SPDX-License-Identifier: Apache-2.0
"""A small LLaMA over embeddings, with Hugging Face's tensor names and half-split rotary positions."""
import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        f = x.float()
        return (self.weight * f * torch.rsqrt(f.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


def rotate(x, cos, sin):
    """Rotary positions: x (B, H, L, d), cos and sin (L, d/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x, cos, sin, mask, past=None):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:  # keys and values that are already rotated
            k, v = torch.cat([past[0].expand(len(k), -1, -1, -1), k], 2), torch.cat([past[1].expand(len(v), -1, -1, -1), v], 2)
        y = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).flatten(2)), (k, v)


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, dim, heads, hidden, eps):
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.mlp = SwiGLU(dim, hidden)
        self.input_layernorm = RMSNorm(dim, eps)
        self.post_attention_layernorm = RMSNorm(dim, eps)

    def forward(self, x, cos, sin, mask, past=None):
        y, cache = self.self_attn(self.input_layernorm(x), cos, sin, mask, past)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), cache


class Llama(nn.Module):
    """`model.*` of the checkpoint: embeddings, layers, final norm, and Osprey's projector."""

    def __init__(self, cfg):
        super().__init__()
        dim = cfg["hidden_size"]
        self.theta, self.head = cfg["rope_theta"], dim // cfg["num_attention_heads"]
        self.embed_tokens = nn.Embedding(cfg["vocab_size"], dim)
        self.layers = nn.ModuleList(Layer(dim, cfg["num_attention_heads"], cfg["intermediate_size"], cfg["rms_norm_eps"])
                                    for _ in range(cfg["num_hidden_layers"]))
        self.norm = RMSNorm(dim, cfg["rms_norm_eps"])
        self.mm_projector = nn.Sequential(nn.Linear(cfg["mm_hidden_size"], dim), nn.GELU(), nn.Linear(dim, dim))
        for m in self.modules():
            if isinstance(m, (nn.Linear, nn.Embedding)):
                nn.init.trunc_normal_(m.weight, std=0.02 if isinstance(m, nn.Embedding) else m.weight.shape[1] ** -0.5)

    def forward(self, x, positions, mask, past=None):
        """x (B, L, D), positions (L,), mask broadcastable to (B, H, L, K) -> hidden states, caches."""
        inverse = self.theta ** (-torch.arange(0, self.head, 2) / self.head)
        angle = positions.float()[:, None] * inverse
        caches = []
        for i, layer in enumerate(self.layers):
            x, cache = layer(x, angle.cos(), angle.sin(), mask, None if past is None else past[i])
            caches.append(cache)
        return self.norm(x), caches
