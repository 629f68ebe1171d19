"""Two symbols whose spread is watched."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class SpreadPair:
    """`y` held against hedge ratio times `x`: the spread is `log y - hedge_ratio * log x`."""

    y: str
    x: str

    @classmethod
    def parse(cls, text: str) -> "SpreadPair":
        """From `ETH/USD:BTC/USD`.

        Raises:
            ValueError: it is not two different symbols.
        """
        y, colon, x = text.partition(":")
        for symbol in (y, x):
            base, slash, quote = symbol.partition("/")
            if not (colon and base and slash and quote):
                raise ValueError(f"{text!r} is not a pair of symbols; write it like ETH/USD:BTC/USD")
        if y.partition("/")[0] == x.partition("/")[0]:
            raise ValueError(f"{text!r} is one asset twice; a spread needs two")
        return cls(y, x)

    def __str__(self) -> str:
        return f"{self.y}:{self.x}"

    @property
    def bases(self) -> tuple[str, str]:
        """The two assets that are rotated into each other, y's first."""
        return self.y.partition("/")[0], self.x.partition("/")[0]

    @property
    def quote_y(self) -> str:
        return self.y.partition("/")[2]

    @property
    def quote_x(self) -> str:
        return self.x.partition("/")[2]
