"""Error bodies of Together, in the three spellings that clients must understand."""

from __future__ import annotations

from typing import Any

from peft_tui.sandbox.web import Refusal

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "credit_limit",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    429: "rate_limit",
    501: "not_implemented",
    503: "overloaded",
}
# google.rpc.Code, as a gRPC gateway would put them.
_GRPC = {400: 9, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 501: 12, 503: 14}


def refuse(
    status: int,
    message: str,
    *,
    code: str | None = None,
    shape: str = "openai",
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Refusal:
    """An error answer.

    Args:
        status: HTTP status.
        message: What a person reads.
        code: Machine word such as `model_not_available`.
        shape: `openai`, `grpc` or `string`.
        param: Offending field.
        headers: Further headers.
    """
    body: dict[str, Any]
    match shape:
        case "grpc":
            body = {"code": _GRPC.get(status, 13), "message": message, "details": []}
        case "string":
            body = {"error": message}
        case _:
            kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
            body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Refusal(status, body, headers)
