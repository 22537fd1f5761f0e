"""A batch through OpenAI's own client, answered by Amends.

Needs ``pip install openai``, a server, its address with ``/openai/v1`` in OPENAI_BASE_URL and its key in OPENAI_API_KEY.
"""

from __future__ import annotations

import json
import time

from openai import OpenAI

ENDED = ("completed", "failed", "expired", "cancelled")
TOPICS = {
    "type": "object",
    "properties": {"topic": {"enum": ["billing", "delivery", "account"]}},
    "required": ["topic"],
}
MAILS = {
    "mail-1": "I was charged twice this month",
    "mail-2": "My parcel should have come on Monday",
    "mail-3": "",
}


def line(custom_id: str, text: str) -> str:
    body = {
        "model": "local/classify",
        "messages": [{"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "topic", "schema": TOPICS}},
    }
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def main() -> None:
    with OpenAI() as client:
        lines = "\n".join(line(custom_id, text) for custom_id, text in MAILS.items())
        file = client.files.create(file=("mails.jsonl", lines.encode()), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        while batch.status not in ENDED:
            time.sleep(0.5)
            batch = client.batches.retrieve(batch.id)

        for fault in (batch.errors.data or []) if batch.errors else []:
            print(f"line {fault.line}: {fault.code}: {fault.message}")
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is None:
                continue  # nothing succeeded, or nothing failed
            for answer in map(json.loads, client.files.content(file_id).text.splitlines()):
                response = answer["response"]
                if response is None:
                    print(answer["custom_id"], "FAILED:", answer["error"]["code"])
                elif response["status_code"] >= 400:
                    print(answer["custom_id"], "FAILED:", response["body"]["error"]["message"])
                else:
                    print(answer["custom_id"], response["body"]["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main()
