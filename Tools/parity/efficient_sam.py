# SPDX-License-Identifier: Apache-2.0
"""Goldens for EfficientSAM in `SegmentAnythingTests`: the official code on small random weights.

    python Tools/parity/efficient_sam.py --efficient-sam PATH --segment-anything PATH --out Tests/SegmentAnythingTests/Fixtures
    python Tools/parity/efficient_sam.py --efficient-sam PATH --model vitt|vits --image Examples/coffee.jpg [--weights F.pt]

The paths are checkouts of yformer/EfficientSAM and facebookresearch/segment-anything; needs what `sam.py` needs. The first
form writes goldens; its pictures are those of `sam.py`, its automatic masks come from Segment Anything's generator with
EfficientSAM behind it, since EfficientSAM has none of its own. The second compares `pandion trace` with the official code
at full size, on random weights unless `--weights` names a checkpoint, prints the largest differences, relative to each
tensor's largest value, and exits 1 above 1e-4 or below a mask IoU of 0.999.
"""
import argparse
import copy
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from sam import AUTOMATIC, DIM, GRID, SIZE, picture, randomise, rle

GELU = torch.nn.GELU


def small():
    """An EfficientSAM of every part that the real ones have; two heads of 64 channels, as the real ones' are."""
    from efficient_sam import efficient_sam as whole
    encoder = whole.ImageEncoderViT(
        img_size=SIZE, patch_size=16, in_chans=3, patch_embed_dim=128, normalization_type="layer_norm", depth=2,
        num_heads=2, mlp_ratio=1.5, neck_dims=[DIM, DIM], act_layer=GELU)
    transformer = whole.TwoWayTransformer(
        depth=2, embedding_dim=DIM, num_heads=8, mlp_dim=64, activation=GELU, normalize_before_activation=False)
    return whole.EfficientSam(
        image_encoder=encoder,
        prompt_encoder=whole.PromptEncoder(
            embed_dim=DIM, image_embedding_size=(GRID, GRID), input_image_size=(SIZE, SIZE)),
        decoder_max_num_input_points=6,
        mask_decoder=whole.MaskDecoder(
            transformer_dim=DIM, transformer=transformer, num_multimask_outputs=3, activation=GELU,
            normalization_type="layer_norm", normalize_before_activation=False, iou_head_depth=2,
            iou_head_hidden_dim=24, upscaling_layer_dims=[8, 4]))


class Predictor:
    """EfficientSAM as Segment Anything's predictor: one picture, then prompts on it."""
    device = "cpu"

    def __init__(self, model):
        self.model, self.transform = model, self

    def set_image(self, image):
        self.height, self.width = image.shape[:2]
        tensor = torch.from_numpy(image).permute(2, 0, 1).float().div(255)  # torchvision's ToTensor
        tensor = tensor.to(self.model.image_encoder.pos_embed.dtype)
        self.embedding = self.model.get_image_embeddings(tensor[None])

    def reset_image(self):
        self.embedding = None

    def apply_coords(self, points, size):
        return points

    def predict_torch(self, points, labels, multimask_output=True, return_logits=True):
        """points [n, k, 2], labels [n, k] -> logits [n, M, H, W], iou [n, M], low-resolution logits [n, M, 4h, 4w]."""
        points = points.float()[None]
        full, iou = self.model.predict_masks(
            self.embedding, points, labels[None], multimask_output, self.height, self.width, self.height, self.width)
        low, _ = self.model.predict_masks(
            self.embedding, points, labels[None], multimask_output, self.height, self.width)
        return full[0], iou[0], low[0]

    def predict(self, points=(), labels=(), box=None, multimask=True):
        """A box is two points labelled 2 and 3, as in the official notebook."""
        points, labels = list(points), list(labels)
        if box is not None:
            points, labels = points + [box[:2], box[2:]], labels + [2, 3]
        full, iou, low = self.predict_torch(
            torch.tensor(points, dtype=torch.float32)[None], torch.tensor(labels)[None], multimask)
        return full[0], iou[0], low[0]


def calibrate(model, image, shares=(0.5, 0.25, 0.12, 0.35)):
    """As `sam.calibrate`: moves the logits so that a click's masks cover about these shares of the picture."""
    decoder = model.mask_decoder
    last_upscaling = decoder.final_output_upscaling_layers[1][0]
    last_upscaling.weight[:, 0] = 0
    last_upscaling.bias[0] = 3
    last = [mlp.fc for mlp in decoder.output_hypernetworks_mlps]
    for layer in last:
        layer.weight.mul_(20)
        layer.bias.mul_(20)
        layer.weight[0], layer.bias[0] = 0, 0
    predictor = Predictor(model)
    predictor.set_image(image)
    click = [[image.shape[1] / 3, image.shape[0] / 2]], [1]
    low = torch.cat([predictor.predict(*click, multimask=m)[2] for m in (False, True)]).numpy()
    for layer, logits, share in zip(last, low, shares):
        layer.bias[0] = -float(np.quantile(logits, 1 - share)) / torch.nn.functional.gelu(torch.tensor(3.0))
    return model


def prompts(w, h):
    return {
        "click": dict(points=[[0.4 * w, 0.55 * h]], labels=[1]),
        "single": dict(points=[[0.7 * w, 0.3 * h]], labels=[1], multimask=False),
        "background": dict(points=[[0, 0], [0.5 * w, 0.62 * h], [0.9 * w, 0.1 * h]], labels=[1, 0, 1]),
        "box": dict(box=[0.1 * w, 0.2 * h, 0.66 * w, 0.9 * h]),
        "box_points": dict(box=[0.3 * w, 0.1 * h, 1.0 * w, 0.7 * h], points=[[0.5 * w, 0.5 * h], [0.8 * w, 0.2 * h]],
                           labels=[1, 0], multimask=False),
        "six": dict(points=[[(0.1 + 0.15 * i) * w, (0.9 - 0.1 * i) * h] for i in range(6)], labels=[1, 1, 0, 1, 0, 1]),
    }


def rounding(model, images):
    """The largest part of their scale by which logits move when the model is run in float64: how ill the weights are."""
    precise = copy.deepcopy(model).double()
    positions = precise.prompt_encoder.pe_layer
    official = positions._pe_encoding
    positions._pe_encoding = lambda coords: official(coords.double())
    worst = 0.0
    for image in images.values():
        pair = Predictor(model), Predictor(precise)
        for predictor in pair:
            predictor.set_image(image)
        for spec in prompts(*image.shape[1::-1]).values():
            low, wanted = (predictor.predict(**spec)[2] for predictor in pair)
            worst = max(worst, float((low - wanted).abs().max() / wanted.abs().max()))
    return worst


def goldens(out):
    import segment_anything
    import segment_anything.utils.amg as amg
    images = {"landscape": picture(300, 200, 1), "portrait": picture(150, 211, 2)}
    model = calibrate(randomise(small(), 8), images["landscape"])
    # Stored in half precision, exactly.
    model.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    # Of eight seeds this one's weights are the least ill: others move by 3e-4 and more.
    print(f"float32 moves logits by {rounding(model, images):.1e} of their scale")
    seen = {}
    model.image_encoder.register_forward_hook(lambda m, i, o: seen.update(input=i[0][0], embedding=o[0]))
    model.prompt_encoder.register_forward_hook(lambda m, i, o: seen.update(sparse=o[0]))
    predictor = Predictor(model)
    arrays, cases, automatic = {}, [], []
    for label, image in images.items():
        predictor.set_image(image)
        arrays[f"{label}.input"] = seen["input"][:, ::8].numpy()
        arrays[f"{label}.embedding"] = seen["embedding"].numpy()
        for name, spec in prompts(*image.shape[1::-1]).items():
            full, iou, low = predictor.predict(**spec)
            key = f"{label}.{name}"
            arrays.update({f"{key}.sparse": seen["sparse"].numpy(), f"{key}.low_res": low.numpy(), f"{key}.iou": iou.numpy()})
            masks = torch.ge(full, 0).numpy()
            stability = amg.calculate_stability_score(full, 0.0, 1.0).nan_to_num(0).tolist()
            cases.append(dict(picture=label, name=name, masks=[rle(m) for m in masks], stability=stability, **spec))
            print(key, "area", [float(m.mean().round(3)) for m in masks], "iou", iou.numpy().round(3),
                  "|logits|", low.abs().max().item())
        # Of two islands the same size, 47 pixels, sam.py's 60 keeps the one that a rounding makes larger.
        for settings in AUTOMATIC[:-1] + [dict(AUTOMATIC[-1], min_mask_region_area=30)]:
            official = {k: v for k, v in settings.items() if k != "point_grids"}
            if "point_grids" in settings:
                official.update(points_per_side=None, point_grids=[np.array(g) for g in settings["point_grids"]])
            generator = segment_anything.SamAutomaticMaskGenerator(model, output_mode="coco_rle", **official)
            generator.predictor = predictor
            try:
                found = generator.generate(image)
            except IndexError:  # the official code fails where crops leave nothing at all
                found = []
            print(label, settings, len(found), "masks")
            automatic.append(dict(picture=label, options=settings, masks=found))
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()},
              out / "efficientsam-goldens.safetensors")
    save_file({k: v.half().numpy() for k, v in model.state_dict().items()}, out / "efficientsam.safetensors")
    json.dump(dict(cases=cases, automatic=automatic), open(out / "efficientsam.json", "w"))


def compare(a):
    from efficient_sam.efficient_sam import build_efficient_sam
    torch.manual_seed(a.seed)
    model = build_efficient_sam(*{"vitt": (192, 3), "vits": (384, 6)}[a.model], checkpoint=a.weights).eval()
    if a.weights is None:
        model.image_encoder.pos_embed.normal_(0, 0.02)
    image = np.array(Image.open(a.image).convert("RGB"))
    height, width = image.shape[:2]
    predictor = Predictor(model)
    predictor.set_image(image)
    clicks = dict(points=[[width // 2, height // 2], [width // 10, height // 8]], labels=[1, 0])
    box = [width // 5, height // 4, width * 3 // 4, height * 4 // 5]
    bad = False
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, out = Path(folder) / "model.pt", Path(folder) / "trace.safetensors"
        torch.save({"model": model.state_dict()}, checkpoint)
        for name, spec in dict(points=clicks, single=dict(clicks, multimask=False), box=dict(box=box)).items():
            full, iou, low = predictor.predict(**spec)
            flags = [f for (x, y), l in zip(spec.get("points", ()), spec.get("labels", ())) for f in ("--point", f"{x},{y},{l}")]
            flags += ["--box", ",".join(map(str, box))] if "box" in spec else []
            flags += [] if spec.get("multimask", True) else ["--single-mask"]
            subprocess.run([a.pandion, "trace", a.image, *flags, "--segmenter", checkpoint, "--segment-only", "--out", out],
                           check=True, stderr=subprocess.DEVNULL)
            trace = load_file(out)
            wanted = dict(image_embedding=predictor.embedding[0], low_res_logits=low, iou_predictions=iou)
            off = {k: float(np.abs(trace["sam." + k] - v.numpy()).max() / v.abs().max()) for k, v in wanted.items()}
            pairs = [(t.astype(bool), m) for t, m in zip(trace["sam.masks"], torch.ge(full, 0).numpy())]
            overlap = [float((t & m).sum() / max(1, (t | m).sum())) if (t | m).any() else 1.0 for t, m in pairs]
            print(a.model, name, " ".join(f"{k} {v:.1e}" for k, v in off.items()), "mask IoU",
                  " ".join(f"{v:.5f}" for v in overlap), "area", " ".join(f"{m.mean():.3f}" for _, m in pairs))
            bad |= max(off.values()) > 1e-4 or min(overlap) < 0.999
    sys.exit(int(bad))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--efficient-sam", required=True)
    parser.add_argument("--segment-anything")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", choices=["vitt", "vits"])
    parser.add_argument("--image")
    parser.add_argument("--weights")
    parser.add_argument("--pandion", default=".build/release/pandion")
    parser.add_argument("--seed", type=int, default=5)
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    # This folder has a file of the package's name.
    sys.path = [a.efficient_sam, *([a.segment_anything] if a.segment_anything else []), *sys.path]
    torch.use_deterministic_algorithms(True)
    with torch.no_grad():
        if a.model:
            compare(a)
        elif a.segment_anything and a.out:
            torch.set_num_threads(1)
            goldens(a.out)
        else:
            parser.error("--model with --image, or --segment-anything with --out")


if __name__ == "__main__":
    main()
