"""Verbs that write while the server is stopped and started: every edit is made, and made once."""

import threading
import time

from rondel.store import edits
from rondel.store.box import Box
from rondel.store.errors import RondelError
from rondel.store.project import open_project

from .conftest import stroke
from .served import begin, make_project

WRITERS, RESTARTS = 3, 5


def test_no_edit_is_lost_doubled_or_refused_while_servers_come_and_go(tmp_path):
    with make_project(tmp_path) as project:
        folder = project.folder
    failed, over, sent = [], threading.Event(), [0] * WRITERS

    def write(who: int) -> None:
        with open_project(folder) as project:
            while not over.is_set():
                region, value = Box((4 + who, 8, 8), (5 + who, 12, 12)), 1 + sent[who] % 3
                try:
                    edits.submit(project, stroke(region, value, sent[who] + 1, person=f"p{who}", box=1))
                except RondelError as error:
                    failed.append(str(error))
                sent[who] += 1

    threads = [threading.Thread(target=write, args=(who,)) for who in range(WRITERS)]
    for thread in threads:
        thread.start()
    for _ in range(RESTARTS):
        served, before = begin(folder), sum(sent)
        while sum(sent) < before + 20:
            time.sleep(0.01)
        assert served.stop() == 0
    over.set()
    for thread in threads:
        thread.join()
    assert failed == [] and "Traceback" not in served.said()
    with open_project(folder) as project:
        rows = project.database.rows("SELECT client, client_number AS n FROM edit ORDER BY client, n")
        assert [row["n"] for row in rows] == [n + 1 for count in sent for n in range(count)]
