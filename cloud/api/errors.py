"""How errors leave the API: one shape, a status by reason, and never a traceback."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from broker.errors import Passing, Refused

log = logging.getLogger(__name__)

UNPROCESSABLE = 422
STATUS = {
    "not_logged_in": 401,
    "wrong_password": 401,
    "wrong_token": 401,
    "bad_proof": 401,
    "forbidden": 403,
    "not_found": 404,
    "app_deployed": 409,
    "not_deployed": 409,
    "too_many_devices": 409,
    "secret_missing": 409,
    "secret_in_use": 409,
    "name_taken": 409,
    "token_used": 403,
    "enrollment_rejected": 403,
    "too_large": 413,
    "too_many_logins": 429,
    "too_many_commands": 429,
    "not_supported": 501,
}
HINTS = {
    "not_logged_in": "log in again: `skerry login`",
    "wrong_password": "check the user name and the password",
    "wrong_token": "ask for another registry token",
    "token_used": "ask for a new enrollment token",
    "app_deployed": "remove it from its fleets first, or ask with force=true",
    "missing_image": "push the app's images first: `skerry app push`",
    "bad_image": "build and push it again",
    "bad_platform": "name the platform of the service: `platform: linux/amd64`",
    "desired_too_large": "make the Compose file, its variables or its inline configuration smaller",
    "forbidden": "use a login or a token that may: `skerry token create`",
    "name_taken": "choose another name",
    "too_many_logins": "wait a minute",
    "too_many_commands": "wait until some are answered or expired: `skerry command list`",
    "secret_missing": "set it: `skerry secret set APP NAME`",
    "secret_in_use": "deploy a release without it first, or set another value",
    "too_many_devices": "name a fleet or a device",
    "not_deployed": "deploy it there first: `skerry deploy`",
}
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 503: "unavailable"}


def answer(status: int, reason: str, message: str) -> JSONResponse:
    """Return an error in the API's shape."""
    body = {"error": {"reason": reason, "message": message, "hint": HINTS.get(reason)}}
    headers = {"WWW-Authenticate": 'Bearer realm="skerry"'} if status == 401 else None
    return JSONResponse(body, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Make every error of the application leave in the API's shape."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Passing, _passing)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return answer(STATUS.get(error.reason, UNPROCESSABLE), error.reason, str(error))


def _passing(request: Request, error: Exception) -> JSONResponse:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return answer(503, "unavailable", str(error))


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    where = ".".join(str(step) for step in problem["loc"] if step != "body") or "the body"
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return answer(UNPROCESSABLE, "invalid", f"{where}: {problem['msg']}{more}")


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    reason = _BY_STATUS.get(error.status_code, "bad_request")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return answer(error.status_code, reason, message)


def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(500, "bug", "the server failed at this request; its log says where")
