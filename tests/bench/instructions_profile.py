"""Reads what callgrind wrote: instructions in all, and those of each function."""

import dataclasses
import pathlib
import re
import subprocess
import sys

# Like "1,234  ./malloc/malloc.c:free'2 [/usr/lib/libc.so.6]"; '2 is a function within itself.
ROW = re.compile(r"^ *([\d,]+) (?:\([\d. ]+%\))? *\S*?:([^\s']+)\S*(?: \[(.*)\])?$", re.MULTILINE)


def combined(left, right, operation):
    return {
        function: operation(left.get(function, 0), right.get(function, 0))
        for function in left | right
    }


@dataclasses.dataclass
class Profile:
    """Can be reckoned with like a number, so that differences and shares are profiles too."""

    total: float
    own: dict = dataclasses.field(default_factory=dict)  # by (function, library)
    inclusive: dict = dataclasses.field(default_factory=dict)  # with those that it called

    def __sub__(self, other):
        return Profile(
            self.total - other.total,
            combined(self.own, other.own, lambda one, two: one - two),
            combined(self.inclusive, other.inclusive, lambda one, two: one - two),
        )

    def __truediv__(self, number):
        return Profile(
            self.total / number,
            {function: cost / number for function, cost in self.own.items()},
            {function: cost / number for function, cost in self.inclusive.items()},
        )


def read_total(file):
    """The sum alone."""
    totals = re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)
    if totals is None:
        sys.exit(f"{file} has no total; did valgrind fail?")
    return Profile(int(totals[1]))


def read(file):
    """With every function."""
    return Profile(read_total(file).total, functions(file, False), functions(file, True))


def functions(file, is_inclusive):
    command = ["callgrind_annotate", "--threshold=100", "--auto=no"]
    command += [f"--inclusive={'yes' if is_inclusive else 'no'}", str(file)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [
        (function, pathlib.Path(path).name.partition(".so")[0], int(cost.replace(",", "")))
        for cost, function, path in ROW.findall(listing)
    ]
    # What was inlined from another file is listed by itself, without the library.
    libraries = {function: library for function, library, _ in reversed(rows) if library}
    costs = {}
    for function, library, cost in rows:
        name = (function, library or libraries.get(function, ""))
        known = costs.get(name, 0)
        costs[name] = max(known, cost) if is_inclusive else known + cost
    return costs
