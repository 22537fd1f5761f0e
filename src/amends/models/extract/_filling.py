"""Fills gaps that the rules left: with a value that is the only likely one, or the language model's choice of several.

The model chooses among values that stand in the text, each about as near to words about the property, and is not asked where one
alone does. So nothing that it says, and nothing that a document makes it say, becomes an output by itself. It has not been worth
asking yet (benchmarks/extract): what it chose was wrong more often than right, which is why it is asked only where that is wanted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ._gaps import Gap, IsFree, Proposal, Sentence, Tie, apart, proposals

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


def fill(
    pages: Sequence[tuple[int, str]], gaps: Sequence[Gap], is_free: IsFree, load_chat: LoadChat | None
) -> list[Proposal]:
    """Return what fills the gaps. The model is asked once at most, and only where several values are about as likely."""
    settled, ties = proposals(pages, gaps, is_free)
    asked = _fitting(ties)
    chat = load_chat() if asked and load_chat is not None else None
    return list(apart([*settled, *(_chosen(chat, asked) if chat else ())]))


def _fitting(ties: Iterable[Tie]) -> list[Tie]:
    """As many as one question has room for, those with the likelier values first."""
    asked: list[Tie] = []
    for tie in sorted(ties, key=lambda tie: (tie.candidates[0].distance, tie.candidates[0].place)):
        length = sum(len(sentence.text) for sentence in _sentences([*asked, tie]))
        is_short = max(len(one.said) for one in tie.candidates) <= _MAX_OPTION_CHARS
        if is_short and len(tie.candidates) <= _MAX_OPTIONS and length <= _MAX_CHARS:
            asked.append(tie)
    return asked[:_MAX_ASKED]


def _sentences(ties: Iterable[Tie]) -> list[Sentence]:
    return sorted({one.sentence for tie in ties for one in tie.candidates})


def _chosen(chat: ChatModel, ties: Sequence[Tie]) -> Iterator[Proposal]:
    """What the model chooses among the values of each."""
    answers = _answers(chat, _sentences(ties), {_key(tie): [one.said for one in tie.candidates] for tie in ties})
    for tie in ties:
        for one in tie.candidates:
            if one.said == answers.get(_key(tie)):
                yield Proposal(tie.gap, one)
                break


def _key(tie: Tie) -> str:
    return tie.gap.pointer.removeprefix("/")


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
