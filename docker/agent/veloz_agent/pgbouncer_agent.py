"""The agent of a PgBouncer node: holds clients, routes them, lets them go, and lets them go when nobody else does."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Optional

from . import addresses, arguments, deadman, peers, statefile
from .client_login import ClientLogin
from .errors import CommandError
from .log import log
from .node import NodeAgent, now_ms
from .pgbouncer_console import TROUBLE, Console
from .pgbouncer_files import read_route, route_path, write_route
from .processes import Child
from .route_check import RouteCheck
from .settings import PgBouncerSettings
from .wire import Connection

# At its limit a hold waits for so long for somebody who is writable: a node that held its server, or was fenced, takes
# its role back at about the same time.
EXTRA_S = 2
ASK_EVERY_S = 0.1
LAST_ASK_MS = 50
WATCH_S = 60
WATCH_EVERY_S = 0.2
# How often the address of the route's host is looked up; a node gets another one when its container starts.
FOLLOW_EVERY_S = 1
# The same once its name has lost its address: the next node that starts may be given that one, and is a standby some 0.1 s later.
FOLLOW_GONE_EVERY_S = 0.05
# The same while it has no address: clients wait for it. A look-up may take longer then.
FOLLOW_NOBODY_EVERY_S = 0.2
FOLLOW_NOBODY_LIMIT_S = 3
# How often the routed node is asked whether it is the primary, while no hold is armed.
CHECK_EVERY_S = 1
# A run that spoke to this agent so lately knows better where clients are to go.
RUN_SPOKE_S = 10
# A PgBouncer that hangs answers nobody, clients least of all. It is asked this often, and ended when it has given no answer so many times
# in a row, each within the console's limit: some 15 s in all.
HANG_ASK_EVERY_S = 1
HANG_TIMES = 5
# The same once a hold has reached its limit: each attempt to let clients go asks twice, for the route and to resume. Some 12 s in all.
EXPIRY_HANG_TIMES = 3
# docker-compose grants 30 s.
STOP_LIMIT_S = 10


class Hold:
    """Clients that wait. `paused` resolves when no server connection is in use any more."""

    def __init__(self, token: dict, candidates: list, route: dict) -> None:
        self.token = token
        self.candidates = candidates
        # Where clients went when it began.
        self.route = route
        self.began = time.monotonic()
        self.since_ms = now_ms()
        self.pause_ms: Optional[float] = None
        # What sends PAUSE, and waits for its end.
        self.pausing: Optional[asyncio.Task] = None
        self._pause_limit: Optional[asyncio.Timeout] = None
        self.paused: asyncio.Future = asyncio.get_running_loop().create_future()
        # A pause that failed is told to whoever asked; it is no lost exception when nobody is left to ask.
        self.paused.add_done_callback(lambda done: done.cancelled() or done.exception())

    def limit_pause(self, limit_ms: int) -> asyncio.Timeout:
        """The scope in which PAUSE has to end."""
        self._pause_limit = asyncio.timeout(limit_ms / 1000)
        return self._pause_limit

    def wait_longer(self, limit_ms: int) -> None:
        """Whoever joins may grant open transactions more time, never less."""
        limit = self._pause_limit
        until = asyncio.get_running_loop().time() + limit_ms / 1000
        if limit and (limit.when() or until) < until:
            try:
                limit.reschedule(until)
            except RuntimeError:
                # PAUSE has ended, or was given up, a moment ago.
                pass

    @property
    def held_ms(self) -> float:
        return round((time.monotonic() - self.began) * 1000, 1)


class PgBouncerAgent(NodeAgent):
    """Only a hold arms the dead-man switch here; it lives in memory, because a container that ends lets go as well."""

    def __init__(self, settings: PgBouncerSettings) -> None:
        super().__init__(settings.node, os.path.join(settings.volume, "agent.json"))
        self.settings = settings
        self.server: Optional[Child] = None
        self.since_ms = now_ms()
        self.hold: Optional[Hold] = None
        self.expired_run: Optional[str] = None
        self.deadman = deadman.Deadman(lambda: self.spawn_task(self._expire()))
        self.route: dict = read_route(settings) or settings.first_route
        # What PgBouncer is given for the route's host: its address, or a name without one. None until the file was written.
        self.address: Optional[str] = None
        self.console = Console(settings)
        self._watch: Optional[asyncio.Task] = None
        self._ready = False
        self._check = RouteCheck()
        # Nodes that a run named and that the environment does not: asked, too.
        self._named: list = []
        self._run_spoke = -RUN_SPOKE_S
        self.last_correction: Optional[dict] = None
        self.commands = {
            "observe": self.observe,
            "ask": self.ask_peers,
            "tryClient": ClientLogin(settings, self.console).answer,
            "health": self.check_health,
            "claim": self.claim,
            "forget": self.forget,
            "hold": self.take_hold,
            "route": self.take_route,
            "drop": self.drop,
            "release": self.release,
        }

    def armed(self) -> bool:
        return self.deadman.armed

    def state(self) -> dict:
        return {
            "expiredRun": self.expired_run,
            "lastExpiry": self.last_expiry,
            "nodes": self._named,
            "routeCheck": self._check.as_state(),
        }

    def health(self) -> tuple:
        if self.server and self._ready:
            return (True, "PgBouncer is running.")
        return (False, "PgBouncer is starting." if self.server else "PgBouncer is stopped.")

    async def prepare(self, saved: dict) -> None:
        self.expired_run = saved.get("expiredRun")
        self._named = saved.get("nodes") or []
        self._check = RouteCheck(saved.get("routeCheck"))
        # The route is as old as the last time this container ran: another node may be the primary by now.
        better = await self._better_route()
        if better is not None:
            log("warn", f"{self.route['host']} is not the primary any more: clients go to {better['host']}:{better['port']}.")
            self.route = better
        # The address that the file has may be anybody's by now.
        self._write_route(self.route, await self._address_of(self.route))
        self.server = self.processes.spawn(
            [self.settings.binary, os.path.join(self.settings.run, "pgbouncer.ini")],
            {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": self.settings.volume},
        )
        self.since_ms = self.server.since_ms
        self.server.exited.add_done_callback(lambda exited: self._on_exit(exited.result()))
        log("info", f"Started PgBouncer, clients go to {self.route['host']}:{self.route['port']}.")
        self.spawn_task(self._await_ready())
        self.spawn_task(self._follow_address())
        self.spawn_task(self._follow_the_primary())
        self.spawn_task(self._end_what_hangs())

    async def _await_ready(self) -> None:
        while self.server and not self._ready:
            try:
                await self.console.ask("SHOW VERSION")
                self._ready = True
            except TROUBLE:
                await asyncio.sleep(0.02)

    async def _end_what_hangs(self) -> None:
        """Ends a PgBouncer that runs and does not answer: its container starts anew, and clients connect again instead of waiting for nobody."""
        times = 0
        while True:
            await asyncio.sleep(HANG_ASK_EVERY_S)
            # While clients are held, the hold and its limit decide; what hangs then is ended soon after that limit (`_expire`).
            if self.server is None or not self._ready or self.hold is not None or self.shutting_down:
                times = 0
                continue
            try:
                await self.console.ask("SHOW VERSION")
                times = 0
            except asyncio.TimeoutError:
                # Only silence counts: whoever refuses is alive, and whoever has ended is seen otherwise.
                times += 1
            except TROUBLE:
                times = 0
            if times >= HANG_TIMES and self.server is not None and self.hold is None:
                self._end_hanging(times)
                times = 0

    def _end_hanging(self, times: int) -> None:
        """PgBouncer has nothing that a SIGKILL could harm."""
        self._tell_correction(f"PgBouncer gave no answer {times} times in a row and was ended: it hung.")
        self.server.signal(signal.SIGKILL)

    def _on_exit(self, code: int) -> None:
        self.server = None
        self._ready = False
        self.since_ms = now_ms()
        log("info" if self.shutting_down else "error", f"PgBouncer ended with exit code {code}.")
        if not self.shutting_down:
            self.finish(1)

    async def stop_server(self) -> None:
        """Open transactions may end first; clients that wait are disconnected."""
        server = self.server
        if server is None:
            return
        server.signal(signal.SIGINT)
        try:
            await asyncio.wait_for(asyncio.shield(server.exited), STOP_LIMIT_S)
        except asyncio.TimeoutError:
            server.signal(signal.SIGQUIT)
            await server.exited

    # Commands.

    async def observe(self, _message: dict) -> dict:
        paused = halted = None
        state = "stopped"
        if self.server:
            try:
                halted = await self.console.halted()
                paused = halted is not None or (await self.console.database())["paused"] == "1"
                state = "running"
            except TROUBLE:
                state = "starting"
        hold = self.hold
        return {
            "agent": 1,
            "node": self.node,
            "pgbouncer": {"state": state, "pid": self.server.pid if self.server else None, "sinceMs": self.since_ms},
            "route": self.route,
            "routeAddress": self.address,
            "paused": paused,
            "halted": halted,
            "hold": {
                "state": "holding" if hold.pause_ms is not None else "pausing",
                "sinceMs": hold.since_ms,
                "remainingMs": self.deadman.remaining_ms,
                "token": hold.token,
            }
            if hold
            else None,
            "lastExpiry": self.last_expiry,
            "lastCorrection": self.last_correction,
            "token": self.claims.current,
        }

    async def ask_peers(self, message: dict) -> dict:
        return await peers.answer_ask(message, self.settings.ha_user, self.settings.ha_password)

    async def take_hold(self, message: dict) -> dict:
        token = arguments.token(message)
        pause_limit_ms = arguments.milliseconds(message, "pauseLimitMs")
        limit_ms = arguments.milliseconds(message, "limitMs")
        candidates = arguments.addresses(message.get("candidates"), "candidates")
        wait = message.get("wait", True)
        if not isinstance(wait, bool):
            raise arguments.bad("wait", "true or false", wait)
        async with self.change:
            self.claims.check(token)
            already = self.hold is not None
            if self.hold and not self.deadman.expired:
                self.hold.token = token
                self.hold.wait_longer(pause_limit_ms)
            elif self.hold or self.expired_run == token["run"]:
                raise CommandError(
                    "Expired",
                    "This run held clients for too long and they were let go; it may not hold them again. "
                    "Start a new run.",
                    lastExpiry=self.last_expiry,
                )
            else:
                self._end_watch()
                self._named = candidates
                self.deadman.arm(limit_ms)
                self.hold = Hold(token, candidates, self.route)
                self.hold.pausing = self.spawn_task(self._pause(self.hold, pause_limit_ms))
            hold = self.hold
        if wait:
            await asyncio.shield(hold.paused)
        return {"already": already, "pauseMs": hold.pause_ms, "remainingMs": self.deadman.remaining_ms or 0}

    async def _pause(self, hold: Hold, limit_ms: int) -> None:
        console: Optional[Connection] = None
        try:
            async with hold.limit_pause(limit_ms):
                # Somebody's PAUSE of everything, or SUSPEND, would refuse this one, and outlive it: the hold takes its place.
                halted = await self.console.resume_all()
                if halted is not None:
                    log("warn", f"PgBouncer was {halted} as a whole, and was resumed: clients are held instead.", token=hold.token)
                console = await self.console.open()
                await console.query(f'PAUSE "{self.settings.database}"')
                # Once somebody sent WAIT_CLOSE, PgBouncer 1.24 answers every later PAUSE as that, before transactions have ended: it
                # never takes the mark from the database again (admin.c, janitor.c).
                if console.tag == "WAIT_CLOSE":
                    await self.console.until_unused()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, clients go on
            if self.hold is hold:
                await self._give_up(hold, error)
            return
        finally:
            # The pool stays paused without the session.
            if console:
                console.close()
        if self.hold is hold:
            hold.pause_ms = hold.held_ms
            hold.paused.set_result(None)
            log("info", "Clients are held.", token=hold.token, pauseMs=hold.pause_ms)

    async def _give_up(self, hold: Hold, error: Exception) -> None:
        busy = await self.console.busy_servers()
        await self.console.resume()
        self._let_go()
        if isinstance(error, TimeoutError):
            failure = CommandError(
                "PauseTimeout",
                f"{len(busy)} server connection(s) were still in a transaction {hold.held_ms:.0f} ms after PAUSE; "
                "clients go on. End the open transactions and try again.",
                limitMs=round(hold.held_ms),
                transactions=busy,
            )
        else:
            failure = CommandError("PauseFailed", f"PgBouncer did not pause: {error!r}; clients go on.")
        log("warn", failure.message, token=hold.token)
        if not hold.paused.done():
            hold.paused.set_exception(failure)

    async def _resume(self, hold: Hold) -> None:
        """RESUME, once the hold's PAUSE is over: one that PgBouncer read after the RESUME would hold clients, and nobody would know."""
        pausing = hold.pausing
        ended = pausing is None or pausing.done()
        if not ended:
            pausing.cancel()
            await asyncio.wait([pausing])
        await self.console.resume()
        # Its PAUSE may have been on its way.
        if not ended and (await self.console.database())["paused"] == "1":
            await self.console.resume()

    def _let_go(self) -> None:
        self.hold = None
        self.deadman.disarm()

    async def drop(self, message: dict) -> dict:
        """While clients are held: ends those whose transaction hangs on a server that is gone, so that PAUSE ends."""
        token = arguments.token(message)
        async with self.change:
            self.claims.check(token)
            hold = self.hold
            if hold is None:
                raise CommandError("NotHeld", "Clients are not held; their transactions are left alone.")
            dropped = 0 if hold.pause_ms is not None else await self.console.end_clients_of_busy_servers()
        if dropped:
            log("warn", f"Ended {dropped} client(s) whose transaction did not end.", token=token)
        return {"dropped": dropped}

    async def take_route(self, message: dict) -> dict:
        token = arguments.token(message)
        route = arguments.address(message, "route")
        async with self.change:
            self.claims.check(token)
            self._run_spoke = time.monotonic()
            # While clients are held, they may be led ahead to a node that is still being promoted.
            if self.hold is None and route != self.route and (await self._ask([route]))[0].standby:
                raise CommandError(
                    "Standby", f"{route['host']}:{route['port']} is a standby, and clients are not held: it is no way for writers."
                )
            self._end_watch()
            return await self._go_to(route)

    async def _address_of(self, route: dict) -> str:
        """What PgBouncer is to be given for a host. One without an address is led nowhere: the last one may be another's."""
        known = self.address if route["host"] == self.route["host"] else None
        return await addresses.look_up(route["host"], known) or addresses.nowhere(route["host"])

    async def _go_to(self, route: dict, address: Optional[str] = None) -> dict:
        """`address`: what PgBouncer is given for the host, where the caller knows better than a look-up."""
        began = time.monotonic()
        address = address or await self._address_of(route)
        shown = (address, str(route["port"]))
        row = await self.console.database()
        if read_route(self.settings) == route and (row["host"], row["port"]) == shown:
            return {"already": True, "ms": round((time.monotonic() - began) * 1000, 1)}
        self._write_route(route, address)
        durable = self.spawn_task(self.on_disk(statefile.make_durable, route_path(self.settings)))
        await self.console.ask("RELOAD")
        row = await self.console.database()
        if (row["host"], row["port"]) != shown:
            raise CommandError(
                "RouteNotTaken", f"After RELOAD PgBouncer's route is {row['host']}:{row['port']}.", wanted=route
            )
        self.route = route
        await durable
        log("info", f"Clients go to {route['host']}:{route['port']}.", address=address)
        return {"already": False, "ms": round((time.monotonic() - began) * 1000, 1)}

    def _write_route(self, route: dict, address: str) -> None:
        write_route(self.settings, route, address, sync=False)
        self.address = address

    def _led_nowhere(self) -> bool:
        return self.address == addresses.nowhere(self.route["host"])

    def _others(self, route: dict) -> list:
        """Every other node that is known."""
        others: list = []
        for each in [*self.settings.peers, *self._named]:
            if each != route and each not in others:
                others.append(each)
        return others

    async def _follow_address(self) -> None:
        """A node that was started anew has another address, and its old one may be another node's."""
        gone = False
        while True:
            nowhere = self._led_nowhere()
            await asyncio.sleep(
                FOLLOW_NOBODY_EVERY_S if nowhere else FOLLOW_GONE_EVERY_S if gone else FOLLOW_EVERY_S
            )
            route, known = self.route, self.address
            limit_s = FOLLOW_NOBODY_LIMIT_S if nowhere else addresses.LOOK_UP_LIMIT_S
            address = await addresses.look_up(route["host"], known, limit_s)
            gone = address is None and known is not None and not nowhere
            if gone:
                # The name of a node that is down has no address. Docker gives the old one to whoever starts next.
                others = [each["host"] for each in self._others(route) if each["host"] != route["host"]]
                if await addresses.is_anothers(known, others):
                    address = addresses.nowhere(route["host"])
            if address is None or address == known:
                continue
            async with self.change:
                if self.route != route or self.address != known:
                    continue
                try:
                    await self._go_to(route, address)
                except (CommandError, *TROUBLE) as error:
                    log("error", f"The new address of {route['host']}, {address}, could not be taken: {error!r}")
                    continue
            if self._led_nowhere():
                self._tell_correction(f"{known}, the address that {route['host']} had, is another node's now: clients wait for {route['host']}.")

    async def _leave_another(self) -> None:
        """Asks whoever is at the address that PgBouncer uses, where the name has none: a standby there takes no writes."""
        route, address = self.route, self.address
        if address is None or self._led_nowhere() or await addresses.look_up(route["host"]) is not None:
            return
        if not (await self._ask([{"host": address, "port": route["port"]}]))[0].standby:
            return
        async with self.change:
            if self.route != route or self.address != address or not self._left_alone():
                return
            try:
                await self._go_to(route, addresses.nowhere(route["host"]))
            except (CommandError, *TROUBLE) as error:
                log("error", f"A standby is at {address}, and clients could not be kept from it: {error!r}")
                return
        self._tell_correction(f"A standby is at {address}, the address that {route['host']} had: clients wait for {route['host']}.")

    def _tell_correction(self, did: str) -> None:
        self.last_correction = {"at": now_ms(), "did": did}
        log("warn", did)

    def _left_alone(self) -> bool:
        """Nobody else decides where clients go: no hold, no watch after one, and no run that has just spoken."""
        watched = self._watch is not None and not self._watch.done()
        return self.hold is None and not watched and time.monotonic() - self._run_spoke >= RUN_SPOKE_S

    async def _better_route(self) -> Optional[dict]:
        """Where clients should go instead. While the routed node takes writes, it alone is asked."""
        route = self.route
        first = await self._ask([route])
        await self._learn(route, first)
        if first[0].writable:
            return None
        answers = first + await self._ask(self._others(route))
        better = self._check.better(route, answers)
        await self._learn(route, answers)
        return better

    async def _learn(self, route: dict, answers: list) -> None:
        if self._check.learn(route, answers):
            await self.save_durably()

    async def _follow_the_primary(self) -> None:
        """Roles may change in many ways that tell nobody here: writers follow the one that is the primary."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            if self.server is None or not self._left_alone():
                continue
            route = self.route
            better = await self._better_route()
            if better is None:
                await self._leave_another()
                continue
            # Asked twice: the first answers may be of two different moments.
            if await self._better_route() != better:
                continue
            async with self.change:
                if self.route != route or not self._left_alone():
                    continue
                try:
                    await self._go_to(better)
                except (CommandError, *TROUBLE) as error:
                    log("error", f"{route['host']} is not the primary any more, and {better['host']} could not be taken: {error!r}")
                    continue
            self._tell_correction(
                f"{route['host']} is not the primary any more: clients go to {better['host']}:{better['port']}, the only one."
            )

    async def release(self, message: dict) -> dict:
        token = arguments.token(message)
        async with self.change:
            self.claims.check(token)
            self._run_spoke = time.monotonic()
            hold = self.hold
            if hold is None:
                return {"already": True, "heldMs": 0}
            await self._resume(hold)
            self._let_go()
            held_ms = hold.held_ms
        if not hold.paused.done():
            hold.paused.set_exception(CommandError("Released", "The hold was released before PAUSE had ended."))
        log("info", "Clients were let go.", token=token, heldMs=held_ms)
        return {"already": False, "heldMs": held_ms}

    async def claim(self, message: dict) -> dict:
        before = (self.claims.current or {}).get("run")
        # Also one that is refused: somebody is at work.
        self._run_spoke = time.monotonic()
        result = await super().claim(message)
        if (self.claims.current or {}).get("run") != before:
            self._end_watch()
        return result

    # The dead-man switch.

    async def _expire(self) -> None:
        """Lets clients go at the limit, or up to `EXTRA_S` later when nobody is writable at the limit.

        While it waits, the run's own `route` and `release` are carried out.
        """
        hold = self.hold
        if hold is None:
            return
        last = time.monotonic() + EXTRA_S
        candidates = self._candidates(hold.candidates)
        answers: Optional[list] = None
        silences = 0
        while True:
            left_ms = round((last - time.monotonic()) * 1000)
            # What is left at the end may be too short for a living node to answer.
            if answers is None or left_ms > LAST_ASK_MS:
                answers = await self._ask(candidates, min(peers.PROBE_LIMIT_MS, left_ms))
            async with self.change:
                if self.hold is not hold or not self.deadman.expired:
                    return
                if deadman.newest_primary(answers) is not None or time.monotonic() >= last:
                    try:
                        await self._let_go_expired(hold, candidates, answers)
                    except (CommandError, *TROUBLE) as error:
                        silences = silences + 1 if isinstance(error, asyncio.TimeoutError) else 0
                        log("error", f"The dead-man switch could not let clients go and tries again: {error!r}")
                        if silences >= EXPIRY_HANG_TIMES and self.server is not None:
                            await self._end_holding(hold, silences)
                            return
                    else:
                        await self.save_durably()
                        return
            await asyncio.sleep(min(ASK_EVERY_S, max(0.01, last - time.monotonic())))

    async def _end_holding(self, hold: Hold, silences: int) -> None:
        """The hold ends with the container, and clients connect again instead of waiting for nobody."""
        run = self.expired_run = hold.token["run"]
        did = f"PgBouncer did not let clients go, {hold.held_ms} ms after they were held."
        self.last_expiry = {"at": now_ms(), "run": run, "did": did}
        await self.save_durably()
        self._end_hanging(silences)

    async def _let_go_expired(self, hold: Hold, candidates: list, answers: list) -> None:
        did = await self._route_to_primary(answers, hold.route)
        await self._resume(hold)
        self._let_go()
        run = self.expired_run = hold.token["run"]
        did = f"{did} Clients were let go after {hold.held_ms} ms."
        self.last_expiry = {"at": now_ms(), "run": run, "did": did}
        if not hold.paused.done():
            hold.paused.set_exception(CommandError("Expired", "The hold expired before PAUSE had ended."))
        log("warn", f"The dead-man switch expired. {did}", token=hold.token)
        if deadman.newest_primary(answers) is None:
            self._watch = self.spawn_task(self._watch_for_primary(candidates))

    async def _ask(self, candidates: list, limit_ms: int = peers.PROBE_LIMIT_MS) -> list:
        return await peers.ask_all(candidates, self.settings.ha_user, self.settings.ha_password, limit_ms)

    def _candidates(self, named: list) -> list:
        return named if self.route in named else [*named, self.route]

    async def _route_to_primary(self, answers: list, before: Optional[dict] = None) -> str:
        route = deadman.decide_route(self.route, answers, before)
        told = f"({peers.describe(answers)})"
        nobody = "Nobody is writable: t" if deadman.newest_primary(answers) is None else "T"
        if nobody != "T" and route == self.route:
            return f"{nobody}he route stays at {self.route['host']}:{self.route['port']} {told}."
        try:
            result = await self._go_to(route)
        except (CommandError, *TROUBLE) as error:
            return f"{nobody}he route to {route['host']}:{route['port']} could not be taken: {error} {told}."
        return f"{nobody}he route {'stays at' if result['already'] else 'is now'} {route['host']}:{route['port']} {told}."

    async def _watch_for_primary(self, candidates: list) -> None:
        """Clients were let go while nobody could be written to: they follow as soon as somebody can."""
        end = time.monotonic() + WATCH_S
        while time.monotonic() < end:
            await asyncio.sleep(WATCH_EVERY_S)
            answers = await self._ask(candidates)
            if deadman.newest_primary(answers) is not None:
                async with self.change:
                    did = await self._route_to_primary(answers)
                    if self.last_expiry:
                        self.last_expiry = {**self.last_expiry, "did": f"{self.last_expiry['did']} Then: {did}"}
                    await self.save_durably()
                log("warn", did)
                return
        log("error", f"Nobody became writable within {WATCH_S} s after the hold had expired.")

    def _end_watch(self) -> None:
        if self._watch:
            self._watch.cancel()
            self._watch = None
