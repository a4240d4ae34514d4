"""Motion that lags behind the body: cloth and hair on springs, simulated in small steps over a clip."""

from collections.abc import Callable

import numpy as np


STEPS_PER_SECOND = 240


def follow(
    target: Callable[[np.ndarray], np.ndarray],
    times: np.ndarray,
    frequency: np.ndarray | float,
    damping: float,
) -> np.ndarray:
    """Simulates damped springs whose driven ends move along `target`.

    Args:
        target: the driven end's position at times in seconds, [T] to [T]; it stands still before time 0.
        times: the times of the result in seconds, ascending, [F].
        frequency: each spring's own oscillations per second, a number or [S].
        damping: with 1, a spring comes to rest without overshooting; below 1, it swings.

    Returns:
        How far each spring is behind its target (target - position) at each time, [F, S].
    """
    frequency = np.atleast_1d(np.asarray(frequency, np.float64))
    step = 1 / STEPS_PER_SECOND
    clock = np.arange(0, times[-1] + 2 * step, step)
    driven = np.asarray(target(clock), np.float64)
    stiffness, friction = (2 * np.pi * frequency) ** 2, 4 * np.pi * frequency * damping
    position, velocity = np.full(len(frequency), driven[0]), np.zeros(len(frequency))
    behind = np.empty((len(clock), len(frequency)))
    for i, goal in enumerate(driven):
        velocity = velocity + step * (stiffness * (goal - position) - friction * velocity)
        position = position + step * velocity
        behind[i] = goal - position
    return np.stack([np.interp(times, clock, behind[:, s]) for s in range(len(frequency))], axis=1)
