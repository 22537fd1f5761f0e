"""Items that a provider answers, from payload to result, against a real server."""

from __future__ import annotations

import base64
import io
import json
import threading
import time

import pytest
from PIL import Image

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Succeeded, Surroundings, WorkItem
from amends.processors.predict import PredictProcessor
from tests import samples
from tests.providers import TEXT_SCHEMA, provider_of
from tests.upstream import Hang, Say, chat, echo, refusal, running_upstream

PROCESSOR = PredictProcessor()


class Child:
    """A worker's child whose provider is ``upstream``."""

    def __init__(self, root, upstream, **table):
        self.blobs = LocalBlobs(root / "blobs")
        self.settings = {"providers": {"acme": provider_of(upstream, **table).to_table()}}
        self.session = PROCESSOR.open(Surroundings(root / "blobs", root / "cache", settings=self.settings))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.session.close()

    def job(self, model="acme/m", *, deadline=None, **params):
        return Job("bpred_1", "live", {"model": model, **params}, self.settings, deadline)

    def process(self, payloads, **job):
        items = [WorkItem(seq, f"bpred_1:{seq}", json.dumps(payload).encode()) for seq, payload in enumerate(payloads)]
        return self.session.process(self.job(**job), items)

    def one(self, payload, **job):
        (result,) = self.process([payload], **job)
        return result

    def file(self, path, media_type, page=None):
        stored = self.blobs.put(path.read_bytes())
        return {"file": {"id": "file_1", "sha256": stored.sha256, "media_type": media_type}, "page": page}


def output(result):
    assert isinstance(result, Succeeded), result
    return json.loads(result.output)


def problem(result):
    assert isinstance(result, Failed), result
    return result.problem


def test_text_json_and_conversations_are_sent_as_they_are(tmp_path):
    with running_upstream() as upstream, Child(tmp_path, upstream) as child:
        assert output(child.one({"input": "hello"}, prompt="Repeat.")) == {"text": "Repeat.\n\nhello"}
        assert output(child.one({"input": {"a": [1]}, "prompt": "Own."}, prompt="Repeat.")) == {
            "text": 'Own.\n\n{"a": [1]}'
        }
        messages = [{"role": "user", "content": "hi"}]
        assert output(child.one({"input": {"messages": messages}}, output_schema=TEXT_SCHEMA)) == {"text": "hi"}


def test_documents_are_sent_as_text_where_pictures_are_not_taken(tmp_path):
    with running_upstream() as upstream, Child(tmp_path, upstream) as child:
        pdf = child.file(samples.text_pdf(tmp_path / "a.pdf", [["Page one"], ["Page two"]]), "application/pdf", page=2)
        assert output(child.one(pdf)) == {"text": "Page two"}
        page = child.file(samples.html_page(tmp_path / "a.html"), "text/html")
        assert "PO-7781" in output(child.one(page))["text"]


def test_pages_and_images_are_sent_as_pictures_where_they_are_taken(tmp_path):
    with running_upstream() as upstream, Child(tmp_path, upstream, takes_images=True) as child:
        pdf = child.file(samples.text_pdf(tmp_path / "a.pdf", [["Page one"], ["Page two"]]), "application/pdf")
        output(child.one(pdf, prompt="Read."))
        scan = child.file(samples.scan(tmp_path / "a.png"), "image/png")
        output(child.one(scan))
        pictures = [
            [part["image_url"]["url"] for part in call.body["messages"][0]["content"] if part["type"] == "image_url"]
            for call in upstream.calls
        ]
    assert [len(found) for found in pictures] == [2, 1]
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0][0].partition(",")[2])))
    assert picture.format == "JPEG"
    assert 1_000 < max(picture.size) <= 2_048


def test_a_broken_picture_never_reaches_the_provider(tmp_path):
    with running_upstream() as upstream, Child(tmp_path, upstream, takes_images=True) as child:
        broken = child.file(samples.truncated_jpeg(tmp_path / "a.jpg"), "image/jpeg")
        assert problem(child.one(broken)).error_code == "IMAGE_CORRUPTED"
        assert not upstream.calls


def test_an_embedding_model_answers_with_a_vector(tmp_path):
    with running_upstream() as upstream, Child(tmp_path, upstream, embedding_models=["vectors"]) as child:
        assert output(child.one({"input": "x"}, model="acme/vectors")) == {"embedding": [1.0, 0.5]}
        assert upstream.calls[0].body == {"model": "vectors", "input": "x", "encoding_format": "float"}


def test_an_output_that_breaks_the_schema_is_no_result(tmp_path):
    with running_upstream(lambda call: Say(chat({"other": 1}))) as upstream, Child(tmp_path, upstream) as child:
        found = problem(child.one({"input": "x"}, output_schema=TEXT_SCHEMA))
    assert (found.slug, found.extensions["provider"]) == ("prediction_failed", "acme")


def test_one_slow_call_holds_no_other(tmp_path):
    def answer(call):
        return Hang() if call.text == "slow" else echo(call)

    with running_upstream(answer) as upstream, Child(tmp_path, upstream, timeout_seconds=1.0) as child:
        results = child.process([{"input": text} for text in ("slow", *"abcdefgh")])
        seqs = [(result.seq, type(result)) for result in results]
    assert seqs[-1] == (0, Failed)
    assert {kind for _, kind in seqs[:-1]} == {Succeeded}
    assert len(seqs) == 9


def test_a_stopped_item_is_not_heard_of_again_and_its_connection_closes(tmp_path):
    with running_upstream(lambda call: Hang() if call.text == "slow" else echo(call)) as upstream:
        with Child(tmp_path, upstream) as child:
            results = []
            items = [{"input": "slow"}, {"input": "quick"}]
            thread = threading.Thread(target=lambda: results.extend(child.process(items)))
            thread.start()
            while len(upstream.calls) < 2:
                time.sleep(0.01)
            child.session.stop(["bpred_1:0"])
            thread.join()
        assert [result.seq for result in results] == [1]
        slow = next(call for call in upstream.calls if call.text == "slow")
        while not slow.was_left:
            time.sleep(0.01)


def test_the_end_of_the_run_bounds_a_call(tmp_path):
    with running_upstream(lambda call: Hang()) as upstream, Child(tmp_path, upstream) as child:
        found = problem(child.one({"input": "x"}, deadline=time.time() + 0.3))
    assert found.error_code == "UPSTREAM_TIMEOUT"
    assert float(upstream.calls[0].headers["amends-timeout"]) <= 0.3


def test_the_item_key_and_the_tries_before_go_upstream(tmp_path):
    with running_upstream(lambda call: refusal(500)) as upstream, Child(tmp_path, upstream) as child:
        list(child.session.process(child.job(), [WorkItem(7, "bpred_1:7", b'{"input":"x"}', 3)]))
    (call,) = upstream.calls
    assert (call.key, call.headers["amends-attempt"]) == ("bpred_1:7", "3")


def test_the_owner_lets_through_what_a_providers_model_takes(tmp_path):
    with running_upstream() as upstream, Child(tmp_path, upstream) as child:
        image = {"file": {"id": "f", "sha256": "0", "media_type": "image/png", "bytes": 9}}
        assert PROCESSOR.validate(child.job(), {"input": "x"}) is None
        refused = PROCESSOR.validate(child.job(), image)
        assert refused is not None
        assert refused.slug == "unsupported_file_format"
        assert PROCESSOR.validate(child.job("other/m"), {"input": "x"}) is not None
        assert PROCESSOR.needs(child.job()).item_timeout_seconds == pytest.approx(65.0)
