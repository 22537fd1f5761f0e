"""Receives webhooks and verifies them. Its secret: python receive_webhook.py whsec_…"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

webhook = Webhook(sys.argv[1])
seen = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            # Over the bytes as they came: what was parsed and written again has another signature. Old messages are refused, too.
            event = webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self.send_error(400)
            return
        self.send_response(204)
        self.end_headers()
        if self.headers["webhook-id"] not in seen:  # a message may come twice
            seen.add(self.headers["webhook-id"])
            print(event["type"], event["data"], flush=True)


server = HTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8900), Receiver)
print("Listening on", server.server_port, flush=True)
server.serve_forever()
