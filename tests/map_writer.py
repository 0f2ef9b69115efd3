"""Write every other chunk of a map again and again, as one of several workers: ROOT, 0 or 1, ROUNDS.

Says "ready", waits for a line, and says the number of each round that is written. A chunk that does not hold what the
last round wrote ends it.
"""

import sys
from pathlib import Path

import numpy as np
from rondel.store.box import Box, tiles
from rondel.store.maps import Maps

SIDE = 64

if __name__ == "__main__":
    root, first, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    maps = Maps.open(root, "scan", 3)
    whole = Box.of_shape(maps.plan.shape)
    mine = [tile.write for tile in tiles(whole.shape, whole, (SIDE,) * 3, (0, 0, 0), (1, 1, 1))][first::2]
    print("ready", flush=True)
    begin = sys.stdin.readline()
    last = int(maps.read_classes(mine[0])[0, 0, 0])
    for number in range(last + 1, last + 1 + rounds):
        for box in mine:
            if not (maps.read_classes(box) == number - 1).all():
                sys.exit(f"{box} lost what round {number - 1} wrote")
            values = np.full(box.shape, number, np.uint8)
            maps.write_tile(box, values, values, None)
        print(number, flush=True)
