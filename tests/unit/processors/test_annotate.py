"""Models as annotators: which may answer, what they are asked, and how what they say is read as an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Result, Succeeded, Surroundings, WorkItem
from amends.problems import ProblemError
from amends.processors.annotate import AnnotateProcessor, refusal
from amends.processors.annotate._questions import Question, question_of
from amends.processors.annotate._replies import answer_of, option_of
from tests import samples
from tests.pictures import broken_picture, picture

PROCESSOR = AnnotateProcessor()
PROVIDER = {"base_url": "http://127.0.0.1:9/v1", "key_variable": "NO_SUCH_KEY"}
PROVIDERS = {"providers": {"acme": {**PROVIDER, "takes_images": True}, "blind": PROVIDER}}


def job(model: str, kind: str, **params: Any) -> Job:
    return Job("run_1", "live", {"model": model, "kind": kind, "instruction": "What is it?", **params})


def task(*assets: Any, options: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    listed = [{"text": asset} if isinstance(asset, str) else {"file": asset} for asset in assets]
    return {"assets": listed, "media_context": [], "context": None, "sentence": None, "options": list(options), **more}


def file(media_type: str = "image/png", sha256: str | None = "0" * 64) -> dict[str, Any]:
    return {"id": "a.png", "sha256": sha256, "media_type": media_type, "bytes": 9}


def asked(model: str, kind: str, whole: dict[str, Any], blobs: LocalBlobs | None = None, **params: Any) -> Question:
    return question_of(job(model, kind, **params).params, whole, blobs)


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("local/image-labels", "classification", None),
        ("local/image-labels", "compare", "local/smollm2 and providers' chat models do"),
        ("local/smollm2", "locate", "providers' chat models that take images do"),
        ("local/echo", "free_text", "it answers no tasks"),
        ("acme/m", "locate", None),
        ("blind/m", "locate", "not known to take images"),
        ("blind/m", "compare", None),
    ],
)
def test_a_model_that_cannot_answer_a_kind_is_told_from_one_that_can(model: str, kind: str, said: str | None) -> None:
    found = refusal(model, kind, PROVIDERS)
    assert found is None if said is None else said in str(found)


@pytest.mark.parametrize(
    ("model", "whole", "slug"),
    [
        ("local/image-labels", task(file()), None),
        ("local/image-labels", task(file("video/mp4")), "unsupported_file_format"),
        ("local/image-labels", task("a text"), "unsupported_file_format"),
        ("local/image-labels", task(file(sha256=None)), "file_not_found"),
        ("local/classify", task("a text"), None),
        ("nobody/knows", task("a text"), "batch_item_processing_failed"),
    ],
)
def test_a_task_that_a_model_cannot_be_shown_fails_before_it_is_loaded(
    model: str, whole: dict[str, Any], slug: str | None
) -> None:
    problem = PROCESSOR.validate(job(model, "classification"), whole)
    assert (None if problem is None else problem.slug) == slug


def test_a_task_is_asked_with_all_that_a_person_would_be_shown() -> None:
    whole = task("tom", options=("cat", "dog"), context="seen at night", sentence="Tom sleeps")
    question = asked("local/smollm2", "classification", whole, prompt="Be brief.")
    assert json.loads(question.payload) == {"input": "tom"}
    assert question.prompt == "Be brief.\n\nWhat is it?\n\nContext: seen at night\n\nSentence: Tom sleeps"
    assert question.schema
    assert question.schema["properties"]["answer"] == {"type": "string", "enum": ["cat", "dog"]}


def test_what_is_compared_has_names_and_the_answer_is_its_place() -> None:
    question = asked("local/smollm2", "compare", task("red", "blue"))
    assert json.loads(question.payload) == {"input": "A: red\n\nB: blue"}
    assert question.options == ("A", "B")
    assert answer_of("compare", question, {"answer": "B"}, _no_meanings) == 1


def test_pictures_go_to_a_provider_together(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    stored = file(sha256=blobs.put(picture(1)).sha256)
    question = asked("acme/m", "compare", task(stored, stored, media_context=[{"file": stored}]), blobs)
    (message,) = json.loads(question.payload)["input"]["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image_url"] * 3
    assert message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    with pytest.raises(ProblemError, match="sees one picture"):
        asked("local/smollm2", "compare", task(stored, stored))
    with pytest.raises(ProblemError, match="no picture"):
        asked("acme/m", "compare", task(file("video/mp4"), stored), blobs)


def test_a_model_that_looks_at_one_asset_is_not_shown_two() -> None:
    with pytest.raises(ProblemError, match="looks at one asset"):
        asked("local/image-labels", "classification", task(file(), file(), options=("a", "b")))


def _no_meanings(texts: Any) -> Any:
    raise AssertionError("a name decides")


@pytest.mark.parametrize(
    ("name", "option"),
    [("tabby, tabby cat", "cat"), ("sports car, sport car", "car"), ("golden retriever", "Golden Retriever dog")],
)
def test_a_label_that_names_an_option_speaks_for_it(name: str, option: str) -> None:
    labels = [{"name": name, "score": 0.6}, {"name": "plate", "score": 0.3}]
    assert option_of(labels, ["house", option], _no_meanings) == option


def test_labels_that_name_none_speak_for_the_option_of_the_nearest_meaning() -> None:
    vectors = {"pet": [1, 0], "vehicle": [0, 1], "tabby": [0.9, 0.1], "truck": [0.1, 0.9]}
    labels = [{"name": "tabby", "score": 0.7}, {"name": "truck", "score": 0.2}]
    found = option_of(labels, ["vehicle", "pet"], lambda texts: [np.array(vectors[text]) for text in texts])
    assert found == "pet"


def test_an_empty_text_is_no_answer() -> None:
    with pytest.raises(ProblemError, match="answered nothing"):
        answer_of("free_text", Question(b"", None, None, ()), {"text": "  "}, _no_meanings)


def processed(tmp_path: Path, asking: Job, *tasks: dict[str, Any]) -> list[Result]:
    session = PROCESSOR.open(Surroundings(tmp_path / "blobs", tmp_path / "cache"))
    try:
        items = [WorkItem(seq, f"run_1:{seq}", json.dumps(whole).encode()) for seq, whole in enumerate(tasks)]
        return sorted(session.process(asking, items), key=lambda result: result.seq)
    finally:
        session.close()


def test_texts_are_classified_by_options_of_their_own(tmp_path: Path) -> None:
    tasks = [
        task("I want my money back", options=("refund", "bug report")),
        task("What a lovely sunny day", options=("weather", "politics")),
    ]
    results = processed(tmp_path, job("local/classify", "classification"), *tasks)
    assert [json.loads(result.output) for result in results if isinstance(result, Succeeded)] == [
        {"answer": "refund"}, {"answer": "weather"},
    ]  # fmt: skip


def test_a_broken_picture_fails_alone(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    whole, broken = (
        blobs.put(content).sha256 for content in (samples.photo("chelsea.png").read_bytes(), broken_picture(1))
    )
    options = ("vehicle", "cat")
    tasks = [task(file("image/png", whole), options=options), task(file("image/jpeg", broken), options=options)]
    good, bad = processed(tmp_path, job("local/image-labels", "classification"), *tasks)
    assert isinstance(good, Succeeded)
    assert json.loads(good.output) == {"answer": "cat"}
    assert isinstance(bad, Failed)
    assert bad.problem.slug == "unprocessable_content"
