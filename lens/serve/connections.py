"""A server that loses no answer when it ends, and waits for nobody for ever."""

import asyncio
import socket
import threading
from typing import Any

import uvicorn

_FAREWELL = 2.0  # seconds in which connections are told, each by an answer, that they end
_LOOK = 10  # ticks of a tenth of a second between looks for the silent


class Server(uvicorn.Server):
    """uvicorn's, with two differences.

    uvicorn closes a connection that is between two requests at once, also where the next one is on its way. This one
    first stops accepting and sets `leaving`, whereupon the application says `connection: close` in each answer; then it
    closes what is left: connections that nothing was asked over meanwhile.

    uvicorn waits without end for the headers of a request. This one closes connections that have not sent any whole
    ones for `silence` seconds.
    """

    def __init__(self, config: uvicorn.Config, leaving: threading.Event, silence: float) -> None:
        super().__init__(config)
        self._leaving, self._patience = leaving, silence
        self._silent: dict[Any, float] = {}  # connections without a request, and since when

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
            now = asyncio.get_running_loop().time()
            waiting = [one for one in self.server_state.connections if _is_silent(one)]
            self._silent = {one: self._silent.get(one, now) for one in waiting}
            for one, since in self._silent.items():
                if now - since > self._patience:
                    one.transport.close()
        return await super().on_tick(counter)


def _is_silent(connection: Any) -> bool:
    cycle = connection.cycle
    return cycle is None or cycle.response_complete
