"""A server that loses no answer when it ends, and waits for nobody for ever."""

import asyncio
import socket
import threading
from collections.abc import Iterable
from typing import Any

import uvicorn

_FAREWELL = 2.0  # seconds in which connections are told, each by an answer, that they end
_LOOK = 10  # ticks of a tenth of a second between looks for the silent


class Server(uvicorn.Server):
    """uvicorn's, with two differences.

    uvicorn closes a connection that is between two requests at once, also where the next one is on its way. This one
    first stops accepting and sets `leaving`, whereupon the application says `connection: close` in each answer; then it
    closes what is left: connections that nothing was asked over meanwhile.

    uvicorn waits without end for the headers of a request, and for answers to be read. This one closes connections that
    have not sent any whole headers for `silence` seconds, and cuts those that are closing and are not read any more.
    """

    def __init__(self, config: uvicorn.Config, leaving: threading.Event, silence: float) -> None:
        super().__init__(config)
        self._leaving, self._patience = leaving, silence
        self._since: dict[Any, tuple[Any, float]] = {}  # by connection: how it stands, and since when

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but later."""
        for server in self.servers:
            server.close()
        self._leaving.set()
        rounds = int(_FAREWELL / 0.05)
        while self.server_state.connections and not self.force_exit and (rounds := rounds - 1) > 0:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if counter % _LOOK == 0:
            self._end_silent(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _end_silent(self, now: float) -> None:
        before, self._since = self._since, {}
        connections: Iterable[Any] = self.server_state.connections
        for one in connections:
            closing, cycle = one.transport.is_closing(), one.cycle  # a cycle for each request
            if not closing and cycle is not None and not cycle.response_complete:
                continue  # it is being answered
            stands = (closing, cycle, one.transport.get_write_buffer_size())
            was, since = before.get(one, (None, now))
            self._since[one] = stands, since if was == stands else now
            if self._since[one][1] < now - self._patience:
                one.transport.abort() if closing else one.transport.close()
