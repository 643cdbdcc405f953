"""Refuses request bodies over a limit before anything reads them whole."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.errors import answer


class BodyLimit:
    """ASGI middleware. A body without a stated length is counted while it comes."""

    def __init__(self, app: ASGIApp, *, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._bytes_max:
            refusal = answer(413, "too_large", f"a request body has at most {self._bytes_max} bytes")
            await refusal(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._bytes_max:
                return {"type": "http.disconnect"}
            return message

        await self._app(scope, bounded, send)
