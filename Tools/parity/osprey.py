# SPDX-License-Identifier: Apache-2.0
"""Makes the goldens of OspreyTests by running the official Osprey code on random weights at small sizes.

What runs is theirs: `demo/osprey_inference.py` with `osprey.model`, timm's ConvNeXt, transformers' LLaMA and its fast
tokenizer. What is changed, in memory only: sizes written into the source, half precision to float32, sampling to
greedy. Needs timm, transformers 4.44, sentencepiece, protobuf, safetensors, pillow.
"""
import argparse
import importlib
import io
import json
import random
import shutil
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import sentencepiece
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.models.convnext import ConvNeXt
from torch import nn

DIMS, DEPTHS, WIDTH, SHAPE = (8, 16, 24, 32), (1, 1, 2, 1), 32, 28
HIDDEN = 48
WORDS = """the a of with in on under beside red green blue large small round square left right cup table chair wooden metal
picture region description category phrase word short detailed robot arm drawer handle lamp leg seat top open closed""".split()


def sources(path, size, hidden):
    """The changes to the official sources, by module: (old, new) pairs that must occur."""
    layer = [(f"nn.Linear({192 * 2 ** i}, 1024)", f"nn.Linear({DIMS[i]}, {WIDTH})") for i in range(4)]
    layer += [("mask_shape=112, embed_dim=1024, out_dim=4096", f"mask_shape={SHAPE}, embed_dim={WIDTH}, out_dim={hidden}"),
              ("mask.shape[1], 1024)", f"mask.shape[1], {WIDTH})")]
    arch = [("inputs_embeds.bfloat16()", "inputs_embeds.float()"), ("self.model.bfloat16()", "self.model.float()")]
    demo = [("512", str(size)), ("torch.bfloat16", "torch.float32"), ("torch.float16", "torch.float32"),
            (".half()", ".float()"), ("do_sample=True", "do_sample=False"), ("max_new_tokens=1024", "max_new_tokens=MAX_NEW"),
            ("device='cuda'", "device='cpu'"), ("from osprey.train.train import DataArguments", ""),
            ("torch.Tensor(mask).unsqueeze(0)", "torch.Tensor(mask)")]  # several masks at once
    return {"osprey.model.layer": layer, "osprey.model.language_model.osprey_llama": arch, "demo": demo}


def load(path, name, changes):
    text = Path(path).read_text()
    for old, new in changes:
        assert old in text, (name, old)
        text = text.replace(old, new)
    module = types.ModuleType(name)
    module.__file__, module.__package__ = str(path), name.rpartition(".")[0]
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def official(root, size, hidden):
    """Imports the official modules with their changes, open_clip's tower replaced by timm's at small widths."""
    for name in [n for n in sys.modules if n == "osprey" or n.startswith("osprey.")]:
        del sys.modules[name]

    class Visual(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = ConvNeXt(depths=DEPTHS, dims=DIMS, num_classes=0, global_pool="")

    stub = types.ModuleType("open_clip.model")
    stub._build_vision_tower = lambda **_: Visual()
    sys.modules["open_clip"], sys.modules["open_clip.model"] = types.ModuleType("open_clip"), stub

    package = types.ModuleType("osprey")
    package.__path__ = [str(root / "osprey")]
    sys.modules["osprey"] = package
    for name in ("osprey.model", "osprey.model.language_model"):
        module = types.ModuleType(name)
        module.__path__ = [str(root / name.replace(".", "/"))]
        sys.modules[name] = module
    utils = types.ModuleType("osprey.utils")
    utils.disable_torch_init = lambda: None
    sys.modules["osprey.utils"] = utils
    changes = sources(root, size, hidden)
    load(root / "osprey/model/layer.py", "osprey.model.layer", changes["osprey.model.layer"])

    register = transformers.AutoConfig.register, transformers.AutoModelForCausalLM.register
    transformers.AutoConfig.register = transformers.AutoModelForCausalLM.register = lambda *a, **k: None
    llama = load(root / "osprey/model/language_model/osprey_llama.py", "osprey.model.language_model.osprey_llama",
                 changes["osprey.model.language_model.osprey_llama"])
    transformers.AutoConfig.register, transformers.AutoModelForCausalLM.register = register
    arguments = "class DataArguments: pass\nMAX_NEW = 24\n"
    text = (root / "demo/osprey_inference.py").read_text()
    for old, new in changes["demo"]:
        assert old in text, old
        text = text.replace(old, new)
    demo = types.ModuleType("demo")
    exec(compile(arguments + text, "demo/osprey_inference.py", "exec"), demo.__dict__)
    return llama, demo


def train_tokenizer(path):
    """LLaMA's settings, a vocabulary of a few hundred."""
    r = random.Random(3)
    texts = [" ".join(r.choices(WORDS, k=r.randint(2, 9))) + r.choice([".", "?", "", ","]) for _ in range(4000)]
    texts += ["A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
              "detailed, and polite answers to the human's questions. USER: This provides an overview of the picture. "
              "Please give me a short description of this. Using a short phrase. ASSISTANT: What is the category? "
              "Can you give me a detailed description? Using only one word or phrase."] * 60
    texts += ["Größe naïve café über été", "カップ 机 椅子", "a  b   c    d"] * 20
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="bpe", vocab_size=560, unk_id=0, bos_id=1,
        eos_id=2, pad_id=-1, add_dummy_prefix=True, remove_extra_whitespaces=False, normalization_rule_name="identity",
        split_digits=True, byte_fallback=True, character_coverage=1.0, allow_whitespace_only_pieces=True,
        hard_vocab_limit=False, num_threads=1, minloglevel=2)
    path.write_bytes(model.getvalue())


def train_plain_tokenizer(path):
    """Other settings: no bytes, spaces collapsed, a user's own pieces."""
    r = random.Random(4)
    texts = [" ".join(r.choices(WORDS, k=r.randint(2, 9))) for _ in range(2000)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="bpe", vocab_size=160, unk_id=0, bos_id=1,
        eos_id=2, pad_id=-1, remove_extra_whitespaces=True, normalization_rule_name="identity",
        user_defined_symbols=["robotarm", "[x]", "ee"], hard_vocab_limit=False, num_threads=1, minloglevel=2)
    path.write_bytes(model.getvalue())


def strings():
    r = random.Random(5)
    alphabets = ["abcdefghij klmnop qrst uvwxyz   ", "äöüß éèê ñçø ", "日本語カップ机 中文한국", "0123456789 .,:;?!-'\"()",
                 "\t\n\r\x00\x01\x7f ", "🙂🦅👩‍👩‍👧 🇩🇪", "▁▁ ▁a", "<mask><pos></s><s><unk><0x0A>[x]ee robotarm"]
    out = ["", " ", "  ", "\n", "\n\n", "▁", "a", " a", "a ", "<s>", "</s>", "<unk>", "<0x41>", "<mask><pos>", "\u00a0", "\ufeffx",
           "\U0010ffff", "e\u0301", "x" * 300, " " * 100, "\n\nThis provides an overview of the picture.\n", "eeee[x]e robotarm"]
    for _ in range(2900):
        out.append("".join(r.choice(r.choice(alphabets)) for _ in range(r.randint(1, 40))))
    for _ in range(1300):
        out.append(" ".join(r.choices(WORDS, k=r.randint(1, 12))) + r.choice(["", ".", "?", "\n", "  "]))
    for _ in range(800):
        out.append("".join(chr(c) for c in (r.randrange(0x110000) for _ in range(r.randint(1, 8))) if not 0xd800 <= c < 0xe000))
    return out


def tokenizer_golden(folder, name):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.model"))
    r = random.Random(6)
    cases = []
    for text in strings():
        ids = pieces.encode(text)
        decoded = pieces.decode(ids)
        cases.append({"text": text, "ids": ids, **({} if decoded == text else {"decoded": decoded})})
    ids = [[r.randrange(pieces.vocab_size()) for _ in range(r.randint(0, 12))] for _ in range(400)]
    decoded = [{"ids": i, "text": pieces.decode(i)} for i in ids]
    (folder / f"{name}.json").write_text(json.dumps({"encode": cases, "decode": decoded}, ensure_ascii=True, separators=(",", ":")))


def picture(width, height):
    """A pattern that the tests make again from the same formula."""
    y, x, c = np.mgrid[:height, :width, :3]
    return (((x * (3 + c) + y * (5 - c)) ^ ((x * y) >> (4 + c))) & 255).astype(np.uint8)


def randomize(model, seed):
    """Weights large enough that every part matters to the answer."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if name.endswith("gamma"):
                p.copy_(0.3 + 0.2 * noise)
            elif "norm" in name and name.endswith("weight") or "stem.1.weight" in name or "downsample.0.weight" in name:
                p.copy_(1 + 0.1 * noise)
            elif p.ndim == 1:
                p.copy_(0.1 * noise)
            elif "embed_tokens" in name:
                p.copy_(noise)
            elif "conv_dw" in name:
                p.copy_(noise / 7)
            elif "o_proj" in name or "down_proj" in name:
                p.copy_(noise * (16 / p[0].numel()) ** 0.5)
            elif "lm_head" in name:
                p.copy_(3 * noise / p.shape[1] ** 0.5)
            else:
                p.copy_(noise * (1.3 / p[0].numel()) ** 0.5)


def make_folder(folder, tokenizer, llama, seed, heads, kv_heads, tied, extra):
    from transformers import LlamaTokenizer, LlamaTokenizerFast
    folder.mkdir(parents=True)
    shutil.copy(tokenizer, folder / "tokenizer.model")
    slow = LlamaTokenizer(str(folder / "tokenizer.model"), legacy=True)
    LlamaTokenizerFast(tokenizer_object=transformers.convert_slow_tokenizer.convert_slow_tokenizer(slow),
                       legacy=True).save_pretrained(folder)
    size = slow.vocab_size
    tower = folder / "tower.pth"
    config = llama.OspreyConfig(
        vocab_size=size, hidden_size=HIDDEN, intermediate_size=80, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=2048, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=tied, mm_hidden_size=DIMS[2], mm_projector_type="mlp2x_gelu", mm_vision_tower=str(tower), **extra)
    clip = importlib.import_module("osprey.model.multimodal_encoder.clip")
    torch.save(clip.CLIP().state_dict(), tower)
    model = llama.OspreyLlamaForCausalLM(config)
    randomize(model, seed)
    if tied:
        model.tie_weights()
    torch.save(model.get_model().vision_tower.vision_tower.state_dict(), tower)
    return model, config


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--osprey", required=True, help="a checkout of the official repository")
    p.add_argument("--out", required=True, help="the fixtures' folder")
    a = p.parse_args()
    root, out = Path(a.osprey), Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    train_tokenizer(out / "tokenizer.model")
    train_plain_tokenizer(out / "plain.model")
    tokenizer_golden(out, "tokenizer")
    tokenizer_golden(out, "plain")

    variants = {
        "plain_heads": dict(heads=4, kv_heads=4, tied=False, size=128, seed=11, extra={}),
        "grouped": dict(heads=6, kv_heads=2, tied=True, size=128, seed=12, extra={"rope_theta": 50000.0}),
        "full_size": dict(heads=4, kv_heads=4, tied=False, size=512, seed=11, extra={}),
    }
    for name, v in variants.items():
        with tempfile.TemporaryDirectory() as scratch:
            run(name, v, root, out, Path(scratch) / "model")


def run(name, v, root, out, folder):
    llama, demo = official(root, v["size"], HIDDEN)
    model, config = make_folder(folder, out / "tokenizer.model", llama, v["seed"], v["heads"], v["kv_heads"], v["tied"], v["extra"])
    predictor = demo.Osprey.__new__(demo.Osprey)
    loaded = model.eval()
    llama.OspreyLlamaForCausalLM.from_pretrained = classmethod(lambda cls, *a, **k: loaded)
    from transformers import LlamaTokenizerFast
    demo.AutoTokenizer = types.SimpleNamespace(from_pretrained=lambda path, **k: LlamaTokenizerFast.from_pretrained(path, **k))
    predictor.__init__(str(folder), device="cpu")

    if name != "full_size":
        state = {k: t.detach().clone().contiguous() for k, t in model.state_dict().items()}
        tower = {k.split("vision_tower.vision_tower.")[1]: t for k, t in state.items() if "vision_tower" in k}
        rest = {k: t for k, t in state.items() if "vision_tower" not in k and not (v["tied"] and k == "lm_head.weight")}
        save_file(tower, out / f"{name}.tower.safetensors")
        save_file(rest, out / f"{name}.safetensors")
        keys = {k: t for k, t in config.to_dict().items() if k not in ("mm_vision_tower", "transformers_version", "_name_or_path")}
        (out / f"{name}.config.json").write_text(json.dumps(keys, indent=1, sort_keys=True) + "\n")

    cases = []
    tensors = {}
    pictures = {"landscape": (200, 150), "portrait": (90, 171), "strip": (640, 40)} if name != "full_size" \
        else {"large": (900, 611)}
    for title, (width, height) in pictures.items():
        pixels = picture(width, height)
        blob = np.zeros((height, width), np.uint8)
        yy, xx = np.mgrid[:height, :width]
        blob[((yy - height * .45) / (height * .3)) ** 2 + ((xx - width * .6) / (width * .2)) ** 2 < 1] = 1
        box = np.zeros_like(blob)
        box[height // 3:height // 2, width // 4:width // 2] = 1
        line = np.zeros_like(blob)
        line[:, width // 3 + 1] = 1
        questions = [("short", [blob]), ("detailed", [box]), ("short", [line])]
        if title != "strip":
            questions += [("category", [blob]), ("Is <mask><pos> left of <mask><pos>, über 日本?\nSay  so.", [box, line]),
                          ("<mask><pos><mask><pos> <mask><pos>", [line, blob, box])]
        for number, (question, masks) in enumerate(questions if name != "full_size" else questions[:1]):
            case = one(name, f"{title}.{number}", predictor, model, demo, pixels, question, masks, tensors,
                       v["size"], first=number == 0)
            cases.append({"name": f"{title}.{number}", "width": width, "height": height, **case})
    save_file({k: t.contiguous() for k, t in tensors.items()}, out / f"{name}.golden.safetensors")
    (out / f"{name}.json").write_text(json.dumps({"size": v["size"], "cases": cases}) + "\n")


def runs(mask):
    """Row-major run lengths, zeros first."""
    flat = mask.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return lengths if flat[0] == 0 else [0] + lengths


def ask(predictor, model, demo, pixels, question, masks):
    """Runs the demo's `osprey_predict` -> what passed on its way, by name, the prompt's ids, the ids generated, the answer."""
    kept = {}
    styles = {"short": "short description", "detailed": "detailed description"}
    begin = "<image>\n\nThis provides an overview of the picture.\n"
    text = {"category": "What is the category of <mask><pos>? Using only one word or phrase."}.get(question, question)
    saved = predictor.input_ids_detailed
    if question not in styles:
        conv = demo.conv_templates["osprey_v1"].copy()
        conv.append_message(conv.roles[0], begin + text)
        conv.append_message(conv.roles[1], None)
        predictor.input_ids_detailed = demo.tokenizer_image_token(
            conv.get_prompt(), predictor.tokenizer, demo.IMAGE_TOKEN_INDEX, return_tensors="pt").unsqueeze(0)

    hooks = []
    clip = model.get_model().vision_tower
    hooks.append(clip.register_forward_hook(lambda m, i, o: kept.update(input=i[0], **o[1])))
    hooks.append(model.get_model().mm_projector.register_forward_hook(lambda m, i, o: kept.update(image_tokens=o)))
    hooks.append(model.mask_extractor.register_forward_hook(lambda m, i, o: kept.update(mask_tokens=o[0][0], position_tokens=o[1][0])))
    hooks.append(model.model.layers[0].register_forward_pre_hook(
        lambda m, i: kept.setdefault("prompt_embeddings", i[0]) is None or None))
    hooks.append(model.lm_head.register_forward_hook(lambda m, i, o: kept.setdefault("logits", []).append(o[0, -1]) and None))
    generate = type(model).generate

    def recorded(self, ids, **kwargs):
        kept["ids"] = generate(self, ids, **kwargs)
        return kept["ids"]

    type(model).generate = recorded
    try:
        answer = predictor.osprey_predict(Image.fromarray(pixels), np.stack(masks).astype(np.float32), styles.get(question))
    finally:
        type(model).generate = generate
        for hook in hooks:
            hook.remove()
        ids_in = predictor.input_ids_short if question == "short" else predictor.input_ids_detailed
        predictor.input_ids_detailed = saved
    return kept, ids_in, kept["ids"][0, ids_in.shape[1]:].tolist(), answer


def margin(logits):
    """The least distance of a chosen token's logit from the next: what an error must stay below."""
    return min((lambda t: (t[0] - t[1]).item())(step.topk(2).values) for step in logits)


def one(variant, case, predictor, model, demo, pixels, question, masks, tensors, size, first):
    """One question's goldens."""
    kept, ids_in, generated, answer = ask(predictor, model, demo, pixels, question, masks)
    logs = [torch.log_softmax(logits.double(), -1)[i].item() for logits, i in zip(kept["logits"], generated)]
    picks = {"mask_tokens": kept["mask_tokens"], "position_tokens": kept["position_tokens"], "first_logits": kept["logits"][0],
             "prompt_embeddings": kept["prompt_embeddings"][0]}
    if first:
        picks.update(input=kept["input"][0], image_tokens=kept["image_tokens"][0], **{f"res{i}": kept[f"res{i}"][0] for i in range(2, 6)})
    for key, tensor in picks.items():
        # Large tensors by every 7th or 101st number.
        step = 1 if tensor.numel() < 9000 else 7 if tensor.numel() < 100000 else 101
        name = f"{case}.{key}"
        tensors[name] = tensor.detach().float().flatten()[::step].clone()
    raw = predictor.tokenizer.decode([i for i in generated], skip_special_tokens=True)
    print(variant, case, len(generated), "tokens, least margin %.4f" % margin(kept["logits"]), repr(raw[:60]))
    ended = generated and generated[-1] == 2
    return {"question": question, "runs": [runs(m) for m in masks], "prompt_ids": ids_in[0].tolist(),
            "generated": generated[:-1] if ended else generated, "mean_log_probability": sum(logs) / len(logs),
            "raw": raw, "answer": answer,
            "empty": [[level for level in ("res2", "res3", "res4", "res5")
                       if not (torch.nn.functional.interpolate(torch.tensor(m)[None, None].float(), kept[level].shape[-2:],
                                                               mode="bilinear") > 0).any()] for m in masks]}


if __name__ == "__main__":
    main()
