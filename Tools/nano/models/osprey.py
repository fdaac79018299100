# SPDX-License-Identifier: Apache-2.0
"""Osprey at small sizes: vision trunk, mask extractor, projector and LLaMA, official tensor names."""
import torch
import torch.nn.functional as F
from torch import nn

from .convnext import Trunk
from .llama import Llama
from .sam import MLP


class MaskExtractor(nn.Module):
    """The `<mask>` vector (mean feature under the mask) and the `<pos>` vector (its 112×112 shape)."""

    def __init__(self, dims, width, out, shape=112):
        super().__init__()
        self.shape = shape
        self.feat_linear = nn.Linear(width, out)
        self.mask_linear = MLP(shape * shape, width, out, 3)
        for i, dim in enumerate(dims):
            setattr(self, f"res{i + 2}", nn.Linear(dim, width))

    def forward(self, levels, masks, shapes=None):
        """levels of one picture (C, h, w), masks (R, H, W) in 0..1 -> two (R, D). `shapes`: the masks
        in a larger frame, when the picture is a crop of one."""
        masks, total = masks[:, None].float(), 0
        shapes = masks if shapes is None else shapes[:, None].float()
        for i, level in enumerate(levels):
            m = (F.interpolate(masks, level.shape[-2:], mode="bilinear") > 0).float().flatten(1)
            pooled = (m / (m.sum(1, keepdim=True) + 1e-8)) @ level.flatten(1).float().T  # (R, C)
            total = total + getattr(self, f"res{i + 2}")(pooled)
        shape = F.interpolate(shapes, (self.shape, self.shape), mode="bilinear").flatten(1)
        return self.feat_linear(total), self.mask_linear(shape)


class Labeler(nn.Module):
    """`visual.trunk.*` goes to the vision tower's file, everything else to the labeler's."""

    def __init__(self, cfg):
        super().__init__()
        self.visual = nn.ModuleDict({"trunk": Trunk(cfg["mm_vision_dims"], cfg["mm_vision_depths"])})
        self.mask_extractor = MaskExtractor(cfg["mm_vision_dims"], cfg["mm_mask_width"], cfg["hidden_size"])
        self.model = Llama(cfg)
        self.lm_head = nn.Linear(cfg["hidden_size"], cfg["vocab_size"], bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)

    def see(self, images):
        """(B, 3, S, S) -> four feature levels."""
        return self.visual["trunk"](images)

    def image_tokens(self, res4):
        """(C, h, w) -> (h·w, D), row by row."""
        return self.model.mm_projector(res4.flatten(1).T)

    def splice(self, ids, tokenizer, mask, pos):
        """Embeds ids (L,), with the region's two vectors in place of `<mask>` and `<pos>`."""
        x = self.model.embed_tokens(ids.clamp(max=tokenizer.size - 1))
        for token, vector in ((tokenizer.mask, mask), (tokenizer.pos, pos)):
            x = torch.where((ids == token)[:, None], vector.to(x.dtype), x)
        return x

    @torch.no_grad()
    def answer(self, prefix, prefix_length, prompts, tokenizer, limit=64):
        """Greedy answers behind a cached picture prefix: prompts (R, L, D) -> R lists of ids."""
        count, length = prompts.shape[:2]
        start = prefix_length
        causal = torch.ones(length, start + length, dtype=torch.bool).tril(start)
        x, past = self.model(prompts, torch.arange(start, start + length), causal, prefix)
        answers, done = [[] for _ in range(count)], [False] * count
        for step in range(limit):
            ids = self.lm_head(x[:, -1]).argmax(-1)
            for i, token in enumerate(ids.tolist()):
                done[i] = done[i] or token == tokenizer.eos
                if not done[i]:
                    answers[i].append(token)
            if all(done):
                break
            x, past = self.model(self.model.embed_tokens(ids)[:, None], torch.tensor([start + length + step]), None, past)
        return answers

    def prefix(self, ids, res4, tokenizer):
        """Runs the shared tokens (with one image marker) once -> caches and their length."""
        at = ids.index(tokenizer.image)
        image = self.image_tokens(res4)
        x = torch.cat([self.model.embed_tokens(torch.tensor(ids[:at])), image.to(self.lm_head.weight.dtype),
                       self.model.embed_tokens(torch.tensor(ids[at + 1:]))])[None]
        length = x.shape[1]
        _, caches = self.model(x, torch.arange(length), torch.ones(length, length, dtype=torch.bool).tril())
        return caches, length
