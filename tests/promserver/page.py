"""A page of metrics whose content the test decides."""

from http.server import BaseHTTPRequestHandler

from threaded import Answers


class MetricsPage(Answers):
    """`with MetricsPage() as page:` serves `page.text`, in Prometheus's text format, at `page.address` (host:port)."""

    def __init__(self) -> None:
        self.text = ""
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page.text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Scrapes are no news."""

        super().__init__(Handler)
