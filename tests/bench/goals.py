"""What fanoutd wants to reach, and what it did in this run."""

import dataclasses

from report import Row, kib_in_flight, number, print_table


@dataclasses.dataclass
class Goal:
    what: str
    wanted: float
    at_least: bool  # else: at most
    unit: str
    reached: object  # of the rows by (work, contestant); KeyError: not measured


def cpu(rows, work, key):
    return rows[work, key].median("cpu_us")


def times(work, key):
    """How many times fanoutd's CPU time another takes."""
    return lambda rows: cpu(rows, work, key) / cpu(rows, work, "fanoutd")


def times_floor(work, key="fanoutd"):
    return lambda rows: cpu(rows, work, key) / cpu(rows, work, "floor")


def flatness(rows):
    each = [cpu(rows, work, "fanoutd") / count for work, count in COUNTS.items()]
    return max(each) / min(each)


def latency(rows):
    fanoutd, floor = (rows["n10", key].median("p50_ms", "lone") for key in ("fanoutd", "floor"))
    return fanoutd / floor


def throughput(rows):
    fanoutd, floor = (
        rows["20ms", key].median("answers_per_second") for key in ("fanoutd", "floor")
    )
    return fanoutd / floor


def goals_against(work, wanted):
    return [
        Goal(f"{work}: CPU of {title}, times fanoutd's", least, True, "x", times(work, key))
        for key, title, least in wanted
    ]


COUNTS = {"n10": 10, "n50": 50, "n200": 200}
GOALS = [
    *goals_against(
        "n10",
        (
            ("httpx", "FastAPI + httpx", 160),
            ("aiohttp", "FastAPI + aiohttp", 33),
            ("node", "Node", 7.5),
            ("go-parsed", "Go, bodies parsed", 6.5),
            ("nginx-cjson", "nginx + Lua, cjson", 2.3),
            ("nginx-spliced", "nginx + Lua, unchecked", 1.7),
        ),
    ),
    Goal("n1: CPU, times the floor's", 2.0, False, "x", times_floor("n1")),
    Goal("n10: CPU, times the floor's", 1.3, False, "x", times_floor("n10")),
    Goal("n50: CPU, times the floor's", 1.3, False, "x", times_floor("n50")),
    Goal("20k: CPU, times the floor's", 2.5, False, "x", times_floor("20k")),
    Goal(
        "n10, transport = curl: CPU, times the floor's", 3.4, False, "x", times_floor("n10", "curl")
    ),
    Goal("n10 to n200: CPU of a fetch, most / least", 1.2, False, "x", flatness),
    Goal("n10: latency of one caller, times the floor's", 1.15, False, "x", latency),
    Goal("20ms: answers/s, share of the floor's", 9000 / 11800, True, "x", throughput),
    Goal(
        "20ms: memory for each fetch in flight",
        4,
        False,
        " KiB",
        lambda rows: kib_in_flight(rows["20ms", "fanoutd"]),
    ),
    Goal(
        "idle: memory with 10,000 callers",
        60,
        False,
        " MiB",
        lambda rows: rows["idle", "fanoutd"].idle_mib,
    ),
]


def judge(goal, rows):
    """The cells of its line; None where this run does not tell."""
    try:
        reached = goal.reached(rows)
    except KeyError:
        return None
    met = reached >= goal.wanted if goal.at_least else reached <= goal.wanted
    sign = "at least" if goal.at_least else "at most"
    wanted = f"{sign} {number(goal.wanted)}{goal.unit}"
    return [goal.what, wanted, f"{number(reached)}{goal.unit}", "met" if met else "NOT met"]


def print_goals(rows: list[Row]):
    by_name = {(row.work.name, row.key): row for row in rows}
    cells = [line for line in (judge(goal, by_name) for goal in GOALS) if line]
    if cells:
        print("\nGoals\n")
        print_table(["goal", "wanted", "reached", ""], cells)
