import asyncio
import json
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import peer_channel
from veloz_agent.errors import CommandError
from veloz_agent.peer_channel import ChannelError, PeerChannel, ask, derive_key, seal

KEY = derive_key("s3cret")
HOST = "127.0.0.1"


class PeerChannelTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        quiet = unittest.mock.patch("veloz_agent.peer_channel.log")
        self.log = quiet.start()
        self.addCleanup(quiet.stop)
        self.asked = []
        self.channel = PeerChannel(KEY, self.answer, limit_s=1)
        self.port = await self.channel.listen(HOST, 0)
        self.addCleanup(self.channel.close)

    async def asyncTearDown(self):
        while self.channel._open:
            await asyncio.sleep(0.01)

    async def answer(self, content):
        self.asked.append(content)
        if content.get("do") == "wait":
            await asyncio.sleep(5)
        if content.get("do") == "refuse":
            raise CommandError("BadRequest", "No.")
        if content.get("do") == "break":
            raise RuntimeError("oops")
        return {"answer": "yes", "of": content}

    async def raw(self):
        reader, writer = await asyncio.open_connection(HOST, self.port)
        self.addCleanup(writer.close)
        return reader, writer, json.loads(await reader.readline())["challenge"]

    async def hung_up(self, reader):
        self.assertEqual(await asyncio.wait_for(reader.read(), 20), b"")

    async def impostor(self, reply):
        """A server on the network that answers as `reply(challenge, question line)` says."""

        async def session(reader, writer):
            challenge = "0" * 64
            writer.write(json.dumps({"challenge": challenge}).encode() + b"\n")
            writer.write(reply(challenge, json.loads(await reader.readline())))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(session, HOST, 0)
        self.addCleanup(server.close)
        return server.sockets[0].getsockname()[1]

    async def test_an_authentic_question_gets_an_authentic_answer(self):
        reply = await ask(KEY, HOST, {"do": "x"}, 1000, self.port)
        self.assertEqual(reply, {"answer": "yes", "of": {"do": "x"}})

    async def test_a_refusal_and_a_failure_are_answers_that_say_no(self):
        for do in ("refuse", "break"):
            self.assertEqual((await ask(KEY, HOST, {"do": do}, 1000, self.port))["answer"], "refused")

    async def test_who_does_not_know_the_password_is_not_heard(self):
        with self.assertRaises(ChannelError):
            await ask(derive_key("other"), HOST, {"do": "x"}, 1000, self.port)
        self.assertEqual(self.asked, [])

    async def test_a_recorded_question_can_not_be_asked_again(self):
        reader, writer, challenge = await self.raw()
        line = json.dumps({"nonce": "a" * 64, **seal(KEY, "ask", challenge, "a" * 64, {"do": "x"})}).encode() + b"\n"
        writer.write(line)
        self.assertIn(b"mac", await reader.readline())
        again, writer, _ = await self.raw()
        writer.write(line)
        await self.hung_up(again)
        self.assertEqual(len(self.asked), 1)

    async def test_an_answer_must_be_made_with_the_password_and_for_this_question(self):
        def line(message):
            return json.dumps(message).encode() + b"\n"

        yes = {"answer": "yes"}
        fakes = [
            lambda challenge, question: line({"body": json.dumps(yes), "mac": "0" * 64}),
            lambda challenge, question: line({"body": json.dumps(yes)}),
            lambda challenge, question: line({"body": json.dumps(yes), "mac": "\ud800"}),
            lambda challenge, question: line(seal(derive_key("other"), "answer", challenge, question["nonce"], yes)),
            # Recorded from another conversation, and the question itself thrown back.
            lambda challenge, question: line(seal(KEY, "answer", challenge, "b" * 64, yes)),
            lambda challenge, question: line({"body": question["body"], "mac": question["mac"]}),
            lambda challenge, question: b"[" * 3000 + b"\n",
            lambda challenge, question: b"x" * 100_000,
            lambda challenge, question: b"",
        ]
        for reply in fakes:
            port = await self.impostor(reply)
            with self.assertRaises((ChannelError, OSError)):
                await ask(KEY, HOST, {"do": "x"}, 1000, port)

    async def test_nobody_there_and_no_answer_in_time(self):
        with self.assertRaises(OSError):
            await ask(KEY, HOST, {"do": "x"}, 1000, 1)
        began = asyncio.get_running_loop().time()
        with self.assertRaises(TimeoutError):
            await ask(KEY, HOST, {"do": "wait"}, 100, self.port)
        self.assertLess(asyncio.get_running_loop().time() - began, 4)

    async def test_slow_long_and_nonsensical_connections_are_ended(self):
        slow, _, _ = await self.raw()
        for line in (b"x" * 10_000, b"nonsense\n", b"[1]\n", b"{}\n", b'{"nonce": 1}\n', b"[" * 3000 + b"\n"):
            reader, writer, _ = await self.raw()
            writer.write(line)
            with self.subTest(line=line[:20]):
                try:
                    await self.hung_up(reader)
                except ConnectionResetError:
                    pass
        await self.hung_up(slow)
        self.assertEqual(self.asked, [])
        # One line in ten seconds is enough of a log.
        self.assertEqual(self.log.call_count, 1)

    async def test_the_number_of_connections_is_limited_and_recovers(self):
        readers = [(await self.raw())[0] for _ in range(peer_channel.MAX_SESSIONS)]
        reader, _ = await asyncio.open_connection(HOST, self.port)
        await self.hung_up(reader)
        for each in readers:
            await self.hung_up(each)
        self.assertEqual((await ask(KEY, HOST, {"do": "x"}, 1000, self.port))["answer"], "yes")

    def test_an_empty_password_opens_no_channel(self):
        self.assertRaises(ValueError, derive_key, "")


if __name__ == "__main__":
    unittest.main()
