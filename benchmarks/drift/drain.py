"""A monitor that reads all and counts nothing: `drain.py SOCKET`. Stands in where the real one is missing."""

import json
import socket
import struct
import sys

LENGTHS = struct.Struct(">IQ")


def main() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                drain(connection, stream)


def drain(connection, stream) -> None:  # type: ignore[no-untyped-def]
    say(connection, epoch=None, number=0)
    while prefix := stream.read(LENGTHS.size):
        head, body = LENGTHS.unpack(prefix)
        number = json.loads(stream.read(head))["number"]
        stream.read(body)
        say(connection, ack=number)


def say(connection, **words) -> None:  # type: ignore[no-untyped-def]
    head = json.dumps(words).encode()
    connection.sendall(LENGTHS.pack(len(head), 0) + head)


main()
