"""The folder of a language model: weights, config, tokenizer, and the n-gram model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from recurnn import files
from recurnn.baselines import Ngram
from recurnn.data.text import Tokenizer, tokenizer_from
from recurnn.errors import DataError, ModelFolderError
from recurnn.models import folder as folder_
from recurnn.models.language.network import Network, network
from recurnn.models.language.options import LanguageOptions

FORMAT = ("recurnn-language-model", 1)
TOKENIZER, NGRAM = "tokenizer.json", "ngram.npz"
_FIELDS = (
    "recipe", "options", "ends", "tokens", "part", "comparison", "verdict", "tokenizer_sha256",
    "ngram",
)  # fmt: skip


def write(
    folder: Path,
    facts: Mapping[str, Any],
    module: Network,
    tokenizer: Tokenizer,
    ngram: Ngram | None,
) -> None:
    """Write a model into a folder that exists.

    Args:
        folder: where to.
        facts: what else to keep; must be JSON.
        module: the network.
        tokenizer: of its tokens.
        ngram: beside it.

    Raises:
        ModelFolderError: the disk refuses.
    """
    text = (tokenizer.to_json() + "\n").encode()
    try:
        files.write(folder / TOKENIZER, text)
    except OSError as error:
        raise ModelFolderError(f"{folder / TOKENIZER} cannot be written: {error}.") from error
    if ngram is not None:
        ngram.save(folder / NGRAM)
    more = {"tokenizer_sha256": hashlib.sha256(text).hexdigest(), "ngram": ngram is not None}
    folder_.write(folder, FORMAT, {**facts, **more}, _tensors(module))


def read(
    folder: str | Path,
) -> tuple[dict[str, Any], Tokenizer, Ngram | None, LanguageOptions, Network]:
    """Read what `write` wrote.

    Raises:
        ModelFolderError: the folder is missing, damaged, or not one of a language model.
    """
    facts, tensors = folder_.read(folder, FORMAT, _FIELDS)
    folder = Path(folder)
    tokenizer = _tokenizer(folder / TOKENIZER, facts["tokenizer_sha256"])
    ngram = Ngram.load(folder / NGRAM) if facts["ngram"] else None
    try:
        options = LanguageOptions(**facts["options"])
        module = network(options, tokenizer.size)
        wanted = _tensors(module)
        if set(wanted) != set(tensors):
            raise ValueError(f"weights differ: {sorted(set(wanted) ^ set(tensors))[:3]}")
        module.load_state_dict(tensors, strict=False)  # shared weights are kept once
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ModelFolderError(
            f"{folder}: the config and the weights do not make a model.\n"
            f"  {str(error).splitlines()[0]}\n"
            "  The config was changed or is damaged. Copy the folder again, or train again."
        ) from error
    return facts, tokenizer, ngram, options, module.eval()


def _tensors(module: Network) -> dict[str, Tensor]:
    """Every weight and buffer once, by the first of its names."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def _tokenizer(path: Path, checksum: str) -> Tokenizer:
    if not path.is_file():
        raise ModelFolderError(
            f"{path.parent}: the tokenizer is missing.\n"
            f"  There is no {path.name}. Copy the whole folder, or train again."
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != checksum:
        raise ModelFolderError(
            f"{path} is damaged: it is not the file that the model was written with.\n"
            "  Copy the folder again, or train again."
        )
    try:
        return tokenizer_from(data.decode(), str(path))
    except DataError as error:
        raise ModelFolderError(str(error)) from error
