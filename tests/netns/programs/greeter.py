"""A gRPC server with the standard health service: greeter.py PORT. test.Greeter/Hello and /Count."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def hello(request: StringValue, context: grpc.ServicerContext) -> StringValue:
    if not request.value:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "say who you are")
    context.set_trailing_metadata((("greeted", request.value),))
    return StringValue(value=f"hello {request.value}")


def count(request: Int32Value, context: grpc.ServicerContext):
    for number in range(request.value):
        yield Int32Value(value=number)


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(8))
    methods = {
        "Hello": grpc.unary_unary_rpc_method_handler(
            hello, StringValue.FromString, StringValue.SerializeToString
        ),
        "Count": grpc.unary_stream_rpc_method_handler(
            count, Int32Value.FromString, Int32Value.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Greeter", methods)])
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    checks.set("test.Greeter", health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
