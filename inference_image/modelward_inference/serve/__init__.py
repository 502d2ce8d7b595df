"""The server's process and its transports: REST, gRPC, health."""
