"""What is served, as files: the bundle, its formats, its features and digests."""
