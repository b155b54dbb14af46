"""ratings: stars of a book by reader. gRPC on port 9080: bookshop.Ratings/Get(StringValue) -> Struct."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor

try:
    import grpc
    from google.protobuf.struct_pb2 import Struct
    from google.protobuf.wrappers_pb2 import StringValue
except ImportError as missing:
    sys.exit(f"{missing}: before `tulle up`, export PATH=$PWD/.venv/bin:$PATH (as the README does)")

STARS = {"1": {"Ada": 5, "Bob": 4}, "2": {"Ada": 4, "Bob": 5}}


def get(request: StringValue, context: grpc.ServicerContext) -> Struct:
    if request.value not in STARS:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such book")
    ratings = Struct()
    ratings.update(STARS[request.value])
    return ratings


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(8))
    method = grpc.unary_unary_rpc_method_handler(get, StringValue.FromString, Struct.SerializeToString)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("bookshop.Ratings", {"Get": method})]
    )
    server.add_insecure_port("0.0.0.0:9080")
    server.start()
    print("ratings serves gRPC on port 9080", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=1))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
