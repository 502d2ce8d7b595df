"""The init container: brings a model into the bundle, checks it, and says clearly what is wrong with it."""
