"""The command line of the sandbox; `peft-tui sandbox` delegates to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a speed (0 is frozen, 1 is real time, 60 an hour a minute)"
        )
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `peft-tui sandbox` to a parser."""
    parser.add_argument("--port", type=_port, default=0, help="port to listen on, 0 for a free one (default)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same world (default 1)")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        help="world seconds per real second; 0 freezes the clock (default 1)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON line when ready (default)")
    form.add_argument("--export", action="store_true", help="print shell export lines when ready")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep the world in this file between runs")
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="exit when standard input ends, as with the program that started it",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop.

    Returns:
        Exit status: 0 after SIGINT, SIGTERM or end of input; 1 if it could not start.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="sandbox: %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(args))
    return 0


async def _serve(args: argparse.Namespace) -> int:
    # Imported here, so that a program can offer these options without loading a web server.
    from peft_tui.sandbox.server import PortBusy, Sandbox

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, over.set)
    sandbox = Sandbox(seed=args.seed, speed=args.speed, port=args.port, state=args.state)
    try:
        await sandbox.start()
    except (PortBusy, OSError) as error:
        print(f"The sandbox cannot start: {error}", file=sys.stderr)
        return 1
    if args.exit_with_stdin:
        _watch_stdin(loop, over)
    if args.export:
        lines = [f"export {key}={shlex.quote(value)}" for key, value in sandbox.env.items()]
    else:
        lines = [json.dumps({"ready": True, "url": sandbox.url, "env": sandbox.env})]
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        over.set()
    await over.wait()
    await sandbox.stop()
    return 0


def _watch_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """Set `over` at the end of input. A thread, because stdin may be a file or a closed terminal."""

    def drain() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin is not None and os.read(sys.stdin.fileno(), 4096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=drain, daemon=True, name="stdin").start()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `python -m peft_tui.sandbox`."""
    parser = argparse.ArgumentParser(
        prog="peft-tui sandbox", description="Local Together, Replicate, Modal, Predibase and Hugging Face."
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))
