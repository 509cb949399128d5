"""A server that answers chat/completions at once, on connections that stay open: only the client takes time.

Prints its port, then serves until it is ended.
"""

from __future__ import annotations

import asyncio
import json

PIECES = ("Hel", "lo", " there", ", how", " are", " you", "?")


def _stream() -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in PIECES]
    last = {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    }
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in (*chunks, last)] + ["data: [DONE]\n\n"]
    body = "".join(f"{len(event):x}\r\n{event}\r\n" for event in events) + "0\r\n\r\n"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + body).encode()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answer = _stream()
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            said = (line.partition(b":") for line in head.lower().split(b"\r\n"))
            length = next((int(value) for name, _, value in said if name == b"content-length"), 0)
            await reader.readexactly(length)
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
