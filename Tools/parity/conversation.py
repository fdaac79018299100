# SPDX-License-Identifier: Apache-2.0
"""Makes the goldens of OspreyTests for follow-up questions: the token ids of conversations.

What runs is the official template (`osprey/conversation.py`, `osprey/mm_utils.py`) and transformers' fast tokenizer, on
the tokenizer that `osprey.py` made. Needs transformers 4.44, sentencepiece, protobuf.
"""
import argparse
import json
import shutil
import sys
import tempfile
import types
from pathlib import Path

import transformers
from transformers import AutoTokenizer, LlamaTokenizer, LlamaTokenizerFast

BEGIN = "<image>\n\nThis provides an overview of the picture.\n"
CONVERSATIONS = [
    [["What is <mask><pos>?", "a red cup"], ["What colour is it?", None]],
    [["What is <mask><pos>?", "A red cup."], ["Is <mask><pos> left of it?", "Yes."], ["And <mask><pos>?", None]],
    [["Is <mask><pos> near <mask><pos>?", "no: it is under the table"], ["Why?\n", "über  日本"], [" <mask><pos>", None]],
    [["<mask><pos>", " a "], ["b", " </s"], ["\n<mask><pos>\n", "▁ ▁"], [" ", None]],
]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--osprey", required=True, help="a checkout of the official repository")
    p.add_argument("--out", required=True, help="the fixtures' folder, with tokenizer.model")
    a = p.parse_args()
    root, out = Path(a.osprey), Path(a.out)
    package = types.ModuleType("osprey")
    package.__path__ = [str(root / "osprey")]
    sys.modules["osprey"] = package
    from osprey.constants import IMAGE_TOKEN_INDEX
    from osprey.conversation import conv_templates
    from osprey.mm_utils import tokenizer_image_token

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(out / "tokenizer.model", folder)
        slow = LlamaTokenizer(folder + "/tokenizer.model", legacy=True)
        LlamaTokenizerFast(tokenizer_object=transformers.convert_slow_tokenizer.convert_slow_tokenizer(slow),
                           legacy=True).save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True)
        tokenizer.add_tokens(["<mask>", "<pos>"], special_tokens=True)

    cases = []
    for turns in CONVERSATIONS:
        conv = conv_templates["osprey_v1"].copy()
        for i, (question, answer) in enumerate(turns):
            conv.append_message(conv.roles[0], (BEGIN if i == 0 else "") + question)
            conv.append_message(conv.roles[1], answer)
        ids = tokenizer_image_token(conv.get_prompt(), tokenizer, IMAGE_TOKEN_INDEX)
        cases.append({"turns": turns, "ids": ids, "prompt": conv.get_prompt()})
        print(repr(conv.get_prompt()[140:]))
    (out / "conversations.json").write_text(json.dumps(cases, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
