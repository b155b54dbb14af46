"""reviews: what readers think. HTTP on port 9080; v2 and v3 ask ratings (gRPC) for stars."""

import os
import sys

from serving import NAME, Answer, as_json, serve

try:
    import grpc
    from google.protobuf.struct_pb2 import Struct
    from google.protobuf.wrappers_pb2 import StringValue
except ImportError as missing:
    sys.exit(f"{missing}: before `tulle up`, export PATH=$PWD/.venv/bin:$PATH (as the README does)")

STARS = os.environ.get("STARS", "")
VERSION = {"": "v1", "black": "v2", "red": "v3"}[STARS]
TEXTS = {"Ada": "An extremely entertaining book!", "Bob": "Absolutely fun, if slightly dark."}

channel = grpc.insecure_channel(os.environ.get("RATINGS", "ratings:9080"))
get_ratings = channel.unary_unary(
    "/bookshop.Ratings/Get",
    request_serializer=StringValue.SerializeToString,
    response_deserializer=Struct.FromString,
)


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    reviews: list[dict[str, object]] = [{"reviewer": name, "text": text} for name, text in TEXTS.items()]
    if STARS:
        try:
            ratings = get_ratings(StringValue(value=path.rsplit("/", 1)[-1]), timeout=2)
        except grpc.RpcError as error:
            return as_json({"error": f"ratings: {error.code().name}", "version": VERSION}, 502)
        for review in reviews:
            review["stars"] = int(ratings[str(review["reviewer"])])
            review["color"] = STARS
    return as_json({"version": VERSION, "from": NAME, "reviews": reviews})


if __name__ == "__main__":
    serve(9080, answer)
