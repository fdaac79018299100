# SPDX-License-Identifier: Apache-2.0
"""SAM, MobileSAM and ConvNeXt in torch, ONNX Runtime, OpenVINO and Pandion: the same weights, picture and threads.

    pip install torch torchvision timm onnx onnxscript onnxruntime openvino safetensors pillow pycocotools
    python Tools/peers/vision.py --image Examples/desk.jpg --segment-anything PATH [--checkpoint sam_vit_b_01ec64.pth]
        --mobile-sam PATH [--mobile-checkpoint mobile_sam.pt] --osprey FOLDER [--threads 2] [--repeat 3]

Rows: `encoder` (the network alone, of an input made before; `pandion bench --only embed` has all that a new picture takes) and `decoder` (one click and 64 on an encoded picture: three masks each, as low-resolution logits; Pandion's
one click includes the masks at full size, `pandion bench --only points_64` does so for all 64) of segment-anything, `mobile` (MobileSAM's encoder), `convnext` (the trunk of an Osprey folder in
Hugging Face's layout with its open_clip file; `Tools/parity/osprey_full.py --folder` makes one with random weights),
`automatic` (the official generator's whole call, a list of masks). Without a checkpoint, weights are random.

Each peer runs once unmeasured (torch's automatic masks do not), then --repeat times or until --seconds are over; the median counts.
A figure that others disturbed, by more than a tenth of a core, is taken again, and not kept if that is disturbed too.
All that is measured is kept in --results, by row and peer, so rows, peers and steps can be run one by one:
`--steps prepare` exports graphs, `compare` sets outputs against torch's, `time` measures, `table` writes --out.
"""
import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

ROWS = ("encoder", "decoder", "mobile", "convnext", "automatic")
LINES = ("image_encoder", "click", "points_64", "mobile_encoder", "convnext", "automatic")
STEPS = ("prepare", "compare", "time", "table")
# More of the cores' time than this taken by others, and a figure is not kept.
COMPANY = 0.1
PEERS = ("Pandion fp32", "Pandion bf16", "Pandion int8", "torch", "ONNX Runtime", "OpenVINO f32", "OpenVINO bf16")


def several(allowed):
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"'{word}' is none of {', '.join(allowed)}")
        return words
    return parse


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--image", required=True)
    p.add_argument("--segment-anything", help="a checkout of facebookresearch/segment-anything")
    p.add_argument("--model", default="vit_b", choices=["vit_b", "vit_l", "vit_h"])
    p.add_argument("--checkpoint")
    p.add_argument("--mobile-sam", help="a checkout of ChaoningZhang/MobileSAM")
    p.add_argument("--mobile-checkpoint")
    p.add_argument("--osprey", help="a labeler's folder")
    p.add_argument("--points-per-side", type=int, default=16, help="of automatic masks")
    p.add_argument("--rows", type=several(ROWS), default=list(ROWS), help="separated by commas")
    p.add_argument("--steps", type=several(STEPS), default=list(STEPS), help="separated by commas")
    p.add_argument("--peers", type=several(PEERS), default=list(PEERS), help="separated by commas")
    p.add_argument("--pandion", default=".build/release/pandion")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--seconds", type=float, default=12)
    p.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "pandion-peers")
    p.add_argument("--results", type=Path, default=Path("Benchmarks/results.json"))
    p.add_argument("--out", type=Path, default=Path("Benchmarks/RESULTS.md"))
    a = p.parse_args()
    needs = {"encoder": "segment_anything", "decoder": "segment_anything", "automatic": "segment_anything",
             "mobile": "mobile_sam", "convnext": "osprey"}
    for row in a.rows:
        if a.steps != ["table"] and not getattr(a, needs[row]):
            p.error(f"row '{row}' needs --{needs[row].replace('_', '-')}")
    return a


class Results:
    """Figures by row and peer. Those of another machine or another number of threads are dropped: ratios would mean nothing."""

    def __init__(self, a):
        self.path = a.results
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                   platform.machine()) if os.path.exists("/proc/cpuinfo") else platform.machine()
        self.all = {"cpu": cpu, "threads": a.threads, "versions": {}, "lines": {}}
        if self.path.exists():
            stored = json.loads(self.path.read_text())
            if "time" not in a.steps or (stored["cpu"], stored["threads"]) == (cpu, a.threads):
                self.all = stored

    def line(self, key, title):
        line = self.all["lines"].setdefault(key, {"title": title, "milliseconds": {}, "agreement": {}})
        if line["title"] != title:
            line.update(title=title, milliseconds={}, agreement={})
        return line

    def measure(self, key, title, peer, body):
        """Keeps what `body` measures, unless others kept the cores busy meanwhile: then it measures once more, and says so."""
        from runtimes import Company
        for attempt in range(2):
            company = Company()
            milliseconds, runs = body()
            others = company.cores()
            if others < COMPANY:
                return self.time(key, title, peer, milliseconds, runs)
            print(f"{peer:14} {key:16} {milliseconds:10.1f} ms, disturbed by {others:.2f} cores", flush=True)

    def time(self, key, title, peer, milliseconds, runs):
        when = f"{datetime.datetime.now():%Y-%m-%d %H:%M}"
        self.line(key, title)["milliseconds"][peer] = {"median": round(milliseconds, 2), "runs": runs, "when": when}
        print(f"{peer:14} {key:16} {milliseconds:10.1f} ms", flush=True)
        self.write()

    def agreement(self, key, title, peer, text):
        self.line(key, title)["agreement"][peer] = text
        print(f"{peer:14} {key:16} {text}", flush=True)
        self.write()

    def write(self):
        # Versions as they are installed, without importing them.
        from importlib.metadata import PackageNotFoundError, version
        for name in ("torch", "onnxruntime", "openvino", "timm"):
            try:
                self.all["versions"][name] = version(name)
            except PackageNotFoundError:
                pass
        self.path.write_text(json.dumps(self.all, indent=1, ensure_ascii=False) + "\n")


def difference(ours, reference):
    """The largest one, of the reference's scale, over all outputs."""
    worst = 0
    for x, y in zip(ours, reference, strict=True):
        x = x.reshape(y.shape).astype(np.float64)
        worst = max(worst, float(np.abs(x - y).max() / np.abs(y).max()))
    return worst


def network(a, subject, peers, results, stem):
    """Compares and times a subject in each peer that was asked for."""
    from runtimes import OnnxRuntime, OpenVino, Torch, arrays, timed
    shown = subject.parts[subject.compared]
    reference = a.work / f"{stem}.reference.npz"
    if {"prepare", "compare"} & set(a.steps) and not reference.exists():
        np.savez(reference, *arrays(subject.module(*shown.inputs.values())))
    def against(peer, outputs):
        with np.load(reference) as file:
            results.agreement(subject.compared, shown.title, peer,
                              f"{difference(outputs, [file[k] for k in file.files]):.1e}")
    for runtime in (Torch(a), OnnxRuntime(a), OpenVino(a)):
        for peer in runtime.peers:
            if peer not in a.peers or not {"compare", "time"} & set(a.steps):
                continue
            run = runtime.runner(peer, subject)
            if "compare" in a.steps and peer != "torch":
                against(peer, arrays(run(shown)))
            if "time" in a.steps:
                for key, part in subject.parts.items():
                    results.measure(key, part.title, peer, lambda: timed(lambda: run(part), a.repeat, a.seconds))
            del run
    for peer in a.pandion_peers.peers:
        if peer not in a.peers:
            continue
        if "compare" in a.steps:
            trace = a.pandion_peers.trace(subject.trace, peer)
            against(peer, [trace[k] for k in subject.traced])
        if "time" in a.steps:
            for key, part in subject.parts.items():
                if peer.split()[1] in part.precisions:
                    results.measure(key, part.title, peer, lambda: a.pandion_peers.bench(peer, part))


def automatic_masks(a, pixels, results):
    import automatic
    path, _ = automatic.official(a)
    part = automatic.part(a, path)
    if "time" in a.steps and "torch" in a.peers:
        results.measure("automatic", part.title, "torch", lambda: (automatic.run_official(a, pixels), 1))
    for peer in a.pandion_peers.peers:
        if peer in a.peers and peer.split()[1] in part.precisions:
            if "time" in a.steps:
                results.measure("automatic", part.title, peer, lambda: a.pandion_peers.bench(peer, part))
            if "compare" in a.steps and (text := automatic.compare(a, path, a.pandion_peers, peer)):
                results.agreement("automatic", part.title, peer, text)


def table(a, results):
    """Benchmarks/RESULTS.md, from all figures there are."""
    stored, versions = results.all, results.all["versions"]
    lines = [stored["lines"][key] for key in LINES if key in stored["lines"]]
    days = sorted({v["when"].split()[0] for line in lines for v in line["milliseconds"].values()})
    text = [
        "# Vision beside its peers", "",
        f"{' to '.join(dict.fromkeys(days[:1] + days[-1:]))}, {stored['cpu']}, {stored['threads']} threads; "
        + ", ".join(f"{k} {v}" for k, v in versions.items()) + ". Milliseconds, in brackets how many times as long as Pandion in "
        "the same precision. `Tools/peers/vision.py` measures, keeps its figures in `results.json` with "
        "the time at which each was taken and the number of runs that it is the median of, and writes this table.", "",
        "| | " + " | ".join(PEERS) + " |", "|---" * (len(PEERS) + 1) + "|"]
    for line in lines:
        times, cells = {k: v["median"] for k, v in line["milliseconds"].items()}, []
        for peer in PEERS:
            base = times.get("Pandion bf16" if peer.endswith("bf16") else "Pandion fp32")
            ratio = f" ({times[peer] / base:.2f}×)" if peer in times and base and not peer.startswith("Pandion") else ""
            cells.append(f"{times[peer]:.1f}{ratio}" if peer in times else "")
        text.append(f"| {line['title']} | " + " | ".join(cells) + " |")
    text += ["", "How far outputs are from torch's, as a share of the output's scale (the greatest difference), or as lists of masks:", ""]
    text += [f"- {line['title']}: " + "; ".join(f"{k} {v}" for k, v in line["agreement"].items()) + "."
             for line in lines if line["agreement"]]
    print("\n".join(text))
    a.out.write_text("\n".join(text) + "\n")


def main():
    a = arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(a.threads))
    results = Results(a)
    if a.steps != ["table"]:
        import torch
        from PIL import Image
        import runtimes
        import subjects
        torch.set_num_threads(a.threads)
        torch.manual_seed(0)
        a.work.mkdir(parents=True, exist_ok=True)
        a.pandion_peers = runtimes.Pandion(a)
        pixels = np.array(Image.open(a.image).convert("RGB"))
        for row in a.rows:
            with torch.no_grad():
                if row == "automatic":
                    automatic_masks(a, pixels, results)
                    continue
                if row == "mobile":
                    subject = subjects.mobile(a, pixels)
                elif row == "convnext":
                    subject = subjects.convnext(a, pixels, a.pandion_peers.trace)
                else:
                    subject, = subjects.sam(a, pixels, [row])
                if "prepare" in a.steps:
                    runtimes.graph(a, subject)
                network(a, subject, a.peers, results, runtimes.stem(a, subject))
    if "table" in a.steps:
        table(a, results)


if __name__ == "__main__":
    main()
