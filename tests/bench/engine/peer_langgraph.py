"""LangGraph, one client: five steps, each checkpointed by the SQLite checkpointer before the next
begins (durability "sync", synchronous=FULL). Prints runs a second and the median in ms.

    peer_langgraph.py DIRECTORY RUNS
"""
import sqlite3
import statistics
import sys
import time
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    message: str
    kind: str
    score: float
    count: int
    flag: bool
    note: str


def main(directory, runs):
    graph = StateGraph(State)
    names = [f"n{i}" for i in range(1, 6)]
    for name in names:
        graph.add_node(name, lambda state: {"message": state["message"]})
    for a, b in zip([START, *names], [*names, END]):
        graph.add_edge(a, b)
    db = sqlite3.connect(f"{directory}/langgraph.db", check_same_thread=False)
    saver = SqliteSaver(db)
    saver.setup()
    db.execute("PRAGMA synchronous=FULL")
    app = graph.compile(checkpointer=saver)
    state = {"message": "m", "kind": "a", "score": 0.9, "count": 1, "flag": True, "note": "x"}
    times = []
    begin = time.monotonic()
    for i in range(runs):
        t = time.monotonic()
        app.invoke(state, {"configurable": {"thread_id": str(i)}}, durability="sync")
        times.append((time.monotonic() - t) * 1000)
    print(runs / (time.monotonic() - begin), statistics.median(times))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
