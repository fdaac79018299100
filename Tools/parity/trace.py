# SPDX-License-Identifier: Apache-2.0
"""Compares `pandion trace` and `pandion auto` with the official code on random weights at full size, through a torch
checkpoint.

    python3 Tools/parity/trace.py --package PATH_OF_CLONE --model vit_b|vit_l|vit_h|vit_t|vit_tiny|nano [--image PICTURE …] [--kinds] [--auto]

`--package` is a clone of segment-anything, of sam-hq (whose vit_tiny is Light HQ-SAM), or of MobileSAM for vit_t and nano. `nano` is the official code with the weights
of Models/pandion-nano, whose masks are of things; all others are random. `--kinds` adds pictures of many kinds made from the
first: portrait, square, 8×8, 6000×4000, grey, palette, CMYK, turned by EXIF. Prints the largest differences, relative to
each tensor's largest value, and the masks' lowest IoU; `--auto` also compares automatic masks (a coarse grid, with and
without crops), in number, order and IoU. Exits 1 above 1e-4 or below 0.999.
"""
import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from pycocotools import mask as coco
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

AUTO = {"points_per_side": 8, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3, "stability_score_offset": 0.2, "crop_overlap_ratio": 0.25}


def kinds(path, folder):
    """Files of many kinds, made from one picture."""
    photo = Image.open(path).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    made = {
        "portrait.jpg": (photo.rotate(90, expand=True), {}), "square.png": (ImageOps.fit(photo, (512, 512)), {}),
        "tiny8x8.png": (photo.resize((8, 8)), {}), "large6000x4000.jpg": (photo.resize((6000, 4000)), {"quality": 85}),
        "grey.png": (photo.convert("L"), {}), "palette.png": (photo.quantize(64), {}),
        "cmyk.jpg": (photo.convert("CMYK"), {"quality": 92}), "exif6.jpg": (photo, {"exif": turned, "quality": 92}),
    }
    for name, (picture, options) in made.items():
        picture.save(folder / name, **options)
    return [folder / name for name in made]


def random_model(official, name, seed):
    torch.manual_seed(seed)
    sam = official.sam_model_registry[name](None)
    with torch.no_grad():
        for key, p in sam.named_parameters():
            if any(part in key for part in ("rel_pos", "pos_embed", "attention_biases")):
                p.normal_(0, 0.02)
        for m in sam.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
    sam.train().eval()  # TinyViT gathers its biases when it leaves training
    return sam


def nano_model(official, folder):
    """The official code at nano's sizes and with its weights. What MobileSAM writes into its class is set from outside: the
    grid, the neck's channels, the stride of the last merge."""
    tiny = importlib.import_module("mobile_sam.modeling.tiny_vit_sam")
    modeling = importlib.import_module("mobile_sam.modeling")
    cfg = json.loads((folder / "model.json").read_text())["segmenter"]
    side, dim, grid, nn = cfg["image_size"], cfg["prompt_embed_dim"], cfg["image_size"] // 16, torch.nn

    class Nano(tiny.TinyViT):
        def forward_features(self, x):
            x = self.patch_embed(x)
            for layer in self.layers:
                x = layer(x)
            return self.neck(x.view(len(x), grid, grid, -1).permute(0, 3, 1, 2))

    encoder = Nano(img_size=side, num_classes=4, embed_dims=cfg["embed_dims"], depths=cfg["depths"],
                   num_heads=cfg["num_heads"], window_sizes=cfg["window_sizes"], drop_path_rate=0.0, layer_lr_decay=0.8)
    encoder.layers[2].downsample.conv2.c.stride = (1, 1)
    encoder.neck = nn.Sequential(nn.Conv2d(cfg["embed_dims"][-1], dim, 1, bias=False), tiny.LayerNorm2d(dim),
                                 nn.Conv2d(dim, dim, 3, padding=1, bias=False), tiny.LayerNorm2d(dim))
    decoder = cfg["decoder"]
    weights = load_torch(folder / cfg["file"])
    sam = modeling.Sam(
        image_encoder=encoder, pixel_mean=cfg["pixel_mean"], pixel_std=cfg["pixel_std"],
        prompt_encoder=modeling.PromptEncoder(dim, (grid, grid), (side, side), mask_in_chans=16),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=3, transformer_dim=dim, iou_head_depth=3,
            iou_head_hidden_dim=weights["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
            transformer=modeling.TwoWayTransformer(
                depth=decoder["depth"], embedding_dim=dim, mlp_dim=decoder["mlp_dim"], num_heads=decoder["num_heads"])))
    missing, unexpected = sam.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    spare = ("num_batches_tracked", "attention_bias_idxs", "norm_head", "image_encoder.head")
    assert not unexpected and all(any(word in k for word in spare) for k in missing), (missing, unexpected)
    return sam.train().eval()


def iou(a, b):
    union = (a | b).sum()
    return (a & b).sum() / union if union else 1.0


def compare_trace(predictor, picture, image, pandion, given, out):
    """-> the largest relative difference, the lowest IoU."""
    height, width = image.shape[:2]
    points = np.array([[width // 2, height // 2], [width // 10, height // 8]], float)
    predictor.set_image(image)
    masks, quality, low = predictor.predict(points, np.array([1, 0]), multimask_output=True)
    clicks = [f for (x, y), label in zip(points, (1, 0)) for f in ("--point", f"{x},{y},{label}")]
    subprocess.run([pandion, "trace", picture, *clicks, *given, "--segment-only", "--out", out],
                   check=True, stderr=subprocess.DEVNULL)
    trace = load_file(out)
    wanted = {"image_embedding": predictor.features[0].numpy(), "low_res_logits": low, "iou_predictions": quality}
    differences = {n: float(np.abs(trace["sam." + n] - w).max() / np.abs(w).max()) for n, w in wanted.items()}
    overlap = min(iou(t.astype(bool), m) for t, m in zip(trace["sam.masks"], masks))
    print(f"{picture.name:20} {width}×{height}  " + "  ".join(f"{n} {d:.1e}" for n, d in differences.items())
          + f"  mask IoU {overlap:.5f}", flush=True)
    return max(differences.values()), overlap


def compare_auto(official, sam, picture, image, pandion, given, layers):
    """-> the lowest IoU of masks at the same place of both lists, 0 if their lengths differ."""
    options = {**AUTO, "crop_n_layers": layers}
    try:
        wanted = official.SamAutomaticMaskGenerator(sam, **options).generate(image)
    except IndexError:  # the official code fails where crops leave nothing at all
        wanted = []
    flags = [f for k, v in options.items() for f in ("--" + k.replace("_", "-"), str(v))]
    reply = subprocess.run([pandion, "auto", picture, *flags, *given, "--json"], check=True, capture_output=True)
    found = json.loads(reply.stdout)
    overlap = [iou(coco.decode(f["segmentation"]).astype(bool), w["segmentation"]) for f, w in zip(found, wanted)]
    same = len(found) == len(wanted)
    print(f"{picture.name:20} auto, {layers} crop layers: {len(found)} masks, official {len(wanted)}, "
          f"lowest IoU in order {min(overlap, default=1):.5f}", flush=True)
    return min(overlap, default=1) if same else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", required=True)
    parser.add_argument("--model", choices=["vit_b", "vit_l", "vit_h", "vit_t", "vit_tiny", "nano"], default="vit_b")
    parser.add_argument("--nano", type=Path, default=Path("Models/pandion-nano"), help="its folder")
    parser.add_argument("--image", type=Path, nargs="+", default=[Path("Examples/coffee.jpg")])
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--auto", action="store_true")
    parser.add_argument("--pandion", default=".build/release/pandion")
    parser.add_argument("--seed", type=int, default=5)
    a = parser.parse_args()
    sys.path.insert(0, a.package)
    official = importlib.import_module("mobile_sam" if a.model in ("vit_t", "nano") else "segment_anything")
    torch.set_grad_enabled(False)
    sam = nano_model(official, a.nano) if a.model == "nano" else random_model(official, a.model, a.seed)
    predictor = official.SamPredictor(sam)
    worst, lowest = 0.0, 1.0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint = folder / "model.pth"
        torch.save(sam.state_dict(), checkpoint)
        given = ["--segmenter", a.nano.name if a.model == "nano" else checkpoint]
        for picture in a.image + (kinds(a.image[0], folder) if a.kinds else []):
            image = np.array(ImageOps.exif_transpose(Image.open(picture)).convert("RGB"))
            difference, overlap = compare_trace(predictor, picture, image, a.pandion, given, folder / "trace.safetensors")
            worst, lowest = max(worst, difference), min(lowest, overlap)
        for layers in (0, 1) if a.auto else ():
            image = np.array(ImageOps.exif_transpose(Image.open(a.image[0])).convert("RGB"))
            lowest = min(lowest, compare_auto(official, sam, a.image[0], image, a.pandion, given, layers))
    print(f"largest difference {worst:.1e}, lowest IoU {lowest:.5f}")
    sys.exit(int(worst > 1e-4 or lowest < 0.999))


if __name__ == "__main__":
    main()
