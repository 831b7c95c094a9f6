"""How far apart two colours are for eyes of every kind, and how well one shows on white.

Colour blindness is simulated by the matrices of Machado, Oliveira and Fernandes (2009), at full severity, on linear
RGB; distances are Euclidean in CIE L*a*b* (1976, white point D65); contrast is that of WCAG 2.2.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

TEXT_CONTRAST = 4.5  # WCAG 2.2, criterion 1.4.3
MARK_CONTRAST = 3.0  # WCAG 2.2, criterion 1.4.11: lines and markers
# Five times 2.3, the difference in L*a*b* that eyes just notice on large fields (Mahy, Van Eycken and Oosterlinck
# 1994): lines are thin.
LEAST_DISTANCE = 11.5

VISIONS = {
    "full colour vision": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def channels(color: str) -> np.ndarray:
    """(3,) red, green and blue of "#RRGGBB", between 0 and 1."""
    return np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])


def hexadecimal(rgb: np.ndarray) -> str:
    """The inverse of `channels`, rounded."""
    return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in np.clip(rgb, 0, 1))


def contrast(color: str, ground: str = "#ffffff") -> float:
    """Contrast ratio of two colours, between 1 and 21."""
    light = [_linear(channels(one)) @ _TO_XYZ[1] for one in (color, ground)]
    return float((max(light) + 0.05) / (min(light) + 0.05))


def darkened(color: str, least: float) -> str:
    """The colour, mixed with no more black than gives this contrast on white."""
    for share in np.linspace(1, 0, 101):
        mixed = hexadecimal(share * channels(color))
        if contrast(mixed) >= least:
            return mixed
    return "#000000"


def distance(
    first: str, second: str, visions: Mapping[str, np.ndarray] = MappingProxyType(VISIONS)
) -> tuple[float, str]:
    """The smallest distance of two colours over kinds of eyes, all by default, and the kind that sees it."""
    apart = {
        name: float(np.linalg.norm(_lab(channels(first), vision) - _lab(channels(second), vision)))
        for name, vision in visions.items()
    }
    nearest = min(apart, key=apart.__getitem__)
    return apart[nearest], nearest


def _linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(rgb: np.ndarray, vision: np.ndarray) -> np.ndarray:
    seen = np.clip(vision @ _linear(rgb), 0, 1)
    relative = _TO_XYZ @ seen / _TO_XYZ.sum(axis=1)
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
