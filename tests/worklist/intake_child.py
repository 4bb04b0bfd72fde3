"""Takes in the films of a folder, one thread, and scores them, another; prints each film's SHA-256 once it is taken in.

python intake_child.py FOLDER: then waits to be killed.
"""

import sys
import threading
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from small_films import Brightness

from cxr.worklist.database import database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.scoring import Scorer

engine = Brightness()
Scorer(database(), film_folder(), engine=lambda: engine).start()
for file in sorted(Path(sys.argv[1]).iterdir()):
    take_in(database(), film_folder(), file.name, file.read_bytes(), who="child", source="inbox")
    print(file.name, flush=True)
threading.Event().wait()
