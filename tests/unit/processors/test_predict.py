"""The predict processor: what it refuses beforehand, and an item's way from payload to result."""

from __future__ import annotations

import json
import logging

import pytest

from amends.blobs import LocalBlobs
from amends.engine.processor import Failed, Job, Succeeded, Surroundings, WorkItem
from amends.models import MODELS, WeightsUnusable
from amends.processors.predict import PredictProcessor
from tests import samples

PROCESSOR = PredictProcessor()
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
INVOICE_SCHEMA = {
    "type": "object",
    "properties": {"invoice_number": {"type": "string"}, "total": {"type": "number"}},
    "required": ["invoice_number", "total"],
}


def job(model, **params):
    return Job("bpred_1", "live", {"model": model, **params})


def file_payload(media_type, *, sha256="0" * 64, page=None, pages=None, size=9):
    file = {"id": "file_1", "sha256": sha256, "media_type": media_type, "pages": pages, "filename": "a", "bytes": size}
    return {"file": file, "page": page}


def refused(model, payload):
    problem = PROCESSOR.validate(job(model), payload)
    return None if problem is None else (problem.slug, problem.detail)


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        ("local/echo", {"input": 1}),
        ("local/extract", {"input": "text"}),
        ("local/ocr", file_payload("application/pdf", page=3, pages=3)),
        ("local/ocr", file_payload("application/pdf", page=3)),
        ("local/ocr", file_payload("image/tiff", page=3)),
        ("local/image-labels", file_payload("image/png")),
        ("local/extract", file_payload(DOCX)),
    ],
)
def test_what_can_run_is_let_through(model, payload):
    assert refused(model, payload) is None


@pytest.mark.parametrize(
    ("model", "payload", "slug", "detail"),
    [
        (
            "local/ocr",
            file_payload("application/pdf", sha256=None),
            "file_not_found",
            "File 'file_1' does not exist or is not accessible from this workspace.",
        ),
        ("local/ocr", file_payload("application/pdf", size=0), "unprocessable_content", "The file is empty"),
        ("local/ocr", {"input": "text"}, "unsupported_file_format", "local/ocr reads files, and the item holds none"),
        (
            "local/image-labels",
            file_payload("application/pdf"),
            "unsupported_file_format",
            "local/image-labels does not process application/pdf",
        ),
        (
            "local/extract",
            file_payload("application/zip"),
            "unsupported_file_format",
            "local/extract does not process application/zip",
        ),
        (
            "local/ocr",
            file_payload("application/pdf", page=9, pages=3),
            "unsupported_file_format",
            "Page 9 was asked for, and the file has 3",
        ),
        ("local/ocr", file_payload("image/png", page=1), "unsupported_file_format", "Page 1 of a file without pages"),
    ],
)
def test_what_cannot_run_is_refused_beforehand(model, payload, slug, detail):
    assert refused(model, payload) == (slug, detail)


def test_a_job_says_what_it_needs():
    assert PROCESSOR.needs(job("local/echo")).batch_size == MODELS["local/echo"].batch_size > 1
    assert PROCESSOR.needs(job("local/ocr", timeout_seconds=7)).item_timeout_seconds == 7
    assert PROCESSOR.needs(job("local/ocr")).batch_size == 1


class Child:
    """A worker's child: a session on a folder of blobs, and items put through it one at a time."""

    def __init__(self, root):
        self.blobs = LocalBlobs(root / "blobs")
        self.session = PROCESSOR.open(Surroundings(blobs=root / "blobs", cache=root / "cache"))

    def run(self, a_job, payload):
        (result,) = self.session.process(a_job, [WorkItem(7, "bpred_1:7", json.dumps(payload).encode())])
        assert result.seq == 7
        return result

    def stored(self, path, media_type, page=None):
        data = path.read_bytes()
        return file_payload(media_type, sha256=self.blobs.put(data).sha256, page=page, size=len(data))


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    child = Child(tmp_path_factory.mktemp("child"))
    yield child
    child.session.close()


def output(result):
    assert isinstance(result, Succeeded), result
    return json.loads(result.output)


def failure(result):
    assert isinstance(result, Failed), result
    return (result.problem.slug, result.problem.error_code)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": [1, 2.50]}, {"a": [1, 2.5]}),
        ("hello", {"text": "hello"}),
        ([1], {"text": [1]}),
        (None, {"text": None}),
        (12345678901234567890123, {"text": 12345678901234567890123}),
    ],
)
def test_echo_answers_objects_as_they_are_and_the_rest_as_text(child, given, expected):
    assert output(child.run(job("local/echo"), {"input": given, "prompt": "ignored"})) == expected


def test_echo_gives_the_same_bytes(child):
    raw = b'{"b": 1.50,  "a": "\\u00e9"}'
    items = [WorkItem(seq, f"r:{seq}", b'{"input":' + raw + b"}") for seq in range(3)]
    results = list(child.session.process(job("local/echo"), items))
    assert [result.seq for result in results] == [0, 1, 2]
    assert {result.output for result in results} == {raw}


def test_echo_of_a_document_is_its_text(child, tmp_path):
    payload = child.stored(samples.text_pdf(tmp_path / "a.pdf", [["One"], ["Two"]]), "application/pdf")
    assert output(child.run(job("local/echo"), payload)) == {"text": "One\n\nTwo"}


def test_ocr_answers_page_by_page(child, tmp_path):
    payload = child.stored(samples.text_pdf(tmp_path / "a.pdf", [["One"], ["Two"]]), "application/pdf")
    pages = [{"page": 1, "text": "One"}, {"page": 2, "text": "Two"}]
    assert output(child.run(job("local/ocr"), payload)) == {"text": "One\n\nTwo", "pages": pages}
    assert output(child.run(job("local/ocr"), {**payload, "page": 2}))["pages"] == pages[1:]


def test_extract_reads_a_scan_and_says_where_each_value_stands(child, tmp_path):
    payload = child.stored(samples.scanned_pdf(tmp_path / "scan.pdf", [samples.INVOICE]), "application/pdf")
    read = output(child.run(job("local/ocr"), payload))["pages"][0]["text"]
    result = child.run(job("local/extract", output_schema=INVOICE_SCHEMA), payload)
    assert output(result) == {"invoice_number": "INV-2026-0042", "total": 54.6}
    evidence = json.loads(result.evidence)
    said = {pointer: (at["page"], read[at["start"] : at["end"]]) for pointer, at in evidence.items()}
    assert said == {"/invoice_number": (1, "INV-2026-0042"), "/total": (1, "54.60")}


@pytest.mark.parametrize(
    "given", ["Invoice number: A-1\nTotal: 5", {"invoice": {"number": "A-1", "lines": []}, "total": 5}]
)
def test_extract_reads_an_input_of_text_or_json(child, given):
    result = child.run(job("local/extract", output_schema=INVOICE_SCHEMA), {"input": given})
    assert output(result) == {"invoice_number": "A-1", "total": 5}


def test_an_items_prompt_stands_before_the_jobs(child):
    wanted = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    a_job = job("local/extract", output_schema=wanted, prompt="total is called Endsumme")
    text = "Zahlbetrag: 7\nEndsumme: 8"
    assert output(child.run(a_job, {"input": text})) == {"total": 8}
    assert output(child.run(a_job, {"input": text, "prompt": "total is called Zahlbetrag"})) == {"total": 7}


ADMITTED = (
    "Thank you for Mrs Petrova, born on 4 March 1951, who was admitted to our ward on 7 May 2026 with fever.\n"
    "Her temperature on arrival was measured at 39.2 degrees, while her pulse stood at 104."
)
ADMISSION = {"type": "object", "properties": {"admission_date": {"type": ["string", "null"], "format": "date"}}}


def opened_with(child, **settings):
    return PROCESSOR.open(Surroundings(blobs=child.blobs.path("0" * 64).parent, cache=None, settings=settings))


def admitted(session, text=ADMITTED):
    payload = json.dumps({"input": text}).encode()
    (result,) = session.process(job("local/extract", output_schema=ADMISSION), [WorkItem(0, "r:0", payload)])
    return output(result), json.loads(result.evidence)


def test_extract_fills_gaps_without_a_model(child):
    begin = ADMITTED.index("7 May")
    place = {"page": 1, "start": begin, "end": begin + len("7 May 2026")}
    fresh = opened_with(child)
    assert admitted(fresh) == ({"admission_date": "2026-05-07"}, {"/admission_date": place})
    assert not vars(fresh.loaded).keys() & {"chat", "gap_chat"}


def test_extract_fills_no_gaps_where_that_is_off(child):
    assert admitted(opened_with(child, fill_gaps="off")) == ({"admission_date": None}, {})


def test_extract_asks_the_model_that_also_converses_where_it_is_let(child):
    fresh = opened_with(child, fill_gaps="model")
    output, evidence = admitted(fresh, f"{ADMITTED} She was admitted on 8 May 2026, says her son.")
    assert output["admission_date"] in (None, "2026-05-07", "2026-05-08")
    assert (output["admission_date"] is None) == (evidence == {})
    assert fresh.loaded.gap_chat is fresh.loaded.chat


@pytest.mark.parametrize("missing", ["has_chat", "load_chat"])
def test_extract_goes_on_without_the_weights_or_with_others(child, monkeypatch, missing):
    def unusable(**options):
        raise WeightsUnusable("has another SHA-256")

    if missing == "has_chat":
        monkeypatch.setattr("amends.processors.predict._session.has_chat", lambda: False)
    else:
        monkeypatch.setattr("amends.models.load_chat", unusable)
    twice = f"{ADMITTED} She was admitted on 8 May 2026, says her son."
    assert admitted(opened_with(child, fill_gaps="model"), twice) == ({"admission_date": None}, {})


def test_image_labels_names_a_photograph(child):
    payload = child.stored(samples.photo("coffee.png"), "image/png")
    labels = output(child.run(job("local/image-labels"), payload))["labels"]
    assert labels[0]["name"] == "espresso"
    assert [sorted(label) for label in labels] == [["name", "score"]] * 5


def test_an_output_is_checked_against_a_schema_that_is_given(child):
    wanted = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    a_job = job("local/echo", output_schema=wanted)
    assert output(child.run(a_job, {"input": {"a": 1}})) == {"a": 1}
    assert failure(child.run(a_job, {"input": {"a": "x"}})) == ("prediction_failed", "PREDICTION_FAILED")


def test_values_that_are_not_there_fail_the_prediction(child):
    result = child.run(job("local/extract", output_schema=INVOICE_SCHEMA), {"input": "Total: 5"})
    assert failure(result) == ("prediction_failed", "PREDICTION_FAILED")
    assert "invoice_number" in result.problem.detail


@pytest.mark.parametrize(
    ("make", "media_type", "model", "error_code"),
    [
        (samples.truncated_jpeg, "image/jpeg", "local/image-labels", "IMAGE_CORRUPTED"),
        (samples.pixel_bomb_png, "image/png", "local/image-labels", "IMAGE_TOO_LARGE"),
        (samples.truncated_pdf, "application/pdf", "local/ocr", "DOCUMENT_CORRUPTED"),
        (samples.html_page, "application/pdf", "local/ocr", "DOCUMENT_CORRUPTED"),
        (samples.html_page, "image/png", "local/ocr", "IMAGE_CORRUPTED"),
        (samples.zip_bomb_docx, DOCX, "local/echo", "DOCUMENT_TOO_LARGE"),
        (samples.photo, "text/plain", "local/echo", "TEXT_UNREADABLE"),
    ],
)
def test_broken_files_end_in_typed_failures(child, tmp_path, make, media_type, model, error_code):
    path = samples.photo("coffee.png") if make is samples.photo else make(tmp_path / "broken")
    result = child.run(job(model), child.stored(path, media_type))
    assert failure(result) == ("unprocessable_content", error_code)


def test_a_blob_deleted_since_is_a_file_not_found(child):
    assert failure(child.run(job("local/ocr"), file_payload("image/png"))) == ("file_not_found", "FILE_NOT_FOUND")


def test_an_unexpected_error_is_the_items_problem_and_is_logged_under_its_key(child, caplog):
    with caplog.at_level(logging.ERROR, logger="amends.processors.predict"):
        result = child.run(job("local/none"), {"input": 1})
    assert failure(result) == ("batch_item_processing_failed", "BATCH_ITEM_PROCESSING_FAILED")
    (record,) = caplog.records
    assert record.item == "bpred_1:7"
    assert "local/none" not in result.problem.detail


def test_one_bad_item_leaves_its_neighbours_their_results(child):
    items = [WorkItem(0, "r:0", b'{"input":1}'), WorkItem(1, "r:1", b"{broken"), WorkItem(2, "r:2", b'{"input":2}')]
    results = list(child.session.process(job("local/echo"), items))
    assert [type(result) for result in results] == [Succeeded, Failed, Succeeded]


def together(child, a_job, payloads):
    items = [WorkItem(seq, f"r:{seq}", json.dumps(payload).encode()) for seq, payload in enumerate(payloads)]
    return {result.seq: result for result in child.session.process(a_job, items)}


def test_minilm_embeds_items_together_and_each_bad_one_fails_alone(child, tmp_path):
    pdf = child.stored(samples.text_pdf(tmp_path / "a.pdf", [["A cat"], ["sleeps"]]), "application/pdf")
    broken = child.stored(samples.truncated_pdf(tmp_path / "b.pdf"), "application/pdf")
    payloads = [
        {"input": "A cat sleeps"},
        {"input": "  "},
        pdf,
        broken,
        {"input": {"animal": "cat"}},
        {"input": "x " * 999},
    ]
    found = together(child, job("local/minilm"), payloads)
    assert {seq: failure(found[seq])[1] for seq in (1, 3)} == {1: "PREDICTION_FAILED", 3: "DOCUMENT_CORRUPTED"}
    vectors = {seq: output(found[seq])["embedding"] for seq in (0, 2, 4, 5)}
    assert {len(vector) for vector in vectors.values()} == {384}
    assert vectors[0] == pytest.approx(vectors[2], abs=0.2)
    assert [output(found[seq])["truncated"] for seq in (0, 5)] == [False, True]
    assert json.loads(found[5].usage) == {"input_tokens": 256, "output_tokens": 0}


def test_classify_chooses_labels_and_an_items_prompt_stands_before_the_jobs(child):
    wanted = {"type": "object", "properties": {"kind": {"enum": ["A7", "B2"]}}, "required": ["kind"]}
    a_job = job("local/classify", output_schema=wanted, prompt="A7: noise from neighbours\nB2: potholes in the road")
    loud, hole = {"input": "They play loud music until three"}, {"input": "There is a deep hole in our street"}
    swapped = {**loud, "prompt": "A7: potholes in the road\nB2: noise from neighbours"}
    found = together(child, a_job, [loud, swapped, hole, loud])
    assert [output(found[seq])["kind"] for seq in range(4)] == ["A7", "B2", "B2", "A7"]


def test_classify_refuses_a_schema_without_labels(child):
    found = together(child, job("local/classify", output_schema={"type": "object"}), [{"input": "a"}, {"input": "b"}])
    assert {failure(result)[0] for result in found.values()} == {"prediction_failed"}
    assert "no property has labels" in found[1].problem.detail


def test_what_the_model_raises_for_several_is_left_to_be_tried_singly(child, monkeypatch, caplog):
    a_job = job("local/minilm", prompt="another job")
    together(child, a_job, [{"input": "load it"}])
    monkeypatch.setattr(child.session.loaded.embedder, "embed", lambda texts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        together(child, a_job, [{"input": "a"}, {"input": "b"}])
    with caplog.at_level(logging.ERROR, logger="amends.processors.predict"):
        assert failure(together(child, a_job, [{"input": "a"}])[0])[0] == "batch_item_processing_failed"


def test_smollm2_answers_a_prompt_about_an_item_and_counts_tokens(child):
    result = child.run(job("local/smollm2", prompt="What is the capital of this country?"), {"input": "France"})
    assert "Paris" in output(result)["text"]
    assert json.loads(result.usage).keys() == {"input_tokens", "output_tokens"}


def test_smollm2_goes_on_with_a_conversation(child):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    assert "Paris" in output(child.run(job("local/smollm2"), {"input": {"messages": messages}}))["text"]
    broken = child.run(job("local/smollm2"), {"input": {"messages": [{"role": "nobody", "content": "x"}]}})
    assert failure(broken)[0] == "prediction_failed"
    assert "role must be" in broken.problem.detail


def test_smollm2_keeps_to_a_schema(child):
    wanted = {"type": "object", "properties": {"size": {"enum": ["small", "large"]}}, "required": ["size"]}
    assert output(child.run(job("local/smollm2", output_schema=wanted), {"input": "An elephant"}))["size"] in (
        "small",
        "large",
    )


def test_smollm2_says_when_an_item_is_too_long_or_its_answer_does_not_end(child, monkeypatch):
    result = child.run(job("local/smollm2"), {"input": "word " * 5_000})
    assert failure(result) == ("payload_too_large", "PAYLOAD_TOO_LARGE")
    assert result.problem.extensions["unit"] == "tokens"
    endless = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"const": "again"}, "minItems": 2000}},
        "required": ["a"],
    }
    monkeypatch.setattr("amends.models._smollm2.MAX_TOKENS", 100)
    assert failure(child.run(job("local/smollm2", output_schema=endless), {"input": "x"}))[0] == "prediction_failed"


def test_weights_that_are_not_installed_are_said_to_be(child, monkeypatch, caplog):
    def missing(**options):
        raise WeightsUnusable("weights.gguf is missing")

    monkeypatch.setattr("amends.models.load_chat", missing)
    fresh = PROCESSOR.open(
        Surroundings(blobs=child.blobs.path("0" * 64).parent, cache=child.blobs.path("0" * 64).parent)
    )
    with caplog.at_level(logging.ERROR, logger="amends.processors.predict"):
        (result,) = fresh.process(job("local/smollm2"), [WorkItem(0, "r:0", b'{"input":"x"}')])
    assert "not installed" in result.problem.detail
    assert "amends models install" in result.problem.remedy.hint
    assert "weights.gguf" in caplog.records[0].detail
