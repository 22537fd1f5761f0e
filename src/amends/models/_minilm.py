"""``local/minilm``: what a text means, as 384 numbers, by all-MiniLM-L6-v2 with weights of eight bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from amends.models._weights import verified_path

__all__ = ["DIMENSIONS", "MAX_TOKENS", "Embedding", "TextEmbedder"]

DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model was trained to read at once; the marks of beginning and end count."""

_BATCH_TOKENS = 768
"""Padded tokens in one run: measured on one thread, 16 short texts together take 0.7 of their time singly, long ones 1.2."""
_MAX_CHARS_A_TOKEN = 32
"""More of a text than this for each token of a window is cut off unread: no text worth reading has such words."""

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedding:
    """vector: of length 1. tokens: how many were read. truncated: whether the text went on after them."""

    vector: Vector
    tokens: int
    truncated: bool


class TextEmbedder:
    """The loaded model. Importing and loading take half a second and 150 MB; do it once a process.

    threads: how many threads one run may use. Raises WeightsUnusable where weights or tokenizer are missing or altered.
    A text's vector does not depend on its neighbours, except for the rounding of the last digits.
    """

    def __init__(self, *, threads: int = 1) -> None:
        # The file's own settings cut at 128 tokens and pad to as many: neither is the model's.
        self._tokenizer: Any = Tokenizer.from_file(str(verified_path("minilm-tokenizer")))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = str(verified_path("minilm"))
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Return the embedding of each text's beginning, in the order of ``texts``."""
        encoded = self._encode(texts, windows=1)
        vectors = self._vectors([windows[0] for windows in encoded])
        return [
            Embedding(vector, len(windows[0].ids), len(windows) > 1 or len(text) > _readable(1))
            for text, windows, vector in zip(texts, encoded, vectors, strict=True)
        ]

    def embed_whole(self, texts: Sequence[str], *, windows: int) -> list[Embedding]:
        """Return the mean over the first ``windows`` stretches of ``MAX_TOKENS`` of each text, in the order of ``texts``."""
        encoded = self._encode(texts, windows)
        vectors = iter(self._vectors([window for found in encoded for window in found[:windows]]))
        out = []
        for text, found in zip(texts, encoded, strict=True):
            read = found[:windows]
            total = np.sum([next(vectors) for _ in read], axis=0)
            truncated = len(found) > windows or len(text) > _readable(windows)
            out.append(Embedding(total / np.linalg.norm(total), sum(len(window.ids) for window in read), truncated))
        return out

    def _encode(self, texts: Sequence[str], windows: int) -> list[list[Encoding]]:
        encoded = self._tokenizer.encode_batch([text[: _readable(windows)] for text in texts])
        return [[encoding, *encoding.overflowing] for encoding in encoded]

    def _vectors(self, encodings: Sequence[Encoding]) -> list[Vector]:
        """Run those of like length together, so that little is padded."""
        vectors: dict[int, Vector] = {}
        for batch in _batches(encodings):
            vectors.update(zip(batch, self._run([encodings[number] for number in batch]), strict=True))
        return [vectors[number] for number in range(len(encodings))]

    def _run(self, encodings: Sequence[Encoding]) -> npt.NDArray[np.float32]:
        ids = np.zeros((len(encodings), max(len(encoding.ids) for encoding in encodings)), np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(["last_hidden_state"], inputs)
        mean = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)


def _readable(windows: int) -> int:
    return windows * MAX_TOKENS * _MAX_CHARS_A_TOKEN


def _batches(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    batch: list[int] = []
    for number in sorted(range(len(encodings)), key=lambda number: len(encodings[number].ids)):
        if batch and len(encodings[number].ids) * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
