"""PostgreSQL's TLS request, as bytes: no sockets here.

PostgreSQL documentation, "Message Formats" (SSLRequest, ErrorResponse) and "SSL Session Encryption".
"""

from __future__ import annotations

import struct

# Length 8, then the request code 80877103.
REQUEST = struct.pack("!ii", 8, 80877103)
# ALPN protocol of a connection that starts with TLS at once (sslnegotiation=direct).
ALPN_PROTOCOL = b"postgresql"
# More than any server sends before TLS; a longer answer is not PostgreSQL's.
MAX_ERROR_BYTES = 4096


def error_message(body: bytes) -> str:
    """Return the message in what follows the first byte of an ErrorResponse, or "" where it isn't one.

    Protocol 3 sends a length and fields, each with a type byte; servers that could not even start a backend answer
    in protocol 2 style, with the bare text.
    """
    fields = body[4:].split(b"\0")
    for field in fields:
        if field.startswith(b"M"):
            return field[1:].decode("utf-8", "replace").strip()
    if not body.startswith(b"\0"):
        return body.split(b"\0")[0].decode("utf-8", "replace").strip()
    return ""
