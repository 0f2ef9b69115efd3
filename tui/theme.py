"""Which colours do the screens have? A calm dark theme; Textual's others can be chosen from the palette."""

from textual.theme import Theme

QUIET, FAINT = "$foreground 60%", "$foreground 30%"
"""Styles of what is said beside the point, and of what is hardly said; they follow whatever theme is chosen."""
GOOD, BUSY = "#7fb069", "#d9a657"
"""Colours of what is done and of what is being worked on, where a table takes no names of the theme."""

THEME = Theme(
    name="rondel",
    primary="#5b8fb9",
    secondary="#4a6a86",
    accent=BUSY,
    foreground="#d5d8dc",
    background="#14171b",
    surface="#1a1e23",
    panel="#22272e",
    success=GOOD,
    warning=BUSY,
    error="#d96c6c",
    dark=True,
    variables={
        "border": "#5b8fb9",
        "border-blurred": "#333b45",
        "block-cursor-background": "#2d4a63",
        "block-cursor-foreground": "#f2f4f6",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#252c34",
        "block-cursor-blurred-foreground": "#d5d8dc",
        "block-hover-background": "#1f252c",
        "footer-background": "#14171b",
        "footer-key-foreground": "#d9a657",
        "footer-description-foreground": "#9aa3ad",
        "input-selection-background": "#5b8fb9 40%",
        "scrollbar": "#333b45",
        "scrollbar-background": "#1a1e23",
        "scrollbar-hover": "#4a6a86",
        "scrollbar-active": "#5b8fb9",
    },
)
