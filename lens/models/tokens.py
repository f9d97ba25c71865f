"""The vocabulary of a text tower: the published one where it can be had, else a byte-level BPE of the captions."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import AutoTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
SMALLEST_PUBLISHED = 1000  # transformers answers with a vocabulary of two words where the files are missing
TRAINED_SIZE = 8192


class Tokens:
    """Texts to padded token ids, each between a start and an end token; kept in a checkpoint as JSON."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def none(cls) -> "Tokens":
        """No vocabulary yet; `train` makes one."""
        return cls(None)

    @classmethod
    def from_json(cls, text: str) -> "Tokens":
        return cls(Tokenizer.from_str(text) if text else None)

    @classmethod
    def read(cls, place: str | Path, cache_only: bool) -> "Tokens":
        """The vocabulary saved beside a model. Raises OSError or ValueError where there is none."""
        found = AutoTokenizer.from_pretrained(place, local_files_only=cache_only, use_fast=True)
        if len(found) < SMALLEST_PUBLISHED and not (Path(place) / "tokenizer.json").is_file():
            raise ValueError(f"{place} holds no tokenizer (a vocabulary of {len(found)} words)")
        return cls.from_json(found.backend_tokenizer.to_str())

    @classmethod
    def train(cls, captions: Iterable[str]) -> "Tokens":
        """A lower-case byte-level BPE: it can spell every text, also one with words that were never seen."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=TRAINED_SIZE,
            special_tokens=[START, END],
            initial_alphabet=alphabet,
            show_progress=False,
        )
        tokenizer.train_from_iterator(captions, trainer)
        ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {END}", special_tokens=ends
        )
        return cls(tokenizer)

    @property
    def empty(self) -> bool:
        return self.tokenizer is None

    def to_json(self) -> str:
        return "" if self.tokenizer is None else str(self.tokenizer.to_str())

    def encode(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        """Ids and mask, int64 [T, L], L the longest of the texts, cut at ``longest``.

        Raises:
            ValueError: there is no vocabulary yet.
        """
        if self.tokenizer is None:
            raise ValueError("the text tower has no vocabulary yet: train it, or load a checkpoint")
        self.tokenizer.enable_truncation(longest)
        self.tokenizer.enable_padding(pad_id=self.tokenizer.token_to_id(END), pad_token=END)
        encoded = self.tokenizer.encode_batch(list(texts))
        ids = torch.tensor([item.ids for item in encoded])
        return ids, torch.tensor([item.attention_mask for item in encoded])
