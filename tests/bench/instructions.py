#!/usr/bin/python3
"""Counts the instructions of an answer, and fails when they are more than their budget.

    /usr/bin/python3 tests/bench/instructions.py [--update] [--show]

Needs the package valgrind. FANOUTD=/path/to/fanoutd measures another binary than build/fanoutd.

An answer of one fetch and an answer of ten are measured. "fetch" is what one more fetch costs,
"request" what an answer costs without its fetches; both in user mode, of fanoutd and all its
libraries. Budgets are kept for each pair of compiler and libcurl, as these make other code.
"""

import argparse
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from instructions_run import BINARY, Case, knows_transport, measure

BUDGETS = pathlib.Path(__file__).resolve().with_suffix(".json")
TOLERANCE = 0.05
WORKERS_TOLERANCE = 0.03
MANY = 10  # fetches
SHOWN_FUNCTIONS = 20


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="make these figures the budget")
    parser.add_argument("--show", action="store_true", help="show which functions cost most")
    return parser.parse_args()


def check_tools():
    if shutil.which("valgrind") is None:
        sys.exit("needs valgrind (package valgrind)")
    if not BINARY.exists():
        sys.exit(f"{BINARY} is not there; run make, or set FANOUTD")


def platform_name():
    """Whose code is counted: like "x86_64, gcc 12, libcurl 7.88"."""
    said = subprocess.run([BINARY, "-V"], capture_output=True, text=True, check=True).stdout
    libcurl = re.search(r"libcurl/(\d+\.\d+)", said)[1]
    code = BINARY.read_bytes()
    clang = re.search(rb"clang version (\d+)", code)  # with it, parts of gcc's are there too
    compiler = clang or re.search(rb"GCC: \([^)]*\) (\d+)", code)
    name = f"{'clang' if clang else 'gcc'} {compiler[1].decode()}" if compiler else "no compiler"
    return f"{platform.machine()}, {name}, libcurl {libcurl}"


# ---- measuring ----


def measure_transport(transport, directory, with_functions):
    """Profiles of one fetch, of the rest of an answer, and of an answer of many by two workers."""
    one = measure(Case(transport, workers=1, upstreams=1), directory, with_functions)
    many = measure(Case(transport, workers=1, upstreams=MANY), directory, with_functions)
    shared = measure(Case(transport, workers=2, upstreams=MANY), directory)
    fetch = (many - one) / (MANY - 1)
    return {"fetch": fetch, "request": one - fetch}, many.total, shared.total


# ---- what is said ----


def show_functions(title, costs, total):
    print(f"\n{title}")
    dearest = sorted(costs.items(), key=lambda row: -row[1])
    for (function, library), cost in dearest[:SHOWN_FUNCTIONS]:
        name = hex(int(function, 16)) if function.startswith("0x") else function
        print(f"  {cost:10,.0f}  {cost / total:6.1%}  {name}  {library}")


def show_profiles(transport, profiles):
    for name, profile in profiles.items():
        where = f"transport {transport}: one {name}, {profile.total:,.0f} instructions"
        show_functions(f"{where}; of each function", profile.own, profile.total)
        show_functions(f"{where}; with what it calls", profile.inclusive, profile.total)


def judge(name, figure, budget):
    """Prints the figure; the sentence that says what is wrong with it, if anything is."""
    if budget is None:
        print(f"  {name:18} {figure:10,.0f}")
        return None
    change = figure / budget - 1
    print(f"  {name:18} {figure:10,.0f}   budget {budget:10,}   {change:+6.1%}")
    if change > TOLERANCE:
        return f"{name}: {figure:,.0f} instructions are {change:.1%} over the budget of {budget:,}"
    if change < -TOLERANCE:
        print(f"    warning: {-change:.1%} below; lower the budget by make bench-instr UPDATE=1")
    return None


def judge_workers(transport, alone, shared):
    loss = shared / alone - 1
    print(f"  {transport}, two workers: {loss:+.1%} for an answer of {MANY} fetches")
    if abs(loss) <= WORKERS_TOLERANCE:
        return None
    return (
        f"{transport}, two workers: an answer of {MANY} fetches takes {shared:,.0f} instructions,"
        f" with one worker {alone:,.0f} ({loss:+.1%})"
    )


def measure_all(arguments, budget):
    """The figures, and a sentence for each that is wrong."""
    transports = [name for name in ("auto", "curl") if knows_transport(name)] or [None]
    figures, complaints = {}, []
    with tempfile.TemporaryDirectory() as directory:
        for transport in transports:
            profiles, alone, shared = measure_transport(
                transport, pathlib.Path(directory), arguments.show
            )
            for name, profile in profiles.items():
                name = f"{transport or 'default'} {name}"
                figures[name] = profile.total
                complaints.append(judge(name, profile.total, budget.get(name)))
            complaints.append(judge_workers(transport or "default", alone, shared))
            if arguments.show:
                show_profiles(transport or "default", profiles)
    return figures, [complaint for complaint in complaints if complaint]


# ---- budgets ----


def read_budgets():
    return json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}


def write_budget(place, figures):
    budgets = read_budgets()
    budgets[place] = {name: round(figure) for name, figure in figures.items()}
    BUDGETS.write_text(json.dumps(budgets, indent=2, sort_keys=True) + "\n")
    print(f"{BUDGETS.name} has these figures now; commit it")


def main():
    arguments = parse_arguments()
    check_tools()
    place = platform_name()
    budget = {} if arguments.update else read_budgets().get(place, {})
    print(f"instructions ({place})")
    figures, complaints = measure_all(arguments, budget)
    if arguments.update:
        write_budget(place, figures)
    elif not figures.keys() <= budget.keys():
        print("what has no budget here is not judged; make bench-instr UPDATE=1 sets one")
    for complaint in complaints:
        print(f"FAILED: {complaint}")
    if complaints:
        print(
            f"{TOLERANCE:.0%} over a budget is let through, {WORKERS_TOLERANCE:.0%} for workers.\n"
            "What takes them: make bench-instr SHOW=1\n"
            "If they are worth it: make bench-instr UPDATE=1, and commit the new budget."
        )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
