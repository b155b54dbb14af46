"""orders: a plain TCP protocol on port 7000 in which the server speaks first, as SMTP or MySQL do.

server: ORDERS ready          client: ORDER <book> <copies>      server: OK <order number>
                              client: COUNT                      server: <orders so far>
                              client: BYE
"""

import asyncio
import itertools
import signal

numbers = itertools.count(1)
taken = 0


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global taken
    writer.write(b"ORDERS ready\n")
    try:
        while line := await reader.readline():
            match line.decode(errors="replace").split():
                case ["ORDER", book, copies] if copies.isdigit() and book.isalnum():
                    taken += 1
                    writer.write(f"OK {next(numbers)}\n".encode())
                case ["COUNT"]:
                    writer.write(f"{taken}\n".encode())
                case ["BYE"]:
                    break
                case _:
                    writer.write(b"ERROR say: ORDER <book> <copies>, COUNT or BYE\n")
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(talk, "0.0.0.0", 7000, limit=1024)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("orders serves on port 7000", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
