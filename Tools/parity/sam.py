# SPDX-License-Identifier: Apache-2.0
"""Goldens for `SegmentAnythingTests`: the official code on small random weights.

    python Tools/parity/sam.py --segment-anything PATH --mobile-sam PATH --out Tests/SegmentAnythingTests/Fixtures

The paths are checkouts of facebookresearch/segment-anything and ChaoningZhang/MobileSAM; needs torch, torchvision, timm,
opencv, pycocotools, safetensors and pillow. Everything is seeded. The only things changed in the official code: MobileSAM
writes its 64×64 grid, its neck's 256 channels and the stride of its last merge (by width) into the class, so the small
model sets these three from outside.
"""
import argparse
import json
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco
from safetensors.numpy import save_file

SIZE, GRID, DIM = 256, 16, 32


def picture(width, height, seed):
    """Soft background, a few hard shapes, a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([120 + 80 * np.sin(x / 37 + c) + 40 * np.cos(y / 23 + 2 * c) for c in range(3)], -1)
    for _ in range(6):
        cx, cy, r = rng.integers(0, width), rng.integers(0, height), rng.integers(12, 50)
        disc = (x - cx) ** 2 + (y - cy) ** 2 < r * r if rng.random() < 0.5 else (abs(x - cx) < r) & (abs(y - cy) < r // 2)
        image[disc] = rng.integers(0, 256, 3)
    return np.clip(image + 4 * rng.integers(-1, 2, image.shape), 0, 255).astype(np.uint8)


def randomise(model, seed):
    """Weights that use the whole range of every operation, rather than the near-zeros of an initialisation."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            last = name.split(".")[-1]
            noise = torch.randn(p.shape, generator=g)
            if p.dim() == 1 and last == "weight":  # a norm
                p.copy_(1 + 0.3 * noise)
            elif last == "bias":
                p.copy_(0.3 * noise)
            elif last in ("rel_pos_h", "rel_pos_w", "pos_embed", "attention_biases"):
                p.copy_(0.7 * noise)
            elif "embed" in name and p.dim() == 2 or "token" in name:
                p.copy_(noise)
            else:
                # The decoder is kept tame, or its attention would blow rounding up beyond any tolerance.
                gain = 0.8 if name.startswith("mask_decoder") else 1.4
                p.copy_(gain * noise / max(p[0].numel(), 1) ** 0.5)
        # Queries and keys that agree make masks depend on where the prompt is; an IoU head near 0.5 lets some pass.
        for name, module in model.named_modules():
            if "cross_attn" in name and hasattr(module, "q_proj"):
                module.k_proj.weight.copy_(module.q_proj.weight)
        head = model.mask_decoder.iou_prediction_head
        head = head.fc if hasattr(head, "fc") else head.layers[-1]
        head.weight.mul_(0.2)
        head.bias.copy_(0.5 + 0.1 * head.bias)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.copy_(0.3 * torch.randn(b.shape, generator=g))
            elif name.endswith("running_var"):
                b.copy_(0.5 + 1.5 * torch.rand(b.shape, generator=g))
            elif name.endswith("gaussian_matrix"):
                b.copy_(0.5 * torch.randn(b.shape, generator=g))
    return model.train().eval()  # TinyViT gathers its biases when it leaves training


def decoder_parts(modeling):
    return dict(
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=DIM, image_embedding_size=(GRID, GRID), input_image_size=(SIZE, SIZE), mask_in_chans=8),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=3, transformer_dim=DIM, iou_head_depth=3, iou_head_hidden_dim=24,
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=DIM, mlp_dim=64, num_heads=8)))


def vit(modeling):
    encoder = modeling.ImageEncoderViT(
        depth=4, embed_dim=32, img_size=SIZE, mlp_ratio=2, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), num_heads=2,
        patch_size=16, qkv_bias=True, use_rel_pos=True, global_attn_indexes=[1, 3], window_size=14, out_chans=DIM)
    return modeling.Sam(image_encoder=encoder, **decoder_parts(modeling))


def tiny_vit(modeling, module):
    class Small(module.TinyViT):
        def forward_features(self, x):
            x = self.patch_embed(x)
            for layer in self.layers:
                x = layer(x)
            return self.neck(x.view(len(x), GRID, GRID, -1).permute(0, 3, 1, 2))

    encoder = Small(
        img_size=SIZE, num_classes=4, embed_dims=[16, 24, 32, 40], depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 5],
        window_sizes=[7, 7, 14, 7], drop_path_rate=0.0, layer_lr_decay=0.8)
    encoder.layers[2].downsample.conv2.c.stride = (1, 1)
    nn = torch.nn
    encoder.neck = nn.Sequential(nn.Conv2d(40, DIM, 1, bias=False), module.LayerNorm2d(DIM),
                                 nn.Conv2d(DIM, DIM, 3, padding=1, bias=False), module.LayerNorm2d(DIM))
    return modeling.Sam(image_encoder=encoder, **decoder_parts(modeling))


@torch.no_grad()
def calibrate(sam, package, image, shares=(0.5, 0.25, 0.12, 0.35)):
    """Moves the logits so that a click's masks cover about these shares of the picture: spots, whose boxes differ.

    Done inside the model: one feature of the upscaled embedding becomes a constant, which the hypernetworks weigh.
    """
    decoder = sam.mask_decoder
    decoder.output_upscaling[3].weight[:, 0] = 0
    decoder.output_upscaling[3].bias[0] = 3
    last = [mlp.layers[-1] for mlp in decoder.output_hypernetworks_mlps]
    for layer in last:
        layer.weight.mul_(20)
        layer.bias.mul_(20)
        layer.weight[0], layer.bias[0] = 0, 0
    predictor = package.SamPredictor(sam)
    predictor.set_image(image)
    click = dict(point_coords=np.array([[image.shape[1] / 3, image.shape[0] / 2]]), point_labels=np.array([1]))
    logits = [predictor.predict(**click, multimask_output=m)[2] for m in (False, True)]
    for layer, low, share in zip(last, np.concatenate(logits), shares):
        layer.bias[0] = -float(np.quantile(low, 1 - share)) / torch.nn.functional.gelu(torch.tensor(3.0))
    return sam


def rle(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def prompts(width, height):
    w, h = width, height
    return {
        "click": dict(points=[[0.4 * w, 0.55 * h]], labels=[1]),
        "single": dict(points=[[0.7 * w, 0.3 * h]], labels=[1], multimask=False),
        "points": dict(points=[[0.2 * w, 0.3 * h], [0.5 * w, 0.62 * h], [0.9 * w, 0.1 * h]], labels=[1, 0, 1]),
        "box": dict(box=[0.1 * w, 0.2 * h, 0.66 * w, 0.9 * h]),
        "box_points": dict(box=[0.3 * w, 0.1 * h, 1.0 * w, 0.7 * h], points=[[0.5 * w, 0.5 * h], [0.8 * w, 0.2 * h]],
                           labels=[1, 0]),
        "mask": dict(mask=True, multimask=False),
        "mask_points": dict(mask=True, points=[[0.3 * w, 0.3 * h]], labels=[0]),
    }


def goldens(name, sam, package, images, out, lists=None, extra=(), keep_input=True):
    """Writes what `package` makes of the images: each prompt's tensors and masks, and `lists` of automatic masks.

    `extra` maps a name to a function that is called after each image's first prompt. The input that the pictures make
    is the same for all models, so that it may be left out.
    """
    seen = {}
    # HQ-SAM's encoder gives its early features too.
    sam.image_encoder.register_forward_hook(
        lambda m, i, o: seen.update(input=i[0][0], embedding=(o[0] if isinstance(o, tuple) else o)[0]))
    sam.prompt_encoder.register_forward_hook(lambda m, i, o: seen.update(sparse=o[0][0], dense=o[1][0]))
    predictor = package.SamPredictor(sam)
    arrays, cases = {}, []
    for label, image in images.items():
        height, width = image.shape[:2]
        predictor.set_image(image)
        if keep_input:
            arrays[f"{label}.input"] = seen["input"][:, ::8].numpy()
        arrays[f"{label}.embedding"] = seen["embedding"].numpy()
        previous = None
        for prompt, spec in prompts(width, height).items():
            masks, iou, low = predictor.predict(
                point_coords=np.array(spec["points"]) if "points" in spec else None,
                point_labels=np.array(spec["labels"]) if "points" in spec else None,
                box=np.array(spec["box"]) if "box" in spec else None,
                mask_input=previous if spec.get("mask") else None,
                multimask_output=spec.get("multimask", True))
            key = f"{label}.{prompt}"
            if previous is None:
                previous = low[:1]
                arrays[f"{label}.mask_input"] = previous[0]
                arrays.update({f"{label}.{key}": read() for key, read in dict(extra).items()})
            arrays[f"{key}.sparse"] = seen["sparse"].numpy()
            if spec.get("mask"):
                arrays[f"{key}.dense"] = seen["dense"].numpy()
            arrays[f"{key}.low_res"], arrays[f"{key}.iou"] = low, iou
            full = sam.postprocess_masks(torch.from_numpy(low)[None], predictor.input_size, predictor.original_size)[0]
            stability = package.utils.amg.calculate_stability_score(full, 0.0, 1.0)
            cases.append(dict(picture=label, name=prompt, masks=[rle(m) for m in masks], stability=stability.nan_to_num(0).tolist(),
                              **spec))
            print(name, key, "area", [float(m.mean().round(3)) for m in masks], "iou", iou.round(3),
                  "|logits|", np.abs(low).max().round(2))
    arrays = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items() if v.size}
    save_file(arrays, out / f"{name}-goldens.safetensors")
    weights = {k: v.numpy() for k, v in sam.state_dict().items() if v.is_floating_point()}
    save_file(weights, out / f"{name}.safetensors")

    automatic = []
    for label, image in images.items():
        for settings in AUTOMATIC if lists is None else lists:
            official = {k: v for k, v in settings.items() if k != "point_grids"}
            if "point_grids" in settings:
                official.update(points_per_side=None, point_grids=[np.array(g) for g in settings["point_grids"]])
            generator = package.SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **official)
            try:
                found = generator.generate(image)
            except IndexError:  # the official code fails where crops leave nothing at all
                found = []
            print(name, label, settings, len(found), "masks")
            automatic.append(dict(picture=label, options=settings, masks=found))
    json.dump(dict(cases=cases, automatic=automatic), open(out / f"{name}.json", "w"))


def crop_goldens(amg):
    """Crop boxes, and which boxes of objects count as cut off by them."""
    rng = np.random.default_rng(5)
    rows = []
    for width, height, layers, ratio in [(300, 200, 1, 512 / 1500), (211, 640, 3, 0.5), (97, 33, 2, 0.0), (1500, 1000, 2, 0.7)]:
        boxes, layer = amg.generate_crop_boxes((height, width), layers, ratio)
        objects, cut = [], []
        for crop in boxes:
            x = np.sort(rng.integers(0, crop[2] - crop[0], (6, 2)))
            y = np.sort(rng.integers(0, crop[3] - crop[1], (6, 2)))
            found = torch.tensor(np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1))
            objects.append(amg.uncrop_boxes_xyxy(found, crop).tolist())
            cut.append(amg.is_box_near_crop_edge(found, crop, [0, 0, width, height]).tolist())
        rows.append(dict(width=width, height=height, layers=layers, ratio=ratio, boxes=boxes, layer=layer,
                         objects=objects, cut=cut))
    grids = [dict(side=s, layers=n, factor=f, grids=[g.tolist() for g in amg.build_all_layer_point_grids(s, n, f)])
             for s, n, f in [(1, 0, 1), (5, 1, 2), (7, 2, 2)]]
    return dict(crops=rows, grids=grids)


AUTOMATIC = [
    dict(points_per_side=4, pred_iou_thresh=0.2, stability_score_thresh=0.05, box_nms_thresh=1.0),
    # At 6 points a side one mask of 89 pixels has a logit of 2e-6 of the scale, which rounding decides.
    dict(points_per_side=5, points_per_batch=7, pred_iou_thresh=0.0, stability_score_thresh=0.01, box_nms_thresh=0.98,
         stability_score_offset=0.3),
    dict(points_per_side=4, pred_iou_thresh=0.05, stability_score_thresh=0.01, box_nms_thresh=1.0, crop_n_layers=1,
         crop_nms_thresh=0.97, crop_n_points_downscale_factor=2),
    dict(points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.01, box_nms_thresh=1.0, crop_n_layers=1,
         crop_nms_thresh=1.0, crop_overlap_ratio=0.6, min_mask_region_area=40),
    dict(point_grids=[[[0.1, 0.2], [0.5, 0.5], [0.9, 0.7]]], pred_iou_thresh=0.0, stability_score_thresh=0.1,
         box_nms_thresh=1.0, min_mask_region_area=60),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segment-anything", type=Path, required=True)
    parser.add_argument("--mobile-sam", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    sys.path += [str(args.segment_anything), str(args.mobile_sam)]
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    import mobile_sam
    import mobile_sam.modeling.tiny_vit_sam as tiny
    import mobile_sam.utils.amg
    import segment_anything
    import segment_anything.utils.amg

    args.out.mkdir(parents=True, exist_ok=True)
    images = {"landscape": picture(300, 200, 1), "portrait": picture(150, 211, 2)}
    for name, image in images.items():
        Image.fromarray(image).save(args.out / f"{name}.png", optimize=True)
    json.dump(crop_goldens(segment_anything.utils.amg), open(args.out / "crops.json", "w"))
    with torch.no_grad():
        goldens("vit", calibrate(
            randomise(vit(segment_anything.modeling), 6), segment_anything, images["landscape"]),
            segment_anything, images, args.out)
        goldens("tinyvit", calibrate(
            randomise(tiny_vit(mobile_sam.modeling, tiny), 6), mobile_sam, images["landscape"]),
            mobile_sam, images, args.out)


if __name__ == "__main__":
    main()
