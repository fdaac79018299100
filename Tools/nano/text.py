# SPDX-License-Identifier: Apache-2.0
"""Prompts and tokens exactly as Osprey's demo makes them, over our own SentencePiece model."""
import io

import sentencepiece

SYSTEM = ("A chat between a curious human and an artificial intelligence assistant. "
          "The assistant gives helpful, detailed, and polite answers to the human's questions.")
OVERVIEW = "<image>\n\nThis provides an overview of the picture.\n"
QUESTIONS = {
    "caption": "Please give me a short description of <mask><pos>. Using a short phrase.",
    "category": "What is the category of <mask><pos>? Using only one word or phrase.",
    "description": "Can you give me a detailed description of <mask><pos>?",
}


def prompt(style):
    return f"{SYSTEM} USER: {OVERVIEW}{QUESTIONS[style]} ASSISTANT:"


class Tokenizer:
    """SentencePiece plus `<mask>`, `<pos>` (ids behind the vocabulary) and a marker for the picture."""

    def __init__(self, path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.size = self.pieces.vocab_size()
        self.mask, self.pos, self.image = self.size, self.size + 1, -200
        self.eos = self.pieces.eos_id()

    def chunk(self, text):
        """One side of `<image>`: text between special tokens is encoded apart, each with its own `▁`."""
        ids = []
        for i, part in enumerate(text.split("<mask><pos>")):
            ids += [self.mask, self.pos] if i else []
            ids += self.pieces.encode(part) if part else []
        return ids

    def prompt(self, style):
        before, after = prompt(style).split("<image>")
        return [self.pieces.bos_id()] + self.chunk(before) + [self.image] + self.chunk(after)

    def prompts(self):
        """-> (tokens all styles share, {style: the rest})."""
        all_ids = {style: self.prompt(style) for style in QUESTIONS}
        shared = 0
        while len({tuple(ids[:shared + 1]) for ids in all_ids.values()}) == 1:
            shared += 1
        return all_ids["caption"][:shared], {style: ids[shared:] for style, ids in all_ids.items()}

    def answer(self, text):
        """The answer behind `ASSISTANT:`, with its end token."""
        return self.pieces.encode(text) + [self.eos]

    def decode(self, ids):
        return self.pieces.decode(ids)


def train_tokenizer(texts, path, size=600):
    """BPE with byte fallback, LLaMA's settings."""
    model = io.BytesIO()
    texts = list(texts)
    corpus = [prompt(s).replace("<image>", "").replace("<mask><pos>", "").replace("\n", " ") for s in QUESTIONS]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus * (20 + len(texts) // 20) + texts), model_writer=model, model_type="bpe", vocab_size=size,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, add_dummy_prefix=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", split_digits=True, byte_fallback=True, character_coverage=1.0,
        allow_whitespace_only_pieces=True, hard_vocab_limit=False, num_threads=1, minloglevel=2)
    with open(path, "wb") as out:
        out.write(model.getvalue())
