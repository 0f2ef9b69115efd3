"""What is a length in nanometres, and which units of length are known?"""

from .errors import VolumeError

UNITS_NM: dict[str, float] = {
    "picometer": 1e-3,
    "angstrom": 0.1,
    "nanometer": 1.0,
    "micrometer": 1e3,
    "millimeter": 1e6,
    "centimeter": 1e7,
    "meter": 1e9,
    "inch": 2.54e7,
}
SHORT_UNITS = {
    "pm": "picometer",
    "å": "angstrom",
    "a": "angstrom",
    "nm": "nanometer",
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "in": "inch",
}


def parse_unit(text: str, place: str) -> str:
    """Return the full name of a unit of length; raises VolumeError naming --unit."""
    word = text.strip()
    full = SHORT_UNITS.get(word.lower(), word.lower().replace("metre", "meter"))
    if full not in UNITS_NM:
        raise VolumeError(
            f"{place}: '{text}' is no unit of length known here", f"give --unit, one of {', '.join(UNITS_NM)}"
        )
    return full


def is_voxel(nm: float) -> bool:
    """Tell whether a voxel can be as large: between a picometre and a metre; a wrong unit is seldom within."""
    return 1e-3 <= nm <= 1e9


def to_nm(value: float, unit: str) -> float:
    return float(f"{value * UNITS_NM[unit]:.12g}")


def from_nm(value: float, unit: str) -> float:
    return float(f"{value / UNITS_NM[unit]:.12g}")
