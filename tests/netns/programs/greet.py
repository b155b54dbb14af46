"""A TCP server that speaks first: greet.py PORT. It says HELLO NAME PEER and then echoes lines."""

import asyncio
import socket
import sys


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer = writer.get_extra_info("peername")[0]
    writer.write(f"HELLO {socket.gethostname()} {peer}\n".encode())
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(talk, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
