"""The command `veloz-agent`: run (process 1), session (a worker's channel), health, or one command for people."""

from __future__ import annotations

import json
import os
import socket
import sys

SOCKET = "/run/veloz/agent.sock"
USAGE = """usage: veloz-agent run postgres|pgbouncer   process 1 of a container
       veloz-agent session                  joins standard input and output to the agent, one JSON document a line
       veloz-agent health [--linger MS]     exit code 0 when the server is as desired
       veloz-agent COMMAND [JSON]           sends one command, for example: veloz-agent observe"""


def main(argv: list) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if argv else 2
    try:
        if argv[0] == "run":
            return run(argv[1:])
        if argv[0] == "session":
            return session()
        if argv[0] == "health":
            return health(argv[1:])
        return command(argv[0], argv[1] if len(argv) > 1 else "{}")
    except (FileNotFoundError, ConnectionError) as error:
        print(f"Error: the agent does not answer on {SOCKET}. Why: {error}. Next: docker logs.", file=sys.stderr)
        return 7
    except KeyboardInterrupt:
        return 130


def run(argv: list) -> int:
    import asyncio

    from . import process_one

    if argv not in (["postgres"], ["pgbouncer"]):
        print(USAGE, file=sys.stderr)
        return 2
    return asyncio.run(process_one.run(argv[0]))


def connect() -> socket.socket:
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(SOCKET)
    return channel


def session() -> int:
    """Copies both ways until the agent closes; the end of standard input is passed on, so open answers still come."""
    import selectors

    channel = connect()
    watched = selectors.DefaultSelector()
    watched.register(0, selectors.EVENT_READ)
    watched.register(channel, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fd == 0:
                data = os.read(0, 65536)
                if data:
                    channel.sendall(data)
                else:
                    watched.unregister(0)
                    channel.shutdown(socket.SHUT_WR)
            else:
                data = channel.recv(65536)
                if not data:
                    return 0
                try:
                    while data:
                        data = data[os.write(1, data) :]
                except BrokenPipeError:
                    return 0


def call(message: dict, timeout_s: float) -> dict:
    channel = connect()
    channel.settimeout(timeout_s)
    channel.sendall(json.dumps(message).encode() + b"\n")
    with channel.makefile("r", encoding="utf-8") as answers:
        line = answers.readline()
    if not line:
        raise ConnectionError("the agent closed the connection")
    return json.loads(line)


def health(argv: list) -> int:
    linger = int(argv[1]) if len(argv) == 2 and argv[0] == "--linger" else None
    message = {"id": 0, "do": "health", **({"lingerMs": linger} if linger else {})}
    try:
        answer = call(message, (linger or 0) / 1000 + 5)
    except TimeoutError:
        print("The agent does not answer in time.")
        return 1
    result = answer.get("result") or {"ok": False, "why": str(answer.get("error"))}
    print(result["why"])
    return 0 if result["ok"] else 1


def command(do: str, text: str) -> int:
    try:
        arguments = json.loads(text)
        if not isinstance(arguments, dict):
            raise ValueError("expected a JSON object")
    except ValueError as error:
        print(f"Error: the arguments are not JSON. Why: {error}. Next: veloz-agent --help", file=sys.stderr)
        return 2
    answer = call({**arguments, "id": 0, "do": do}, 660)
    if answer.get("ok"):
        print(json.dumps(answer["result"], indent=2))
        return 0
    error = answer["error"]
    print(f"Error: {error['message']} [{error['type']}]", file=sys.stderr)
    if error.get("details"):
        print(json.dumps(error["details"], indent=2), file=sys.stderr)
    return 1
