"""Where the monitor listens: the HTTP API, and the sockets that servers write to."""
