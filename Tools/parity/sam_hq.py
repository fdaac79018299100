# SPDX-License-Identifier: Apache-2.0
"""Goldens for `SegmentAnythingTests`: HQ-SAM's official code on small random weights, a ViT and Light HQ-SAM's TinyViT.

    python Tools/parity/sam_hq.py --sam-hq PATH --out Tests/SegmentAnythingTests/Fixtures

The path is a checkout of SysCV/sam-hq; needs what `sam.py` needs, whose pictures, prompts and randomness these are. The
only thing changed in the official code: Light HQ-SAM writes the grid of its early features into the TinyViT's
`forward_features`, so the small model brings its own.
"""
import argparse
import copy
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch

import sam as plain

LISTS = [plain.AUTOMATIC[i] for i in (0, 3, 4)]


def high_quality(modeling, sam, vit_dim):
    """SAM with HQ-SAM's decoder, made with the arguments of `build_sam.py`.

    The mask prompt has its full 16 channels: a LayerNorm of the two that `sam.py` leaves it amplifies rounding.
    """
    sam.prompt_encoder = modeling.PromptEncoder(
        embed_dim=plain.DIM, image_embedding_size=(plain.GRID,) * 2, input_image_size=(plain.SIZE,) * 2, mask_in_chans=16)
    sam.mask_decoder = modeling.MaskDecoderHQ(
        num_multimask_outputs=3, transformer_dim=plain.DIM, iou_head_depth=3, iou_head_hidden_dim=24, vit_dim=vit_dim,
        transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=plain.DIM, mlp_dim=64, num_heads=8))
    return sam


def light(modeling, tiny):
    def forward_features(self, x):
        x = self.patch_embed(x)
        early = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i == 1:
                early.append(x.view(len(x), plain.GRID, plain.GRID, -1))
        return self.neck(x.view(len(x), plain.GRID, plain.GRID, -1).permute(0, 3, 1, 2)), early

    sam = plain.tiny_vit(modeling, tiny)
    sam.image_encoder.forward_features = types.MethodType(forward_features, sam.image_encoder)
    return high_quality(modeling, sam, 32)


@torch.no_grad()
def calibrate(sam, package, image, shares=(0.5, 0.25, 0.12, 0.35)):
    """As `sam.calibrate`, for sums of one of SAM's masks and HQ-SAM's, which here weighs less than half as much."""
    decoder = sam.mask_decoder
    decoder.output_upscaling[3].weight[:, 0] = 0
    decoder.output_upscaling[3].bias[0] = 3
    heads = [mlp.layers[-1] for mlp in decoder.output_hypernetworks_mlps]
    for layer in heads + [decoder.hf_mlp.layers[-1]]:
        layer.weight.mul_(20)
        layer.bias.mul_(20)
    for layer in heads:
        layer.weight[0], layer.bias[0] = 0, 0
    predictor = package.SamPredictor(sam)
    predictor.set_image(image)
    # Expectations that a prompt can tip, so that each of the three masks is the best of some.
    head = decoder.iou_prediction_head.layers[-1]
    head.weight.mul_(10)
    grid = [(x, y) for y in (0.15, 0.5, 0.85) for x in (0.1, 0.4, 0.7, 0.95)]
    expected = []
    for x, y in grid:
        with recorded(decoder) as record:
            predictor.predict(np.array([[x * image.shape[1], y * image.shape[0]]]), np.array([1]))
        expected.append(record.seen["iou"][0])
    head.bias.add_(0.5 - torch.from_numpy(np.median(expected, axis=0)))
    click = dict(point_coords=np.array([[image.shape[1] / 3, image.shape[0] / 2]]), point_labels=np.array([1]))
    with recorded(decoder) as record:
        predictor.predict(**click)
    low, hq = record.seen["masks"][0], decoder.hf_mlp.layers[-1]
    factor = 0.4 * float(low[:4].std() / low[4].std())
    hq.weight.mul_(factor)
    hq.bias.mul_(factor)
    with recorded(decoder) as record:
        predictor.predict(**click)
    low = record.seen["masks"][0]
    for layer, mask, share in zip(heads, low, shares):
        layer.bias[0] = -float(np.quantile(mask + low[4], 1 - share)) / torch.nn.functional.gelu(torch.tensor(3.0))
    return sam


class recorded:
    """What goes into the decoder's `predict_masks` and what comes out, while it lasts.

    Counts how often each of the three masks was best, and how close the closest call was: rounding must not decide it.
    """

    def __init__(self, decoder):
        self.decoder, self.seen = decoder, {}
        self.chosen, self.closest = torch.zeros(3, dtype=torch.int64), 1.0

    def __enter__(self):
        official = self.decoder.predict_masks

        def predict_masks(**given):
            masks, iou = official(**given)
            self.seen.update(masks=masks.numpy(), iou=iou.numpy(), hq_features=given["hq_features"][0].numpy())
            best = iou[:, 1:].topk(2).values
            self.closest = min(self.closest, float((best[:, 0] - best[:, 1]).min()))
            self.chosen += iou[:, 1:].argmax(1).bincount(minlength=3)
            return masks, iou

        self.decoder.predict_masks = predict_masks
        return self

    def __exit__(self, *_):
        del self.decoder.predict_masks


@torch.no_grad()
def rounding(sam, package, images):
    """The largest part of their scale by which logits move when the model is run in float64: how ill the weights are.

    Random weights can amplify rounding without bound (a LayerNorm of two channels that are nearly equal); such a model
    would test luck.
    """
    precise = copy.deepcopy(sam).double()
    precise.prompt_encoder.pe_layer.float()
    precise.prompt_encoder.mask_downscaling.register_forward_pre_hook(lambda m, given: given[0].double())
    worst = 0.0
    for image in images.values():
        predictors = [package.SamPredictor(model) for model in (sam, precise)]
        for predictor in predictors:
            predictor.set_image(image)
        previous = None
        for spec in plain.prompts(image.shape[1], image.shape[0]).values():
            given = dict(box=np.array(spec["box"]) if "box" in spec else None, mask_input=previous if spec.get("mask") else None,
                         multimask_output=spec.get("multimask", True))
            if "points" in spec:
                given.update(point_coords=np.array(spec["points"]), point_labels=np.array(spec["labels"]))
            (_, iou, low), (_, iou64, low64) = [predictor.predict(**given) for predictor in predictors]
            previous = low[:1] if previous is None else previous
            worst = max(worst, np.abs(low - low64).max() / np.abs(low64).max(), np.abs(iou - iou64).max() / np.abs(iou64).max())
    return float(worst)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sam-hq", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    sys.path.insert(0, str(args.sam_hq))
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    import segment_anything
    import segment_anything.modeling as modeling
    import segment_anything.modeling.tiny_vit_sam as tiny
    import segment_anything.utils.amg

    assert args.sam_hq.resolve() in Path(segment_anything.__file__).resolve().parents, "another segment_anything"
    images = {"landscape": plain.picture(300, 200, 1), "portrait": plain.picture(150, 211, 2)}
    with torch.no_grad():
        models = {"vit_hq": (high_quality(modeling, plain.vit(modeling), 32), 50), "tinyvit_hq": (light(modeling, tiny), 34)}
        for name, (sam, seed) in models.items():
            sam = calibrate(plain.randomise(sam, seed), segment_anything, images["landscape"])
            with recorded(sam.mask_decoder) as record:
                plain.goldens(name, sam, segment_anything, images, args.out, lists=LISTS, keep_input=False,
                              extra={"hq_features": lambda: record.seen["hq_features"]})
            noise = rounding(sam, segment_anything, images)
            print(f"{name} best masks {record.chosen.tolist()} closest call {record.closest:.1e} rounding {noise:.1e}")
            assert min(record.chosen) > 0 and record.closest > 3e-4 and noise < 2e-5, "take another seed"


if __name__ == "__main__":
    main()
