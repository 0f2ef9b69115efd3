"""What does a browser show where nothing can be opened? One sentence and a hint, on a page that loads nothing."""

import base64
import hashlib
import html

STYLE = (
    "body{margin:18vh auto;max-width:34rem;padding:0 1rem;background:#16181c;color:#e9ebee;"
    'font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}'
    "h1{font-size:20px;margin:0 0 .6rem;padding-left:.8rem;border-left:4px solid #ffc53d}p{margin:0;color:#b6bcc6}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Its own style and nothing else."""
LINK = "Open the link that 'rondel serve' or 'rondel label' prints."
REFUSALS = {
    401: ("This link opens nothing.", f"It is incomplete, or of another project. {LINK}"),
    403: ("This page is not open here.", LINK),
    404: ("There is nothing at this address.", LINK),
    405: ("This cannot be asked for in this way.", LINK),
    429: ("Too many links were tried that open nothing.", "Wait a minute, then open the right one."),
}
"""What is said of an address that is refused, by status; nothing that was sent is repeated."""


def notice(sentence: str, hint: str) -> str:
    """Return a page that says one thing; whatever the words are, they are shown as text."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>rondel</title><link rel="icon" href="data:,"><style>{STYLE}</style>'
        f"<h1>{html.escape(sentence)}</h1><p>{html.escape(hint)}</p></html>\n"
    )
