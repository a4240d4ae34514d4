"""Outfits: garments combined from `garment.py` and `skirt.py`, and the fabrics that they are made of."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .body import Figure
from .fabric import Fabric
from .garment import Cut
from .skirt import Flare


KINDS = {"dress": 0.36, "skirt": 0.18, "trousers": 0.3, "shorts": 0.1, "jumpsuit": 0.06}
"""Kinds of outfits, and how often each is drawn; a skirt, trousers and shorts come with a top."""
NECKLINE_SHARES = {"round": 0.3, "v": 0.27, "square": 0.13, "straps": 0.2, "high": 0.1}
OUTERWEAR_SHARE = 0.13


@dataclass
class Outfit:
    """Garments from the skin outwards. `pattern` is the pattern of the most noticeable garment."""

    kind: str
    pattern: str
    cuts: list[Cut] = field(default_factory=list)
    skirts: list[Flare] = field(default_factory=list)

    @classmethod
    def draw(cls, random: np.random.Generator, figure: Figure, photos: list[Path]) -> "Outfit":
        """Draws an outfit for `figure`; prints are cropped from `photos` if there are any."""
        kind = str(random.choice(list(KINDS), p=list(KINDS.values())))
        main = Fabric.draw(random, photos)
        outfit = cls(kind, main.pattern)
        if kind == "dress":
            outfit._dress(random, figure, main, photos)
        elif kind == "jumpsuit":
            bodice = _top(random, figure, main, tucked=True)
            bodice.lowest = figure.floor + random.choice([0.1, 0.1, 0.35])
            bodice.looseness, bodice.leg_flare = random.uniform(0, 0.4), random.uniform(0, 0.12)
            outfit.cuts.append(bodice)
        else:
            # Usually only one of the two is printed, so that the outfit is calm; sometimes both are made of one cloth.
            second = main if random.random() < 0.22 else Fabric.draw(random, photos, "plain")
            upper, lower = (main, second) if random.random() < 0.5 else (second, main)
            tucked = random.random() < 0.6
            if kind == "skirt":
                waist = figure.waist + random.uniform(-0.05, 0.03)
                outfit.skirts += _skirts(random, figure, lower, waist, photos)
                tucked = tucked or outfit.skirts[0].flare > 0.08  # folds would show through a top over them
            else:
                outfit.cuts.append(_trousers(random, figure, lower, short=kind == "shorts"))
            top = _top(random, figure, upper, tucked)
            for skirt in outfit.skirts if tucked else ():
                skirt.over = (0,)
            if not tucked:
                top.offset += 0.012
                top.looseness = max(top.looseness, 0.3)
            outfit.cuts.append(top)
        if random.random() < OUTERWEAR_SHARE:
            outfit._outerwear(random, figure)
        return outfit

    def _dress(self, random: np.random.Generator, figure: Figure, main: Fabric, photos: list[Path]) -> None:
        waist = figure.waist + random.choice([0.0, 0.0, random.uniform(0.03, 0.12), random.uniform(-0.09, -0.03)])
        bodice = _top(random, figure, main, tucked=True)
        straight = random.random() < 0.25  # a shift dress: no waist
        bodice.looseness = random.uniform(0.55, 0.95) if straight else random.uniform(0, 0.15)
        bodice.lowest = waist - 0.03
        skirt_fabric = main
        if random.random() < 0.12:
            skirt_fabric = Fabric.draw(random, photos, "plain")
        skirts = _skirts(random, figure, skirt_fabric, waist + 0.012, photos)
        if straight:
            skirts = skirts[:1]
            skirts[0].flare = random.uniform(0.02, 0.2)
            skirts[0].top = waist + 0.04
            bodice.lowest = waist - 0.01
        self.cuts.append(bodice)
        for skirt in skirts:
            skirt.over = (0,)
        self.skirts += skirts

    def _outerwear(self, random: np.random.Generator, figure: Figure) -> None:
        """An open jacket, or a coat with a tail, over everything."""
        fabric = Fabric.draw(random, [], str(random.choice(["plain", "plain", "checks", "plaid"])))
        opening = float(random.uniform(0.045, 0.085))
        hem = figure.hip + random.uniform(-0.02, 0.2)
        jacket = Cut(
            fabric,
            neckline="v",
            depth=random.uniform(0.12, 0.3),
            width=0.085,
            back_depth=0.012,
            lowest=hem,
            sleeve=float(random.choice([0.5, 0.97, 0.97])),
            opening=opening,
            offset=0.026,
            looseness=max([random.uniform(0.4, 0.9), *(cut.looseness for cut in self.cuts)]),
        )
        wide_skirt = any(skirt.flare > 0.22 for skirt in self.skirts)
        wide_legs = any(cut.leg_flare > 0 for cut in self.cuts)
        if random.random() < 0.4 and not wide_skirt and not wide_legs:
            jacket.lowest = figure.waist - 0.03
            tail = Flare(
                fabric,
                top=figure.waist + 0.01,
                length=random.uniform(0.3, 0.75),
                flare=max([0.1, *(skirt.flare + 0.05 for skirt in self.skirts)]),
                folds=5,
                fold_depth=0.012,
                irregular=1.0,
                opening=opening / 0.13,
                over=tuple(range(len(self.cuts) + 1)),
                offset=0.036 + 1.5 * max([0.0, *(skirt.fold_depth for skirt in self.skirts)]),
            )
            self.skirts.append(tail)
        self.cuts.append(jacket)


def _top(random: np.random.Generator, figure: Figure, fabric: Fabric, tucked: bool) -> Cut:
    """A top or a bodice."""
    neckline = str(random.choice(list(NECKLINE_SHARES), p=list(NECKLINE_SHARES.values())))
    depth, width = {
        "round": (random.uniform(0.04, 0.13), random.uniform(0.075, 0.13)),
        "v": (random.uniform(0.1, 0.22), random.uniform(0.075, 0.12)),
        "square": (random.uniform(0.07, 0.13), random.uniform(0.085, 0.12)),
        "straps": (random.uniform(0.11, 0.15), 0.3),
        "high": (0.0, 0.2),
    }[neckline]
    bare = neckline == "straps" or random.random() < 0.2
    sleeve = -0.15 if bare else float(random.choice([0.12, 0.25, 0.35, 0.5, 0.7, 0.96]) + random.uniform(-0.04, 0.04))
    shaped = random.random()
    return Cut(
        fabric,
        neckline=neckline,
        depth=float(depth),
        width=float(width),
        back_depth=float(random.uniform(0.01, 0.03) if random.random() < 0.8 else random.uniform(0.05, 0.16)),
        lowest=figure.waist - 0.06 if tucked else float(random.uniform(figure.hip, figure.waist - 0.02)),
        sleeve=sleeve,
        looseness=float(random.uniform(0, 0.2) if tucked else random.uniform(0.1, 0.9)),
        puff=float(random.uniform(0.01, 0.03)) if not bare and shaped < 0.18 else 0.0,
        bell=float(random.uniform(0.015, 0.05)) if sleeve > 0.4 and 0.18 < shaped < 0.45 else 0.0,
        strap=float(random.uniform(0.075, 0.1)),
        strap_width=float(random.choice([0.007, 0.02])),
        trim=tuple(np.random.default_rng(random.integers(2**31)).uniform(0.05, 0.95, 3))
        if random.random() < 0.15
        else None,
    )


def _trousers(random: np.random.Generator, figure: Figure, fabric: Fabric, short: bool) -> Cut:
    """Trousers from slim to wide, or shorts."""
    inside = figure.crotch - figure.floor
    lowest = figure.floor + (
        inside * random.uniform(0.6, 0.88) if short else random.choice([0.08, 0.09, random.uniform(0.1, 0.35)])
    )
    wide = random.random() < 0.5
    return Cut(
        fabric,
        lowest=float(lowest),
        highest=figure.waist + float(random.uniform(-0.06, 0.02)),
        sleeve=-0.2,
        offset=0.01,
        looseness=float(random.uniform(0.2, 0.6) if wide else random.uniform(0.0, 0.3)),
        leg_flare=float(random.uniform(0.02, 0.1)) if wide else 0.0,
    )


def _skirts(
    random: np.random.Generator, figure: Figure, fabric: Fabric, top: float, photos: list[Path]
) -> list[Flare]:
    """A skirt, or several skirts over one another, with the longest innermost."""
    lowest, knee = figure.floor + 0.06, top - figure.knee
    length = float(
        random.choice([random.uniform(0.32, 0.5), knee * random.uniform(0.85, 1.15), random.uniform(0.7, 0.95)])
    )
    length = min(length, top - lowest)
    narrow = random.random() < 0.45
    flare = float(random.uniform(0.0, 0.07) if narrow else random.uniform(0.12, 0.55))
    pleated = not narrow and random.random() < 0.3
    skirt = Flare(
        fabric,
        top=top,
        length=length,
        flare=flare,
        folds=int(random.integers(16, 30) if pleated else random.integers(5, 12)),
        fold_depth=float(
            random.uniform(0.002, 0.006)
            if narrow
            else random.uniform(0.008, 0.016)
            if pleated
            else random.uniform(0.015, 0.05)
        ),
        irregular=0.0 if pleated else float(random.uniform(0.3, 1.0)),
        trim=tuple(random.uniform(0.05, 0.95, 3)) if random.random() < 0.12 else None,
    )
    if not narrow and random.random() < 0.2:
        skirt.uneven_hem = float(random.uniform(0.08, 0.3))
        skirt.uneven_angle = float(random.choice([np.pi, np.pi / 2, -np.pi / 2, random.uniform(-np.pi, np.pi)]))
    layered = random.random()
    if narrow or layered > 0.3:
        return [skirt]
    if layered < 0.14:
        skirt.tiers = int(random.integers(2, 5))
        return [skirt]
    other = fabric if random.random() < 0.6 else Fabric.draw(random, photos, "plain")
    skirts = [skirt]
    for layer in range(1, int(random.integers(2, 4))):
        outer = Flare(**{**vars(skirt), "length": length * (1 - 0.3 * layer), "offset": skirt.offset + 0.012 * layer})
        outer.flare, outer.fabric = flare + 0.05 * layer, other if layer % 2 else fabric
        skirts.append(outer)
    return skirts
