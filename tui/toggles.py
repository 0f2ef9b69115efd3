"""How are choices drawn where colours may be missing? With a mark that is there or not, not only a darker one."""

from textual.widgets import Checkbox, RadioButton


class Tick(Checkbox):
    """A box with a cross in it when it is on, else empty."""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        return "X" if self.value else " "


class Choice(RadioButton):
    """One of several: a dot when it is chosen, else a ring."""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        return "●" if self.value else "○"
