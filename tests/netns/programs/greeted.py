"""A gRPC client: greeted.py TARGET. Prints {hello, greeted, refused, numbers}."""

import json
import sys

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        hello = channel.unary_unary(
            "/test.Greeter/Hello", StringValue.SerializeToString, StringValue.FromString
        )
        count = channel.unary_stream(
            "/test.Greeter/Count", Int32Value.SerializeToString, Int32Value.FromString
        )
        answer, call = hello.with_call(StringValue(value="Ada"), timeout=10)
        try:
            hello(StringValue(), timeout=10)
            refused = ""
        except grpc.RpcError as error:
            refused = f"{error.code().name}: {error.details()}"
        said = {
            "hello": answer.value,
            "greeted": dict(call.trailing_metadata())["greeted"],
            "refused": refused,
            "numbers": [number.value for number in count(Int32Value(value=5), timeout=10)],
        }
        print(json.dumps(said))
