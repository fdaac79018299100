# SPDX-License-Identifier: Apache-2.0
"""Trains the SentencePiece model on the prompts and on the words of the scenes made so far."""
import argparse
import json
import random

from scenes_data import list_scenes
from text import Tokenizer, train_tokenizer


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--size", type=int, default=800)
    p.add_argument("--scenes", type=int, default=1500, help="how many scenes to read at most")
    a = p.parse_args()
    texts = []
    for stem in list_scenes(a.data)[:a.scenes]:
        for node in json.loads(stem.with_suffix(".json").read_text())["nodes"]:
            texts += [node["caption"], node["category"], node["description"]]
    random.Random(0).shuffle(texts)
    train_tokenizer(texts, a.out, a.size)
    tokenizer = Tokenizer(a.out)
    shared, questions = tokenizer.prompts()
    print("vocabulary", tokenizer.size, "shared", len(shared), {k: len(v) for k, v in questions.items()})
    print("answers", {t: len(tokenizer.answer(t)) for t in texts[:6]})


if __name__ == "__main__":
    main()
