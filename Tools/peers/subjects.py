# SPDX-License-Identifier: Apache-2.0
"""What is compared: torch modules with the official code's weights, their inputs, and how each is called elsewhere."""
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Part:
    """A line of the table: one call that every runtime can make."""
    title: str
    # Positional arguments of the torch module, by the names that the exported graph gets.
    inputs: dict
    # `pandion bench --only` and what stands before it.
    bench: str
    options: list
    precisions: tuple = ("fp32", "bf16", "int8")


@dataclass
class Subject:
    """A row group: one network, its parts, and the outputs that have to agree."""
    name: str
    parts: dict
    module: object = None
    outputs: tuple = ("y",)
    dynamic: dict = field(default_factory=dict)
    # Of the part whose outputs are compared: pandion's trace of the same work, and the names of its tensors.
    compared: str = ""
    trace: list = field(default_factory=list)
    traced: tuple = ()


def segmenter(registry, checkpoint, work, name):
    """The official model with a checkpoint's weights, or random ones that are kept -> model, path."""
    import torch
    path = Path(checkpoint) if checkpoint else work / f"{name}.pth"
    if not checkpoint and not path.exists():
        torch.manual_seed(0)
        model = registry[name](checkpoint=None)
        with torch.no_grad():
            for key, p in model.named_parameters():
                if any(k in key for k in ("rel_pos", "pos_embed", "attention_biases")):
                    p.normal_(0, 0.02)
        torch.save(model.state_dict(), path)
    model = registry[name](checkpoint=None)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    # TinyViT gathers its attention biases when evaluation begins.
    return model.train().eval(), path


def prepared(sam, transform, pixels):
    import torch
    return sam.preprocess(torch.as_tensor(transform.apply_image(pixels)).permute(2, 0, 1)[None].contiguous())


def sam(a, pixels, rows):
    """The ViT's encoder and decoder -> subjects."""
    sys.path.insert(0, a.segment_anything)
    import torch
    from segment_anything import sam_model_registry
    from segment_anything.utils.transforms import ResizeLongestSide
    model, path = segmenter(sam_model_registry, a.checkpoint, a.work, a.model)
    transform, (height, width) = ResizeLongestSide(model.image_encoder.img_size), pixels.shape[:2]
    x = prepared(model, transform, pixels)
    options = ["--segmenter", str(path)]
    centre = ["--point", f"{width // 2},{height // 2}", "--segment-only"]
    found = []
    if "encoder" in rows:
        found.append(Subject(
            "encoder", {"image_encoder": Part(f"SAM {a.model} encoder, 1024²", {"x": x}, "image_encoder", options)},
            model.image_encoder, compared="image_encoder", trace=options + centre, traced=("sam.image_embedding",)))
    if "decoder" in rows:
        embedding = kept(a.work / f"{path.stem}.embedding.npy", lambda: model.image_encoder(x))
        parts = {}
        for key, title, count, part in (("click", "one click", 1, "click"), ("points_64", "64 clicks, logits", 64, "decode_64")):
            side = int(count ** 0.5)
            grid = np.array([[(i % side + 0.5) / side * width, (i // side + 0.5) / side * height] for i in range(count)])
            points = torch.as_tensor(transform.apply_coords(grid, (height, width)), dtype=torch.float32)[:, None]
            parts[key] = Part(
                f"SAM {a.model} {title}", {"embedding": embedding, "points": points, "labels": torch.ones(points.shape[:2])},
                part, options, ("fp32", "bf16"))
        found.append(Subject(
            "decoder", parts, whole_decoder(model), ("masks", "iou"),
            {k: {0: "n"} for k in ("points", "labels", "masks", "iou")}, "click",
            options + ["--point", f"{width / 2},{height / 2}", "--segment-only"], ("sam.low_res_logits", "sam.iou_predictions")))
    return found


def whole_decoder(sam):
    """Prompt encoder and mask decoder as one function of the embedding and the points."""
    import torch

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.sam = sam

        def forward(self, embedding, points, labels):
            sparse, dense = self.sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
            return self.sam.mask_decoder(
                image_embeddings=embedding, image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=True)

    return Decoder().eval()


def mobile(a, pixels):
    sys.path.insert(0, a.mobile_sam)
    from mobile_sam import sam_model_registry
    from mobile_sam.utils.transforms import ResizeLongestSide
    model, path = segmenter(sam_model_registry, a.mobile_checkpoint, a.work, "vit_t")
    x = prepared(model, ResizeLongestSide(1024), pixels)
    options = ["--segmenter", str(path)]
    return Subject(
        "mobile", {"mobile_encoder": Part("MobileSAM encoder, 1024²", {"x": x}, "image_encoder", options)},
        model.image_encoder, compared="mobile_encoder", trace=options + ["--point", "9,9", "--segment-only"],
        traced=("sam.image_embedding",))


def convnext(a, pixels, pandion_trace):
    """Osprey's trunk: timm's ConvNeXt-L with the folder's open_clip weights, on the picture as Pandion prepares it."""
    import timm
    import torch
    folder = Path(a.osprey)
    masks = a.work / "box.json"
    height, width = pixels.shape[:2]
    # Column-major runs: the left half of the picture.
    masks.write_text('[{"segmentation":{"size":[%d,%d],"counts":[0,%d,%d]}}]'
                     % (height, width, height * (width // 2), height * (width - width // 2)))
    tower = folder / "open_clip_pytorch_model.bin"
    options = ["--labeler", str(folder), "--vision-tower", str(tower)]
    trace = options + ["--masks", str(masks), "--max-tokens", "1"]
    x = kept(a.work / "osprey.input.npy", lambda: torch.from_numpy(pandion_trace(trace)["osprey.input"])[None])
    stored = torch.load(tower, map_location="cpu", weights_only=True)
    prefix = "visual.trunk."
    trunk = timm.create_model("convnext_large", num_classes=0)
    missing, _ = trunk.load_state_dict({k[len(prefix):]: v.float() for k, v in stored.items() if k.startswith(prefix)},
                                       strict=False)
    assert not [k for k in missing if not k.startswith("head.")], missing

    class Stages(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.stages = trunk.stem, trunk.stages

        def forward(self, x):
            x, maps = self.stem(x), []
            for stage in self.stages:
                x = stage(x)
                maps.append(x)
            return tuple(maps)

    names = tuple(f"res{i}" for i in range(2, 6))
    return Subject(
        "convnext", {"convnext": Part("ConvNeXt-L stages 1–4, 512²", {"x": x}, "convnext", options)}, Stages().eval(), names,
        compared="convnext", trace=trace, traced=tuple(f"osprey.{k}" for k in names))


def kept(path, make):
    """A tensor from the work folder, made once."""
    import torch
    if not path.exists():
        np.save(path, np.asarray(make()))
    return torch.from_numpy(np.load(path))
