"""details: facts of a book. HTTP on port 9080."""

from serving import NAME, Answer, as_json, serve

BOOKS = {
    "1": {"title": "The Comedy of Errors", "author": "William Shakespeare", "pages": 200, "year": 1595},
    "2": {"title": "Frankenstein", "author": "Mary Shelley", "pages": 280, "year": 1818},
}


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    book = BOOKS.get(path.rsplit("/", 1)[-1])
    if book is None:
        return as_json({"error": "no such book"}, 404)
    return as_json({**book, "from": NAME})


if __name__ == "__main__":
    serve(9080, answer)
