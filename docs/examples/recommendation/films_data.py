"""MovieLens-100k as pairs of ids: python films_data.py path/to/ml-100k.inter

The file is in the package recbole 1.2.1 (MovieLens' terms: for research, no redistribution). Writes films.npz and
films_test.npz: user and item (N, 1) from 0, y = 1 where the user gave four stars or more. The last fifth of each user's
ratings, by time, is the test; the stars themselves (rating.npy, of the training pairs) are for the teacher alone.
"""

import sys
from pathlib import Path

import numpy as np

LIKED, TEST = 4.0, 5


def main(path: str) -> None:
    header, *lines = Path(path).read_text(encoding="utf-8").splitlines()
    names = [name.partition(":")[0] for name in header.split("\t")]
    table = dict(zip(names, zip(*(line.split("\t") for line in lines), strict=True), strict=True))
    user, item = (np.unique(table[name], return_inverse=True)[1] for name in ("user_id", "item_id"))
    rating, time = (np.array(table[name], np.float64) for name in ("rating", "timestamp"))
    order = np.lexsort((time, user))
    counts = np.bincount(user)
    place = np.empty(len(user), np.int64)  # of each rating among those of its user, by time
    place[order] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    late = place >= counts[user] - counts[user] // TEST
    for name, rows in (("films.npz", ~late), ("films_test.npz", late)):
        arrays = {"user": user[rows, None], "item": item[rows, None], "y": (rating[rows] >= LIKED).astype(np.int64)}
        np.savez(name, **arrays)
        print(f"{name}: {rows.sum()} pairs, {100 * arrays['y'].mean():.1f} % liked")
    np.save("rating.npy", rating[~late])
    print(f"users = {user.max() + 1}, items = {item.max() + 1}")


if __name__ == "__main__":
    main(sys.argv[1])
