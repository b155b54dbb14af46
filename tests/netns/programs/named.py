"""A gRPC server that says its name: named.py PORT NAME. test.Names/Who."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(8))
    who = grpc.unary_unary_rpc_method_handler(lambda _request, _context: sys.argv[2].encode())
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Names", {"Who": who})])
    server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
