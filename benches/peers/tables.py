"""The tables of the comparison: seeded, written once, in a plain binary file that every runner reads.

`product` is a product's usage, `numbers` the same with category codes read as numbers, `session` a log of
sessions (mostly zeros and flags), `wide-N` the kinds of `product` repeated to N columns. A table of another
seed has other rows of the same law.

File, little-endian: 8 bytes `segtab01`, u64 rows, u64 columns, u64 categories of each column (0 for a
number), then f64 labels, then f64 values column by column; NaN is missing.
"""

import argparse
from pathlib import Path

import numpy as np

MAGIC = b"segtab01"
CHUNK = 250_000  # rows drawn at a time, so that ten million fit into memory
PRODUCT_CATEGORIES = [3, 5, 8, 12]
SESSION_CATEGORIES = [4, 7, 12, 30, 90, 300]


class Table:
    """A table on disk. What is asked for is read; nothing stays mapped that would count as memory."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            if file.read(8) != MAGIC:
                raise ValueError(f"{path} is no table")
            self.n_rows, self.n_columns = (int(n) for n in np.fromfile(file, "<u8", 2))
            self.n_categories = np.fromfile(file, "<u8", self.n_columns).astype(int)
            self._start = file.tell()
        self.categorical = [int(c) for c in np.flatnonzero(self.n_categories)]

    def _values(self, place):
        return np.fromfile(self.path, "<f8", self.n_rows, offset=self._start + 8 * self.n_rows * place)

    @property
    def labels(self):
        """0 or 1, shape (n_rows,)."""
        return self._values(0)

    def column(self, column):
        """Values of a column, shape (n_rows,)."""
        return self._values(1 + column)

    def as_columns(self, kind=np.float64):
        """Values of shape (n_rows, n_columns), column after column in memory."""
        values = np.empty((self.n_columns, self.n_rows), kind)
        for column in range(self.n_columns):
            values[column] = self.column(column)
        return values.T

    def as_rows(self, kind=np.float64):
        """Values of shape (n_rows, n_columns), row after row in memory."""
        values = np.empty((self.n_rows, self.n_columns), kind)
        for column in range(self.n_columns):
            values[:, column] = self.column(column)
        return values


def product(rng, n):
    """28 columns: 10 normals, 8 counts, 4 skewed durations, 4 small categories, a flag, a share."""
    normal = rng.standard_normal((10, n))
    level = rng.gamma(2.0, 0.5, n)  # how busy somebody is: the counts go together
    rates = [0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0]
    count = np.array([rng.poisson(rate * level) for rate in rates], float)
    duration = np.array([rng.lognormal(mean, 1.2, n) for mean in (1.0, 3.0, 5.0, 7.0)])
    category = np.array([rng.integers(0, size, n) for size in PRODUCT_CATEGORIES], float)
    flag = (rng.random(n) < 0.2) * 1.0
    share = np.round(rng.random(n), 2)
    logit = (
        -1.1
        + 0.6 * normal[0]
        - 0.4 * normal[1]
        + 0.7 * np.sin(2.0 * normal[2])
        + 0.5 * (normal[3] > 0.5)
        - 0.25 * normal[4] ** 2
        + 0.4 * np.log1p(count[3])
        - 0.5 * (count[0] == 0)
        + 0.3 * np.minimum(count[5], 10) / 10 * (category[1] == 2)
        - 0.25 * np.log(duration[1])
        + 0.3 * np.tanh(np.log(duration[3]) - 7.0) * normal[0]
        + np.array([-0.3, 0.0, 0.4])[category[0].astype(int)]
        + 0.1 * ((category[3] * 5) % 12 - 6)
        + 0.4 * flag * (share > 0.7)
        # a pure interaction: neither column tells anything alone
        + 0.8 * np.sign(normal[5]) * np.sign(normal[6])
        + 0.7
    )
    columns = np.vstack([normal, count, duration, category, flag[None], share[None]])
    return columns, logit


def session(rng, n):
    """60 columns: 30 counts with 90 % zeros, 16 flags, 6 categories of 4 to 300 values, 8 durations."""
    interest = rng.standard_normal(n)
    count = np.empty((30, n))
    for i in range(30):
        seen = rng.random(n) < 0.1 * np.exp(0.3 * interest - 0.045)
        count[i] = np.where(seen, 1 + rng.geometric(1.0 / (2.0 + i % 7), n), 0)
    odds = np.linspace(-3.0, 0.0, 16)
    flag = np.array([rng.random(n) < 1.0 / (1.0 + np.exp(-(o + 0.4 * interest))) for o in odds])
    category = np.empty((6, n))
    for i, size in enumerate(SESSION_CATEGORIES):
        mass = 1.0 / np.arange(1, size + 1)
        category[i] = np.searchsorted(np.cumsum(mass / mass.sum())[:-1], rng.random(n))
    duration = np.array([rng.lognormal(1.0 + 0.7 * i, 1.3, n) for i in range(8)])
    effect = np.random.default_rng(5).normal(0.0, 0.5, 300)
    logit = (
        -1.6
        + 0.5 * np.log1p(count[0])
        - 0.6 * np.log1p(count[1]) * flag[14]
        + 0.3 * (count[2:8] > 0).sum(0)
        - 0.4 * (count[8:12] > 0).any(0) * (flag[10] == 0)
        + 0.5 * flag[15]
        - 0.7 * flag[12] * (category[0] == 1)
        + effect[category[5].astype(int)]
        + 0.5 * effect[(category[3].astype(int) * 7) % 300]
        - 0.25 * np.log(duration[2])
        + 0.3 * np.tanh(np.log(duration[5]) - 4.5)
        + 0.3 * interest
        + 0.5
    )
    return np.vstack([count, flag, category, duration]), logit


def wide(n_columns):
    """The kinds of `product` over and over; the label hangs on the first columns alone."""

    def draw(rng, n):
        columns, logit = product(rng, n)
        blocks = [columns]
        while sum(map(len, blocks)) < n_columns:
            blocks.append(product(rng, n)[0])
        return np.vstack(blocks)[:n_columns], logit

    return draw


def law_of(name):
    """How to draw rows, categories of each column, and share of missing numbers."""
    if name == "product":
        return product, [0] * 22 + PRODUCT_CATEGORIES + [0, 0], 0.03
    if name == "numbers":
        return product, [0] * 28, 0.03
    if name == "session":
        return session, [0] * 46 + SESSION_CATEGORIES + [0] * 8, 0.05
    kind, _, n_columns = name.partition("-")
    if kind == "wide":
        _, categories, missing = law_of("product")
        n_columns = int(n_columns)
        return wide(n_columns), (categories * (n_columns // 28 + 1))[:n_columns], missing
    raise ValueError(f"no table is called {name}")


def write(name, n_rows, seed, path):
    """Draws a table. Numbers are missing at random; categories never are, since peers read that differently."""
    draw, n_categories, missing = law_of(name)
    draft = Path(f"{path}.draft")
    header = np.array([n_rows, len(n_categories), *n_categories], "<u8")
    draft.write_bytes(MAGIC + header.tobytes())
    values = np.memmap(draft, "<f8", mode="r+", offset=8 + header.nbytes, shape=(1 + len(n_categories), n_rows))
    numbers = np.flatnonzero(np.array(n_categories) == 0)
    for start in range(0, n_rows, CHUNK):
        n = min(CHUNK, n_rows - start)
        rng = np.random.default_rng([seed, start])
        columns, logit = draw(rng, n)
        values[0, start : start + n] = rng.random(n) < 1.0 / (1.0 + np.exp(-logit))
        for column in numbers:
            columns[column, rng.random(n) < missing] = np.nan
        values[1:, start : start + n] = columns
    values.flush()
    draft.rename(path)


def obtain(folder, name, n_rows, seed):
    """Path of a table, drawn if it is not there."""
    path = Path(folder) / f"{name}_{n_rows}_{seed}.table"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(name, n_rows, seed, path)
    return path


def main():
    parser = argparse.ArgumentParser(description="Draws one table.")
    parser.add_argument("name", help="product, numbers, session, or wide-N for N columns")
    parser.add_argument("rows", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    write(options.name, options.rows, options.seed, options.path)


if __name__ == "__main__":
    main()
