# SPDX-License-Identifier: Apache-2.0
"""Compares the program with the official Osprey code at the published sizes, on random weights.

ConvNeXt-Large at 512, the extractor, the projector, and LLaMA-7B's width with a few of its layers, in a folder as Hugging
Face has it (half-precision shards, `added_tokens.json`, the vision tower a raw open_clip file); a tokenizer of up to
32,000 pieces is trained on Python's own sources. Each question goes through the official demo in float32 and through
`pandion trace`; what is printed is the largest difference as a share of the tensor's scale, and whether all tokens are
equal. Needs what osprey.py needs, and 12 GB.

    python Tools/parity/osprey_full.py --osprey CHECKOUT [--layers 2] [--folder KEPT]
"""
import argparse
import io
import json
import subprocess
import sys
import sysconfig
import tempfile
import types
from pathlib import Path

import numpy as np
import sentencepiece
import torch
import transformers
from PIL import Image
from pycocotools import mask as coco
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parent))
import osprey as small  # noqa: E402

HIDDEN, SIZE, TOKENS = 4096, 512, 64
LLAMA = dict(hidden_size=HIDDEN, intermediate_size=11008, num_attention_heads=32, num_key_value_heads=32)


def train_tokenizer(path, size):
    """LLaMA's settings at LLaMA's size, on whatever text every Python carries."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))[:1500]
    lines = [line for f in files for line in f.read_text(errors="ignore").splitlines() if 0 < len(line) < 400]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[:150000]), model_writer=model, model_type="bpe", vocab_size=size, unk_id=0, bos_id=1,
        eos_id=2, pad_id=-1, add_dummy_prefix=True, remove_extra_whitespaces=False, normalization_rule_name="identity",
        split_digits=True, byte_fallback=True, character_coverage=0.9999, allow_whitespace_only_pieces=True,
        hard_vocab_limit=False, num_threads=2, minloglevel=2)
    path.write_bytes(model.getvalue())



def make_folder(folder, llama, layers, seed):
    """Writes the folder and the tower's file -> the model in float32, its weights rounded to half precision."""
    from transformers import LlamaTokenizer, LlamaTokenizerFast
    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer(folder / "tokenizer.model", 32000)
    slow = LlamaTokenizer(str(folder / "tokenizer.model"), legacy=True)
    fast = LlamaTokenizerFast(tokenizer_object=transformers.convert_slow_tokenizer.convert_slow_tokenizer(slow), legacy=True)
    fast.add_tokens(["<mask>", "<pos>"], special_tokens=True)
    fast.save_pretrained(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"<mask>": slow.vocab_size, "<pos>": slow.vocab_size + 1}))
    tower = folder / "open_clip_pytorch_model.bin"
    config = llama.OspreyConfig(
        vocab_size=slow.vocab_size, num_hidden_layers=layers, max_position_embeddings=4096, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=2, mm_hidden_size=small.DIMS[2], mm_projector_type="mlp2x_gelu",
        mm_vision_tower=str(tower), tie_word_embeddings=False, **LLAMA)
    clip = __import__("importlib").import_module("osprey.model.multimodal_encoder.clip")
    torch.save(clip.CLIP().state_dict(), tower)
    model = llama.OspreyLlamaForCausalLM(config)
    small.randomize(model, seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())
    trunk = model.get_model().vision_tower.vision_tower.state_dict()
    torch.save({k: v.half() for k, v in trunk.items()}, tower)
    rest = {k: v for k, v in model.state_dict().items() if "vision_tower" not in k}
    names = sorted(rest)
    halves = [names[: len(names) // 2], names[len(names) // 2:]]
    where = {}
    for i, part in enumerate(halves):
        file = f"pytorch_model-{i + 1:05d}-of-{len(halves):05d}.bin"
        torch.save({k: rest[k].half() for k in part}, folder / file)
        where.update({k: file for k in part})
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    keys = {k: v for k, v in config.to_dict().items() if k not in ("mm_vision_tower", "transformers_version", "_name_or_path")}
    (folder / "config.json").write_text(json.dumps(keys, indent=1, sort_keys=True))
    # The official tower is loaded from this path by the model's own code: give it the names that it saves under.
    torch.save(trunk, folder / "tower.pth")
    return model


def regions(width, height, count):
    """Blobs, a one-pixel column, a row, a single pixel, then boxes of all sizes."""
    y, x = np.mgrid[:height, :width]
    blob = ((y - height * .45) / (height * .3)) ** 2 + ((x - width * .6) / (width * .2)) ** 2 < 1
    column, row, dot = (np.zeros((height, width), bool) for _ in range(3))
    column[:, width // 3 + 1] = row[height // 2, 5:-5] = dot[height // 4, width // 4] = True
    masks = [blob, column, row, dot]
    g = np.random.default_rng(count)
    while len(masks) < count:
        box = np.zeros((height, width), bool)
        x0, y0 = g.integers(0, width - 3), g.integers(0, height - 3)
        box[y0:y0 + g.integers(1, height // 2), x0:x0 + g.integers(1, width // 2)] = True
        masks.append(box)
    return [m.astype(np.uint8) for m in masks[:count]]


def compare(official, ours):
    """The largest difference as a share of the official tensor's scale."""
    a, b = official.detach().float().numpy().astype(np.float64), ours.astype(np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    return np.abs(a - b).max() / np.abs(a).max()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--osprey", required=True, help="a checkout of the official repository")
    p.add_argument("--pandion", default=".build/release/pandion")
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--folder", type=Path, help="where the model is written, and kept")
    p.add_argument("--seed", type=int, default=21)
    p.add_argument("--regions", type=int, nargs="+", default=[1, 2, 7, 40])
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    small.DIMS, small.DEPTHS, small.WIDTH, small.SHAPE = (192, 384, 768, 1536), (3, 3, 27, 3), 1024, 112
    scratch = tempfile.TemporaryDirectory()
    folder = a.folder or Path(scratch.name) / "osprey"
    llama, demo = small.official(Path(a.osprey), SIZE, HIDDEN)
    demo.MAX_NEW = TOKENS
    model = make_folder(folder, llama, a.layers, a.seed).eval()
    predictor = demo.Osprey.__new__(demo.Osprey)
    llama.OspreyLlamaForCausalLM.from_pretrained = classmethod(lambda cls, *_, **__: model)
    fast = transformers.LlamaTokenizerFast
    demo.AutoTokenizer = types.SimpleNamespace(from_pretrained=lambda path, **k: fast.from_pretrained(path, **k))
    predictor.__init__(str(folder), device="cpu")

    worst, equal, cases = {}, 0, 0
    for width, height in ((900, 611), (333, 500)):
        pixels = small.picture(width, height)
        picture = Path(scratch.name) / f"{width}x{height}.png"
        Image.fromarray(pixels).save(picture)
        masks = regions(width, height, max(a.regions))
        asked = [(style, [m]) for style in ("short", "detailed", "category") for m in masks[:4]]
        asked += [(" ".join(["Compare"] + ["<mask><pos>"] * n) + ".", masks[:n]) for n in a.regions]
        for question, chosen in asked:
            kept, _, generated, _ = small.ask(predictor, model, demo, pixels, question, chosen)
            file = Path(scratch.name) / "masks.json"
            rle = [coco.encode(np.asfortranarray(m)) for m in chosen]
            file.write_text(json.dumps([{"segmentation": {"size": r["size"], "counts": r["counts"].decode()}} for r in rle]))
            out = Path(scratch.name) / "trace.safetensors"
            words = ["--style", question] if question in ("short", "detailed", "category") else ["--question", question]
            subprocess.run([a.pandion, "trace", picture, "--masks", file, *words, "--labeler", folder, "--vision-tower",
                            folder / "open_clip_pytorch_model.bin", "--max-tokens", str(TOKENS), "--out", out],
                           check=True, stderr=subprocess.DEVNULL)
            ours = load_file(out)
            names = ["input", "res2", "res3", "res4", "res5", "image_tokens", "mask_tokens", "position_tokens", "prompt_embeddings"]
            figures = {}
            for name in names:
                theirs = kept[name]
                theirs = theirs[0] if theirs.ndim > ours["osprey." + name].ndim else theirs
                figures[name] = compare(theirs, ours["osprey." + name])
            figures["first_logits"] = compare(kept["logits"][0], ours["osprey.first_logits"])
            end = generated[:-1] if generated and generated[-1] == 2 else generated
            same = end == ours["osprey.generated"].tolist()
            cases, equal = cases + 1, equal + same
            for name, value in figures.items():
                worst[name] = max(worst.get(name, 0), value)
            print(f"{width}×{height} {question[:20]!r:24} {len(chosen):2d} regions: {len(end)} tokens {'equal' if same else 'DIFFER'}, "
                  f"least margin {small.margin(kept['logits']):.4f}, largest difference {max(figures.values()):.1e}", flush=True)
    for name, value in worst.items():
        print(f"{name:20} {value:.1e}")
    print(f"{equal} of {cases} answers have the same tokens")
    if equal < cases or max(worst.values()) > 1e-3:
        sys.exit(1)


if __name__ == "__main__":
    main()
