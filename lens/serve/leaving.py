"""A server that loses no answer when it ends."""

import asyncio
import socket
import threading

import uvicorn

_FAREWELL = 2.0  # seconds in which connections are told, each by an answer, that they end


class LeavingServer(uvicorn.Server):
    """uvicorn closes a connection that is between two requests at once, also where the next one is on its way.

    This one first stops accepting, sets `leaving`, whereupon the application says `connection: close` in each answer,
    and closes what is left a little later: connections that nothing was asked over meanwhile.
    """

    def __init__(self, config: uvicorn.Config, leaving: threading.Event) -> None:
        super().__init__(config)
        self._leaving = leaving

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but later."""
        for server in self.servers:
            server.close()
        self._leaving.set()
        rounds = int(_FAREWELL / 0.05)
        while self.server_state.connections and not self.force_exit and (rounds := rounds - 1) > 0:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
