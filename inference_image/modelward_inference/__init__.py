"""The inference image: `fetch` brings a model into a bundle, `serve` answers requests with it."""

__version__ = "0.1.0"
