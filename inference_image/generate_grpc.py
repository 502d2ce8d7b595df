"""Write the Python types of the gRPC adapter from its .proto file: `make grpc-types`.

The generated files are never edited; a unit test generates them anew and compares.
"""

import sys
from pathlib import Path

from grpc_tools import protoc

FOLDER = Path(__file__).parent / "modelward_inference" / "serve" / "grpc_api"
PROTO = "open_inference.proto"
PYTHON = "open_inference_pb2.py"
TYPES = "open_inference_pb2.pyi"

SHARED_POOL = "_descriptor_pool.Default()"
OWN_POOL = "_descriptor_pool.DescriptorPool()"
"""The clients of KServe and Triton bring twins of these messages under the same names, and protobuf refuses a second
definition in one pool. With a pool of their own, they and the server can be in one process."""


def generate(target: Path) -> None:
    """Write the generated files into a folder. Raises RuntimeError where protoc fails or writes unknown code."""
    arguments = ["protoc", f"--proto_path={FOLDER}", f"--python_out={target}", f"--pyi_out={target}", PROTO]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc can't read {FOLDER / PROTO}; what is wrong stands above")
    code = (target / PYTHON).read_text()
    if code.count(SHARED_POOL) != 1:
        raise RuntimeError(
            f"{PYTHON} has {SHARED_POOL} {code.count(SHARED_POOL)} times, not once; look at protoc's changes"
        )
    (target / PYTHON).write_text(code.replace(SHARED_POOL, OWN_POOL))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
