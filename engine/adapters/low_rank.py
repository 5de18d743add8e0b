"""Matrices as products of two narrow ones, so that no dense matrix of a layer is ever made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_ROUNDING = 1e-7  # of the largest singular value: float32's rounding, not a direction


class LowRank(NamedTuple):
    """The matrix b·a, (d_out, d_in), with b (d_out, r) and a (r, d_in)."""

    b: np.ndarray
    a: np.ndarray


def weighted_sum(terms: Iterable[tuple[float, LowRank]]) -> LowRank:
    """Return Σ weight · term in float64: the terms side by side, so that ranks add up."""
    weights, matrices = zip(*terms, strict=True)
    columns = [w * m.b.astype(np.float64) for w, m in zip(weights, matrices, strict=True)]
    return LowRank(np.hstack(columns), np.vstack([m.a.astype(np.float64) for m in matrices]))


def norm(matrix: LowRank) -> float:
    """Return the Frobenius norm ‖b·a‖, by Gram matrices (r, r) where those are the smaller ones."""
    b, a = matrix
    if b.shape[1] >= min(len(b), a.shape[1]):
        return float(np.linalg.norm(b @ a))
    return float(np.sqrt(max(0.0, ((b.T @ b) * (a @ a.T)).sum())))


def best_rank(matrix: LowRank, rank: int) -> LowRank:
    """Return the nearest matrix of rank ``rank`` at most (Eckart and Young), by singular values.

    Through two QR decompositions: b·a itself is never made. b = U·S and a = Vᵀ, in float64.
    """
    u, s, vt = _singular(matrix)
    return LowRank(u[:, :rank] * s[:rank], vt[:rank])


def trimmed(matrix: LowRank) -> LowRank:
    """Return the same matrix, up to float32's rounding, at the lowest rank; at least 1."""
    u, s, vt = _singular(matrix)
    kept = max(1, int((s > _ROUNDING * s[0]).sum()))
    return LowRank(u[:, :kept] * s[:kept], vt[:kept])


def bounded(matrix: LowRank) -> LowRank:
    """Return the same matrix at a rank of min(d_out, d_in) at most: no sum needs more."""
    narrow = matrix.b.shape[1] <= min(len(matrix.b), matrix.a.shape[1])
    return matrix if narrow else trimmed(matrix)


def _singular(matrix: LowRank) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left, upper = np.linalg.qr(matrix.b.astype(np.float64))
    right, lower = np.linalg.qr(matrix.a.astype(np.float64).T)
    u, s, vt = np.linalg.svd(upper @ lower.T, full_matrices=False)
    return left @ u, s, vt @ right.T
