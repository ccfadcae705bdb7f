import asyncio
import json
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent.errors import CommandError
from veloz_agent.server import serve


class ServerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "agent.sock")
        self.gate = asyncio.Event()
        self.server = await serve(path, self.dispatch)
        self.reader, self.writer = await asyncio.open_unix_connection(path)

    async def asyncTearDown(self):
        self.writer.close()
        self.server.close()

    async def dispatch(self, do, message):
        if do == "wait":
            await self.gate.wait()
        if do == "refuse":
            raise CommandError("Busy", "No.", owner="x")
        if do == "break":
            raise RuntimeError("oops")
        return {"did": do}

    def send(self, *messages):
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            self.writer.write(text.encode() + b"\n")

    async def answer(self):
        return json.loads(await asyncio.wait_for(self.reader.readline(), 20))

    async def test_commands_overlap_and_are_answered_under_their_id(self):
        self.send({"id": 1, "do": "wait"}, {"id": "b", "do": "observe"})
        self.assertEqual(await self.answer(), {"id": "b", "ok": True, "result": {"did": "observe"}})
        self.gate.set()
        self.assertEqual((await self.answer())["id"], 1)

    async def test_a_refusal_carries_type_sentence_and_details(self):
        self.send({"id": 1, "do": "refuse"})
        error = {"type": "Busy", "message": "No.", "details": {"owner": "x"}}
        self.assertEqual(await self.answer(), {"id": 1, "ok": False, "error": error})

    async def test_nonsense_and_failures_are_answered_and_the_session_goes_on(self):
        self.send("nonsense", [1], {"id": 3}, {"id": 4, "do": "observe"})
        answers = [await self.answer() for _ in range(4)]
        self.assertEqual([answer["ok"] for answer in answers], [False, False, False, True])
        self.assertEqual(answers[0]["error"]["type"], "BadRequest")

    async def test_an_unexpected_failure_is_an_answer_too(self):
        with unittest.mock.patch("veloz_agent.server.log"):
            self.send({"id": 5, "do": "break"})
            self.assertEqual((await self.answer())["error"]["type"], "AgentError")

    async def test_open_commands_are_answered_after_the_sender_has_ended_its_side(self):
        self.send({"id": 1, "do": "wait"})
        self.writer.write_eof()
        await asyncio.sleep(0.05)
        self.gate.set()
        self.assertTrue((await self.answer())["ok"])
        self.assertEqual(await self.reader.read(), b"")


if __name__ == "__main__":
    unittest.main()
