"""The solids of the embedded world, each a shape and a field of surface normals.

A solid maps local coordinates (u right, v down, both arrays, unit radius) to
``(distance, normals)``: signed distance to the outline (negative inside) and unit-like normals
(x right, y down, z towards the viewer) of shape (*u.shape, 3). All are seen from slightly above.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Surface = tuple[np.ndarray, np.ndarray]
Solid = Callable[[np.ndarray, np.ndarray], Surface]

_UP = (0.0, -0.86, 0.51)  # a lid
_THICK = 0.17  # how much of the lower side of flat things shows


def _ball(u: np.ndarray, v: np.ndarray) -> Surface:
    return np.hypot(u, v) - 1, _bulge(u, v)


def _box(u: np.ndarray, v: np.ndarray) -> Surface:
    """Return a cube on its corner: a hexagon of three faces."""
    distance = np.maximum(np.abs(u) - 0.88, 0.5 * np.abs(u) + 0.866 * np.abs(v) - 0.88)
    left, right = _like(u, (-0.75, 0.28, 0.6)), _like(u, (0.75, 0.28, 0.6))
    normals = _mix(left, right, _step(u))
    return distance, _mix(normals, _like(u, _UP), _step(-v - 0.577 * np.abs(u)))


def _can(u: np.ndarray, v: np.ndarray) -> Surface:
    side = np.clip(u / 0.66, -1, 1)
    bulge = 0.22 * np.sqrt(1 - side**2)
    body = np.maximum(np.abs(u) - 0.66, np.maximum(v - 0.72 - bulge, -0.68 - v))
    lid = _ellipse(u / 0.66, (v + 0.68) / 0.24, 0.66, 0.24)
    return np.minimum(body, lid), _mix(_round(side, 0.0), _like(u, _UP), _step(-lid))


def _cone(u: np.ndarray, v: np.ndarray) -> Surface:
    half = np.clip(0.47 * (v + 1.05), 0.02, None)
    side = np.clip(u / half, -1, 1)
    base = v - 0.8 - 0.16 * np.sqrt(np.clip(1 - side**2, 0, 1))
    edge = np.maximum((np.abs(u) - half) * 0.9, -1.05 - v)
    return np.maximum(edge, base), _round(side, -0.4)


def _ring(u: np.ndarray, v: np.ndarray) -> Surface:
    reach = np.hypot(u, v) + 1e-6
    across = np.clip((reach - 0.68) / 0.32, -1, 1)
    return np.abs(reach - 0.68) - 0.32, _bulge(u / reach * across, v / reach * across)


def _dome(u: np.ndarray, v: np.ndarray) -> Surface:
    """Half a ball on a flat foot."""
    w = v - 0.35
    foot = 0.3 * np.sqrt(np.clip(1 - u * u, 0, 1))
    half_ball = np.maximum(np.hypot(u, np.minimum(w, 0)) - 1, w - foot)
    rim = np.clip(w / 0.3, 0, 1)
    return half_ball, _mix(_bulge(u, np.minimum(w, 0) * 0.95 - 0.05), _like(u, (0, 0.45, 0.6)), rim)


def _star(u: np.ndarray, v: np.ndarray) -> Surface:
    """Return a star with five points, cut like a gem, thick."""
    front, facets = _star_face(u, v)
    behind, _ = _star_face(u, v - _THICK)
    return np.minimum(front, behind), _mix(_like(u, (0, 0.75, 0.3)), facets, _step(-front))


def _star_face(u: np.ndarray, v: np.ndarray) -> Surface:
    fifth = 2 * np.pi / 5
    angle = np.arctan2(u, -v)
    point = np.round(angle / fifth) * fifth
    within = angle - point
    reach = np.hypot(u, v)
    x, y = reach * np.cos(within), reach * np.abs(np.sin(within))
    inner = 0.46 * np.array([np.cos(fifth / 2), np.sin(fifth / 2)])
    edge = inner - np.array([1.0, 0.0])
    out = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    distance = (x - 1) * out[0] + y * out[1]
    facing = point + np.sign(within) * np.arctan2(out[1], out[0])
    normals = np.stack([0.62 * np.sin(facing), -0.62 * np.cos(facing), np.full_like(u, 0.78)], -1)
    return distance, normals


def _cross(u: np.ndarray, v: np.ndarray) -> Surface:
    """Return a plus sign with bevelled edges, thick."""
    front, behind = _cross_face(u, v), _cross_face(u, v - _THICK)
    bevel = np.clip(1 + front / 0.16, 0, 1)[..., None]
    upright = np.abs(u) < np.abs(v)
    tilt_u = np.where(upright, np.sign(u), 0) + np.where(np.abs(u) > 0.75, np.sign(u), 0)
    tilt_v = np.where(upright, 0, np.sign(v)) + np.where(np.abs(v) > 0.75, np.sign(v), 0)
    slope = np.stack([0.6 * tilt_u, 0.6 * tilt_v, np.full_like(u, 0.7)], -1)
    face = _like(u, (0.0, -0.15, 0.98)) * (1 - bevel) + slope * bevel
    return np.minimum(front, behind), _mix(_like(u, (0, 0.75, 0.3)), face, _step(-front))


def _cross_face(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(u - 0.34, v - 0.92), np.maximum(v - 0.34, u - 0.92))


def _bulge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the normals of a ball at (x, y)."""
    return np.stack([x, y, np.sqrt(np.clip(1 - x * x - y * y, 0.0, 1))], -1)


def _round(side: np.ndarray, up: float) -> np.ndarray:
    """Return the normals of an upright round body; ``side`` runs from -1 (left) to 1 (right)."""
    return np.stack([0.95 * side, np.full_like(side, up), np.sqrt(1 - side**2)], -1)


def _like(u: np.ndarray, normal: tuple[float, float, float]) -> np.ndarray:
    return np.broadcast_to(np.array(normal, np.float32), (*u.shape, 3))


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * share[..., None]


def _step(x: np.ndarray) -> np.ndarray:
    """0 below and 1 above zero, softened over about a pixel, so that inner edges are smooth."""
    return np.clip(0.5 + x * 11, 0, 1)


def _ellipse(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    """Distance to an ellipse, to first order; x and y are in units of its half axes a and b."""
    reach = np.hypot(x, y) + 1e-6
    return (reach - 1) * reach / (np.hypot(x / a, y / b) + 1e-6)


SOLIDS: dict[str, Solid] = {
    "ball": _ball,
    "dome": _dome,
    "can": _can,
    "box": _box,
    "cone": _cone,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
