"""How every part of the product tells of itself: lines of a log (logs), and spans of a trace.

The parts share this, in every image, so that one schema and one exporter hold for all. Only the standard library: where
traces are off nothing more is loaded, and where they are on, a process needs neither an SDK nor a client for HTTP.
"""
