"""Fills gaps that the rules left: with a value that is the only likely one, and the language model's choice as well.

The model chooses among values that stand in the text, and its choice counts only where it is the one that stands nearest.
So nothing that it says, and nothing that a document makes it say, becomes an output by itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ._gaps import Gap, IsFree, Proposal, Sentence, proposals

if TYPE_CHECKING:
    from amends.models._smollm2 import ChatModel

__all__ = ["LoadChat", "fill"]

_SECONDS = 30.0
"""For a document's question, which takes two or three on a calm machine. Reading it is not cut short, only answering."""
_MAX_CHARS = 1_800
_MAX_ASKED = 12
_MAX_OPTIONS = 24
_MAX_OPTION_CHARS = 80
_TOKENS_AN_ANSWER = 40

_logger = logging.getLogger(__name__)

LoadChat = Callable[[], "ChatModel | None"]
"""Gives the language model, loaded when first asked for; None where it cannot be had."""


def fill(pages: Sequence[tuple[int, str]], gaps: Sequence[Gap], is_free: IsFree, load_chat: LoadChat) -> list[Proposal]:
    """Return what fills the gaps. The model is asked once at most, and not where there is nothing to choose from."""
    likely = _fitting(proposals(pages, gaps, is_free))
    sentences = sorted({one.candidate.sentence for one in likely})
    in_order = sorted(likely, key=lambda one: [gap.pointer for gap in gaps].index(one.gap.pointer))
    options = {one.gap.pointer.removeprefix("/"): _options(one, sentences) for one in in_order}
    open_ones = {key: values for key, values in options.items() if len(values) > 1}
    chat = load_chat() if open_ones else None
    answers = {key: values[0] for key, values in options.items() if key not in open_ones}
    answers |= _answers(chat, sentences, open_ones) if chat else {}
    return [one for one in likely if answers.get(one.gap.pointer.removeprefix("/")) == one.candidate.said]


def _fitting(proposed: Iterable[Proposal]) -> list[Proposal]:
    """As many as one question has room for, the likelier ones."""
    asked: list[Proposal] = []
    for one in proposed:
        sentences = {other.candidate.sentence for other in (*asked, one)}
        is_long = len(one.candidate.said) > _MAX_OPTION_CHARS
        if not is_long and sum(len(sentence.text) for sentence in sentences) <= _MAX_CHARS:
            asked.append(one)
    return asked[:_MAX_ASKED]


def _answers(chat: ChatModel, sentences: Sequence[Sentence], options: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """What the model chooses from the options of each; {} where it says nothing of use."""
    from amends.models._smollm2 import PromptTooLong, Question

    text = " ".join(" ".join(sentence.text.split()) for sentence in sentences)
    names = ", ".join(key.replace("_", " ").replace("/", " ") for key in options)
    question = Question(
        [{"role": "user", "content": f"{text}\n\nFrom the text above, copy: {names}."}],
        max_tokens=_TOKENS_AN_ANSWER * len(options),
        schema={
            "type": "object",
            "properties": {key: {"enum": values} for key, values in options.items()},
            "required": list(options),
        },
        seconds=_SECONDS,
    )
    try:
        found: dict[str, str] = json.loads(chat.answer(question).text)
    except (PromptTooLong, RuntimeError, ValueError):
        # Cut short, or refused: the gaps stay what they are.
        _logger.info("gap_filling_unanswered", exc_info=True)
        return {}
    return found


def _options(one: Proposal, sentences: Sequence[Sentence]) -> list[str]:
    """All values of the sort in what the model reads, not the likely one alone: its choice would be none."""
    said: dict[str, None] = {}
    for sentence in sentences:
        for _, found in one.gap.values_in(sentence):
            text = " ".join(sentence.text[found.start : found.end].split())
            if text == one.candidate.said or (len(said) < _MAX_OPTIONS and len(text) <= _MAX_OPTION_CHARS):
                said[text] = None
    return list(said)
