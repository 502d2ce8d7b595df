"""The page at /docs, by FastAPI: of endpoints that it is told of, and that others answer. Imported once somebody reads
it, since that takes long."""

from collections.abc import Sequence

from fastapi import FastAPI

from modelward_inference.serve.application import Endpoint


def documented(title: str, version: str, endpoints: Sequence[Endpoint]) -> FastAPI:
    """An application that answers for the page and its document."""
    app = FastAPI(title=title, version=version, redoc_url=None)
    for each in endpoints:
        app.add_api_route(each.path, each.handler, methods=[each.method], **each.documents)
    return app
