"""What a model can be written as for other programs, beside the checkpoint of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from transformers import CLIPModel, PreTrainedTokenizerFast

from lens.models.tokens import END, START, Tokens

Onnx = Literal["onnx"]
Export = Literal["onnx", "pretrained"]
"""``onnx``: a network file that needs no PyTorch; ``pretrained``: a folder for transformers' from_pretrained."""


def several(export: Sequence[Any] | str | None) -> tuple[str, ...]:
    """The setting ``model.export`` as it is meant: none, one or several, each once."""
    if export is None:
        return ()
    return (export,) if isinstance(export, str) else tuple(dict.fromkeys(export))


def save_clip(network: CLIPModel, tokens: Tokens, folder: Path) -> None:
    """Both towers and the vocabulary, for ``CLIPModel.from_pretrained`` and ``AutoTokenizer.from_pretrained``."""
    if tokens.tokenizer is None:
        raise ValueError("the text tower has no vocabulary yet: train it, or load a checkpoint")
    text: Any = network.config.text_config
    text.bos_token_id, text.eos_token_id = (tokens.tokenizer.token_to_id(token) for token in (START, END))
    text.pad_token_id = text.eos_token_id  # transformers reads a text's vector at its first end token
    network.save_pretrained(folder)
    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokens.tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=text.max_position_embeddings,
    )
    saved.save_pretrained(folder)
